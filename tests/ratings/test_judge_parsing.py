"""From replies to scores: every form that is understood, and all that must not be guessed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnbench.ratings.judge.rubric import parse_score


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Final score: 7", 7),
        ("7", 7),
        ("8.5\n", 8.5),
        ("8/10", 8),
        ("8 out of 10.", 8),
        ("Finale score: 6.5", 6.5),
        ("**Final Score:** 9", 9),
        ("### Final score: **9**/10", 9),
        ("**Final Score**\n\n**8**", 8),
        (r"Final score: $\boxed{7}$", 7),
        ("Final score: \"3\"", 3),
        ("Final score: [4]", 4),
        ("Final score (0-10): 7", 7),
        ("Final score (out of 10): 7/10", 7),
        ("Final score: (6)", 6),
        ("final score = 6", 6),
        ("FINAL SCORE:10", 10),
        ("Final score:\n\n0", 0),
        ("Final score: 10.0/10.0", 10),
        ("Final score: 8 out of ten", 8),
        ("Final score: 8 out of a possible 10", 8),
        ("Final score: 8/10 (fluent; shares 2 words)", 8),
        ("Final score: 8. The rest reads well.", 8),
        ("Final score: 8\n2. Another remark", 8),
        ("Final score: 7 – fluent, 10 words shared", 7),
        ("The final score is 5 because it loops.", 5),
        ("Final score of 8 out of 10", 8),
        ("Final rating: 2", 2),
        ("Final overall score: 2", 2),
        ("I give it a score of 8 out of 10.", 8),
        ("score of 8 out of 10", 8),
        ("Score: 7", 7),
        ("Overall score: 7/10", 7),
        ("It is fluent.\n8/10\n", 8),
        # several numbers: the last final statement
        ("Final score: 3\nOn reflection:\nFinal score: 8", 8),
        ("Fluency: 9/10. Originality: 2/10.\nFinal score: 4", 4),
        ("Score: 9\nFinal score: 4", 4),
        ("Final score: 6. A final score of 10 would need more.", 6),
        ("<think>Final score: 2?</think>It is good.\nFinal score: 9", 9),
        ("it may be a 2</think>\n9", 9),
    ],
)  # fmt: skip
def test_understood(reply: str, score: float) -> None:
    assert parse_score(reply) == score


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n ",
        "none",
        "Final score: none",
        "Final score: N/A",
        "Final score: NaN",
        "Final score: N",
        "Final score: eight",
        "Final score: 11",
        "Final score: 10.5",
        "Final score: 100",
        "Final score: -3",
        "final score -8",
        "Final score: 7-8",
        "Final score: 7 – 8",
        "Final score: 7 to 8",
        "Final score: 7 or 8",
        "Final score: 8 or so",
        "Final score: 7/10 or 8/10",
        "Final score: 7, 8",
        "Final score: 6,5",
        "Final score: 7 8",
        "Final score: between 7 and 8",
        "Final score: about 7",
        "Final score: >7",
        "Final score: 4/5",
        "Final score: 8/100",
        "Final score: 80%",
        "Final score: 8%",
        "Final score: 7th",
        "Final score: 7+",
        "Final score: 1e1",
        "Final score: 7.5.2",
        "Final score: 7\nFinal score: 7-9",
        "Final score: 7\nFinal score: X",
        "Score: 7\nScore: 8",
        "Fluency score: 9",
        "Fluency: 9/10",
        "It shares 3 of 10 names.",
        "There are 7 of them",
        "12",
        "<think>it looks like Final score: 2",
    ],
)
def test_not_guessed(reply: str) -> None:
    assert parse_score(reply) is None


@pytest.mark.parametrize("reply", ["Final score: 1", "Final score: 8.", "Final score: 8/1", "9"])
def test_a_number_where_the_reply_was_cut_off_may_be_half_of_one(reply: str) -> None:
    assert parse_score(reply, cut_off=True) is None


def test_a_number_before_the_cut_is_whole() -> None:
    assert parse_score("Final score: 8 because the candi", cut_off=True) == 8


_SCORES = st.decimals(0, 10, places=2).map(lambda d: f"{d.normalize():f}") | st.integers(0, 10).map(
    str
)
_FORMS = st.sampled_from([
    "Final score: {}", "Finale score: {}", "**Final Score:** {}", "Final score: {}/10",
    "final score is {} out of 10", "Final score:\n{}", "FINAL SCORE = **{}**.",
])  # fmt: skip
# Prose without digits, brackets and the words that announce a score.
_PROSE = st.text(st.sampled_from("abcdhijklmnop .,!?\n"), max_size=60)


@settings(deadline=None)
@given(_PROSE, _FORMS, _SCORES, _PROSE)
def test_a_stated_score_is_read_whatever_stands_around_it(
    before: str, form: str, score: str, after: str
) -> None:
    reply = f"{before}\n{form.format(score)}\n{after}"
    assert parse_score(reply) == float(score)


@settings(deadline=None)
@given(_PROSE, _FORMS, st.floats(min_value=10.01, max_value=1e6))
def test_a_number_off_the_scale_is_none(before: str, form: str, number: float) -> None:
    assert parse_score(f"{before}\n{form.format(f'{number:.2f}')}") is None


@settings(deadline=None)
@given(_FORMS, st.integers(0, 9), st.sampled_from(["-", " - ", "–", " to ", " or ", ", ", " and "]))
def test_a_range_is_none(form: str, low: int, joint: str) -> None:
    assert parse_score(form.format(f"{low}{joint}{low + 1}")) is None


_PIECES = st.lists(
    st.sampled_from([
        "Final score", "score", ":", " ", "\n", "10", "7", ".", "/", "-", "out of", "is", "(", ")",
        "**", "<think>", "</think>", "%", "NaN", "a ",
    ]) | st.text(max_size=5),
    max_size=25,
).map("".join)  # fmt: skip


@settings(deadline=None)
@given(_PIECES, st.booleans())
def test_any_text_gives_a_score_on_the_scale_or_none(reply: str, cut_off: bool) -> None:
    score = parse_score(reply, cut_off=cut_off)
    assert score is None or 0 <= score <= 10
    if score is not None and cut_off:  # the cut can only take scores away
        assert parse_score(reply) == score


def test_a_very_long_reply_is_read_in_one_pass() -> None:
    """A pattern that goes back and forth would take hours over some of these."""
    for piece in (" ", "\n", "9", ".", "final score ", "<think>", "score of ", "a score  ", "8/"):
        assert parse_score(piece * (100_000 // len(piece))) is None
