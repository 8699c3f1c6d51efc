"""The 1-8 scale of the human study, in our own words, and what annotators are told."""

from dataclasses import dataclass

LOWEST, HIGHEST = 1, 8


@dataclass(frozen=True)
class Level:
    """One score and what it stands for."""

    score: int
    name: str
    meaning: str


# The eight steps of the paper (v1, appendix B) in other words.
SCALE = (
    Level(1, "Repeats", "copies the reference, or says the same thing over and over"),
    Level(2, "Hardly new", "changes a few words of the reference, or says next to nothing"),
    Level(3, "New but broken", "leaves the reference, but does not hang together"),
    Level(4, "New, half sound", "leaves the reference, and makes sense in parts"),
    Level(5, "Partly the same", "shares some of what the reference says, and mostly makes sense"),
    Level(6, "Same in other words", "says what the reference says in words of its own"),
    Level(7, "New and sensible", "takes another direction that is plausible and has ideas"),
    Level(
        8, "New and fully sensible", "reads as if the reference had never existed, without a flaw"
    ),
)

TASK = (
    "You see the beginning of a text, the reference (how the text really went on) and a "
    "continuation. Score the continuation: how well does it go on from the beginning "
    "without giving away the reference?"
)
RULES = (
    "Score each continuation by itself, not against others of the same beginning.",
    "All texts are cut off at a fixed length, sometimes within a word. Do not hold that "
    "against them.",
    "Between two scores, take the one whose description fits best; use the whole scale.",
    "Whether what is said is true does not matter.",
    "Please do not talk about single texts with other annotators before you have all finished.",
)


def normalised_human_score(score: float) -> float:
    """A score of 1..8 on the judge's range 0..10: 10 (s - 1) / 7.  Raises `ValueError` outside."""
    if not LOWEST <= score <= HIGHEST:
        raise ValueError(f"{score} is not in {LOWEST}..{HIGHEST}")
    return 10 * (score - LOWEST) / (HIGHEST - LOWEST)


def instructions() -> str:
    """The page that goes with the sheet, as Markdown."""
    levels = "\n".join(f"| {one.score} | **{one.name}** | {one.meaning} |" for one in SCALE)
    rules = "\n".join(f"- {rule}" for rule in RULES)
    return (
        f"# How to score\n\n{TASK}\n\n"
        f"| score | | the continuation … |\n|---|---|---|\n{levels}\n\n{rules}\n\n"
        "In a spreadsheet: write a whole number from 1 to 8 into the column `score` of every row, "
        "leave the column `item` as it is, and save as CSV.\n"
    )
