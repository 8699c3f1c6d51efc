# ruff: noqa: E501 (one activity, one line)
"""What everyone in the nano world knows: causes, tools, activities, feelings, how things are."""


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    lines = [line.strip() for line in text.strip().splitlines()]
    return tuple(
        (left.strip(), right.strip()) for left, right in (line.split("=") for line in lines)
    )


CAUSES = _pairs("""
forgot the umbrella = got wet in the rain
missed the last bus = walked all the way home
ate too much cake = felt ill
studied every evening = passed the exam
left the window open = found leaves on the carpet
dropped the plate = swept up the pieces
lost the key = could not open the door
stayed up all night = was tired the next day
watered the roses = had flowers in June
left the milk in the sun = poured the milk away
ran for the train = was out of breath
sat near the fire = felt warm
touched the hot stove = burned a finger
forgot to set the alarm = overslept
practised the violin = played well at the concert
told a lie = lost a friend
won the race = received a medal
wore thin shoes in the snow = had cold feet
skipped lunch = was hungry in the afternoon
heard a funny joke = laughed out loud
cut an onion = had tears in both eyes
spilled ink on the shirt = bought a new shirt
broke the law = paid a fine
turned off the lamp = could not see anything
left the cage open = had to look for the bird
forgot to charge the phone = could not call anyone
drove too fast = was stopped by the police
sold the old boat = had money for a car
put salt in the coffee = did not finish the cup
broke an arm = went to the hospital
painted the bench = put up a warning sign
planted beans in spring = picked beans in summer
lost the map = took the wrong road
saw smoke in the kitchen = called the fire brigade
forgot a birthday = said sorry with a gift
""")

TOOLS = _pairs("""
cut bread = a long knife with teeth
drive a nail into wood = a hammer
dig a hole in the garden = a spade
dry wet hair = a towel
see a distant ship = a telescope
weigh flour = a kitchen scale
sew on a button = a needle and thread
tighten a screw = a screwdriver
boil water = a kettle
measure a room = a tape measure
sweep the floor = a broom
open a tin = a tin opener
write on a blackboard = a piece of chalk
find north = a compass
cut paper = a pair of scissors
carry water = a bucket
reach a high shelf = a ladder
stop a bicycle = the brakes
remove a splinter = a pair of tweezers
light a dark cellar = a torch
iron a shirt = a hot iron
smooth a rough board = sandpaper
water the garden = a hose
keep food cold = a refrigerator
catch a fish = a net
draw a circle = a pair of compasses
strain noodles = a sieve
chop wood = an axe
clean teeth = a toothbrush
wake up early = an alarm clock
""")

ACTIVITIES: dict[str, tuple[str, ...]] = {
    title: tuple(steps.split("; "))
    for title, steps in _pairs("""
making tea = fills the kettle with water; waits until the water boils; puts the leaves in the pot; pours the hot water over the leaves; drinks a cup of tea
washing a car = parks the car in the yard; rinses the car with a hose; rubs the doors with a soapy sponge; rinses the soap away; dries the car with a cloth
baking bread = mixes flour, water and yeast; kneads the dough on the table; lets the dough rise; puts the loaf in the oven; takes the brown loaf out
planting a tree = digs a deep hole; sets the young tree in the hole; fills the hole with earth; presses the earth down; waters the tree
changing a tyre = loosens the nuts; lifts the car with a jack; takes off the flat tyre; puts on the spare wheel; lowers the car again
sending a parcel = puts the gift in a box; closes the box with tape; writes the address on the lid; takes the box to the post office; pays the clerk at the counter
painting a wall = covers the floor with old paper; stirs the paint; dips the roller in the paint; rolls the paint on the wall; lets the wall dry
cooking noodles = heats a pot of water; adds some salt; drops the noodles in; drains the noodles; serves them with cheese
pitching a tent = looks for level ground; spreads the canvas out; joins the poles; raises the tent; ties the ropes to the pegs
fishing = sits down by the river; puts bait on the hook; throws the line in the water; feels a pull on the line; lifts a fish out of the water
knitting a scarf = chooses a ball of wool; makes the first loops; knits row after row; casts off the last row; wears the new scarf
shaving = wets the face; spreads foam on the chin; pulls the razor down the cheek; rinses the razor; dries the face with a towel
building a fire = gathers dry sticks; stacks the sticks in a ring of stones; strikes a match; blows on the small flame; warms both hands
mending a shirt = finds the hole in the sleeve; cuts a piece of cloth; threads a needle; sews the patch on; cuts the end of the thread
rowing = pushes the boat off the bank; sits on the middle seat; takes an oar in each hand; pulls the oars through the water; ties the boat to the pier
cleaning windows = fills a bucket with warm water; wipes the glass with a wet cloth; pulls the water off with a blade; dries the corners; empties the bucket
""")
}

FEELING_CAUSES = _pairs("""
won a prize at the fair = proud
moved to a city without friends = lonely
heard steps behind me at night = afraid
got help from a stranger = grateful
found a scratch on my new car = angry
am going to see the sea tomorrow = excited
lost my old dog = sad
applied for a better job = hopeful
saw my brother get a bigger gift = jealous
found money in an old coat = surprised
broke my neighbour's window = guilty
have to speak to a full hall = nervous
sat by the lake all morning = calm
called my teacher by the wrong name = embarrassed
finished my first long race = proud
ate alone on my birthday = lonely
saw a snake in the cellar = afraid
got my lost wallet back = grateful
waited three hours for a train = angry
bought tickets for a concert = excited
said goodbye to my sister = sad
planted seeds for the spring = hopeful
forgot to feed the neighbour's cat = guilty
fell down in front of the class = embarrassed
""")

SCIENCE = _pairs("""
ice melts when it = becomes warm
water boils when it = is heated
plants make food with = sunlight
a magnet pulls = iron
wood floats because it = is lighter than water
a shadow forms when something = blocks the light
the moon shines because it = reflects sunlight
metal feels cold because it = carries heat away
birds stay warm with = feathers
fish breathe with = gills
roots take up = water
rust forms when iron = meets air and water
sound needs = air or another substance to travel
a day passes when the earth = turns once
a year passes when the earth = goes once around the sun
clouds are made of = small drops of water
a lever helps to = lift heavy things
glass lets = light through
rubber keeps = electricity in the wire
salt water leaves = salt when it dries
""")

# The larger of the two is the one that the sentence calls "too large", and so on.
FITS = _pairs("""
did not fit in = large:small
could not lift = weak:heavy
could not reach = short:high
did not hear = far away:quiet
was beaten by = slow:fast
could not see behind = small:tall
""")

STUDY_SUBJECTS = tuple(
    [
        "walking",
        "swimming",
        "singing",
        "reading",
        "sleep",
        "coffee",
        "honey",
        "tea",
        "music",
        "gardening",
        "sunlight",
        "breathing",
        "stretching",
        "laughter",
        "salt",
        "walnuts",
        "chess",
        "vitamins",
        "massage",
        "fasting",
    ]
)
STUDY_OUTCOMES = tuple(
    [
        "pain",
        "stress",
        "memory",
        "weight",
        "balance",
        "mood",
        "headaches",
        "appetite",
        "attention",
        "fatigue",
        "breathing",
        "sleep",
        "strength",
        "hearing",
        "cough",
        "vision",
        "fever",
        "anxiety",
    ]
)
