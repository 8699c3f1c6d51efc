"""The common words of the nano world; order matters, earlier words are used more often."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def phrases(text: str) -> tuple[str, ...]:
    """The comma-separated phrases of a text."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


THINGS = _words("""
box letter table lamp bridge ledger boat engine window basket wheel key bottle coat drum rope
mirror clock hammer kettle door chair map ladder bell wagon pump blanket fence stove barrel barrel
coin ticket flag pipe statue carpet crate violin bucket cable candle rail kite bench tent anchor
battery switch sack oven filter magnet valve gate cart camera radio book scarf glove helmet saddle
plough spade net oar sail mast needle thread button comb plate spoon fork cup bowl jar lid tray
napkin pillow curtain frame hinge bolt screw nail plank brick tile stone pebble shell feather leaf
root seed branch log stump hedge pond well trench tunnel tower dome arch pillar stair cellar attic
roof chimney gutter vault safe drawer folder envelope stamp poster banner badge medal trophy
ribbon whistle trumpet flute guitar piano harp pencil crayon eraser ruler compass globe diary
journal manual receipt invoice voucher parcel trunk suitcase wallet
""")
PLACES = _words("""
harbour market garden station library workshop valley square museum mill orchard school hall yard
quarry chapel beach forest canal office kitchen theatre clinic depot warehouse meadow plaza pier
bakery foundry airfield archive stadium courtyard hostel tavern farm laboratory terrace vineyard
dam lighthouse gallery laundry nursery park reservoir studio terminal village
""")
ROLES = _words("""
teacher baker driver nurse clerk pilot farmer painter sailor lawyer engineer doctor cook guard
writer tailor printer miner porter singer librarian judge editor waiter carpenter plumber surveyor
gardener dentist actor mechanic chemist banker barber fisher courier referee tutor archivist
geologist translator beekeeper locksmith welder auditor florist jeweller optician sculptor butcher
""")
ADJECTIVES = _words("""
old small new large red quiet cold narrow bright heavy empty broken local early green long dark
soft wooden sharp strange plain clean warm blue steep distant famous careful hollow rusty silver
eastern gentle rough spare loose modern secret yellow crooked shallow damp faint proud hasty rural
private public urgent vivid curved tidy clumsy patient brittle fragile golden sturdy noisy polite
stubborn sour sweet tender thick thin usual vacant weary western young annual brief cheap dusty
elegant foreign grey humble idle joint keen lively muddy northern odd pale rapid salty tall upper
vast white frozen cracked painted folded twisted hidden polished borrowed forgotten unusual
expensive southern ripe dull round square flat
""")
VERBED = _words("""
found carried moved opened repaired sold painted dropped borrowed left cleaned lifted measured
kept lost bought hid closed checked shook tied built returned broke followed washed buried covered
counted crossed damaged drew dragged emptied examined filled fixed folded guarded handed hung
heated inspected joined kicked labelled locked loaded marked mended missed noticed offered ordered
packed passed photographed placed polished poured pressed pulled pushed raised reached recorded
removed rented replaced rescued rolled sealed searched sent shared signed sketched spilled stacked
stored struck swapped tested tore touched traced trimmed turned unloaded untied visited wanted
watched weighed wiped wrapped admired approved
""")
ADVERBS = _words("""
slowly quickly quietly again carefully later once already finally twice gently suddenly often
still together alone barely calmly eagerly easily freely gladly hardly kindly loudly nearly neatly
openly partly politely promptly rarely roughly sadly safely simply slightly softly soon usually
warmly willingly
""")
ABSTRACT = _words("""
plan price idea delay rule answer change weather budget contract journey promise mistake season
agreement question reason report result risk trade debate habit custom duty offer permit project
quarrel rumour schedule signal strike tax theory tradition treaty victory vote warning welcome
exam festival election permission repair rehearsal survey inspection merger
""")
MATERIALS = _words("""
iron copper clay glass wool cotton leather paper tin brass oak pine marble silk rubber steel wax
linen cork bronze
""")
FOODS = _words("""
bread soup rice cheese apples fish honey beans butter onions plums noodles eggs pears mushrooms
olives walnuts cabbage ginger lentils oats peppers spinach turnips figs cherries garlic barley
""")
TIMES = phrases("""
in the morning, before noon, last week, at dusk, after lunch, on Monday, this spring, two days
later, at night, in the end, for an hour, by evening, last year, on Friday, in winter, at dawn,
during the storm, within a week, after the meeting, on Sunday, every summer, a month ago, before
the holiday, at midnight, on Tuesday afternoon, since the flood, until sunset, in late autumn, on
Thursday, after the concert, over the weekend, at closing time
""")
MONTHS = _words("""
January February March April May June July August September October November December
""")
WEEKDAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
FIRST_NAMES = _words("""
Anna Ben Clara David Elena Felix Greta Hugo Irene Jonas Katja Liam Mara Nils Olga Pavel Quinn Rosa
Simon Tessa Umar Vera Walter Xenia Yusuf Zoe Adele Boris Carmen Dario Edith Farid Gwen Hana Ivan
Julia Karim Lena Milo Nadia Otto Petra Ravi Sofia Tomas Ursula Viktor Wanda Yara Zeno Agnes Bruno
Celia Dmitri Esther Franz Gloria Henrik Ines Jamal Kira Leon Mina Noel Oscar Paula Ruben Selma
Theo Una Valerie Wim Yves Zara Arno Beth Colin Dora Emil Flora Gustav Heidi Igor Jana Kurt Lydia
Marek Nora Ole Pia Rolf Stella Tilda Ugo Vito Wenda Amir Bella Cyrus Diana Eric Fiona Georg Helen
Isaac Joan Kevin Lucy Mark Nina Omar Polly Rita Sven Tara
""")
HEADS = _words("""
Al Bar Cor Dal El Fen Gar Hol Is Jor Kal Lor Mar Nor Os Pel Quar Ros Sal Tor Ul Var Wes Yor Zan
Bren Car Dun Far Gil Hart Kess Lan Mor Nev Oak Pra Rad Sten Tam Vel Win Aber Brun Cray Dell Esk
Fros Grim Hav
""")
MIDDLES = _words("a e i o u an er in ol ar en is or ul am et il")
TAILS = _words("""
son ford ley man ton berg well sky mann ridge stad wick dale by ro na vic mond ska ler gren bury
holt rey den nov cott low ham ster ka lin dez ras tov mer quist gate ros bin dahl
""")
STREET_KINDS = _words("Street Lane Road Avenue Row Close Way Hill Court Drive")
COMPANY_KINDS = _words("""
Ltd Works Trading Partners Group Foods Motors Press Labs Supply Insurance Freight
""")
FEELINGS = _words("""
proud lonely afraid grateful angry excited sad hopeful jealous surprised guilty nervous calm
embarrassed
""")
TRAITS = _words("""
shy clever generous lazy brave careless honest cheerful strict curious moody loyal
""")
HOBBIES = _words("""
chess sailing knitting running pottery astronomy gardening fencing baking climbing painting
archery cycling diving juggling carpentry
""")
VERBS = _words("""
find carry move open repair sell paint drop borrow clean lift measure keep lose buy hide close
check tie build return break wash cover count draw empty examine fill fix fold guard heat inspect
lock load mark mend notice order pack pass place polish pull push record remove rent replace seal
send share sign sketch stack store test trim turn weigh wipe wrap
""")
IDENTIFIERS = _words("""
count total index value result name path limit offset buffer token items rows cache queue state
level score width height depth price weight batch cursor header label margin node origin parent
query ratio source target user vector window zone account balance client device event factor group
handle image job
""")

WORDS: dict[str, tuple[str, ...]] = {
    "thing": THINGS,
    "spot": PLACES,
    "role": ROLES,
    "adj": ADJECTIVES,
    "verbed": VERBED,
    "verb": VERBS,
    "adverb": ADVERBS,
    "matter": ABSTRACT,
    "material": MATERIALS,
    "food": FOODS,
    "when": TIMES,
    "month": MONTHS,
    "weekday": WEEKDAYS,
    "first": FIRST_NAMES,
    "feeling": FEELINGS,
    "trait": TRAITS,
    "hobby": HOBBIES,
    "ident": IDENTIFIERS,
}
