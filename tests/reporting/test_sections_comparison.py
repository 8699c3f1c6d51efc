"""Two results folders side by side: matched rows, tested differences, what differs in making."""

from typing import Any

import numpy as np
import pytest
from golden_results import golden_results, result

from unlearnbench.analysis.table import ABSENT
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.reporting.comparison import comparison_blocks
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.results.record import Environment, Result
from unlearnbench.results.score import Score

NAMES = ("old", "new")
SETS = {"sets": {"lambada": "a" * 64}}
KL = result("NEO + KL", method="kl", position=1)


def compared(first: list[Result], second: list[Result]) -> list[Listing]:
    made = comparison_blocks(Findings(tuple(first)), Findings(tuple(second)), NAMES)
    for listing in made:
        assert isinstance(listing, Listing)
        assert all(len(row) == len(listing.headers) for row in listing.rows)
    return list(made)


def values(listing: Listing) -> dict[tuple[str, str], tuple[str, ...]]:
    return {row[:2]: row[2:] for row in listing.rows}


def notes(listing: Listing, kind: str) -> str:
    return " ".join(note.text for note in listing.notes if note.kind == kind)


def with_documents(one: Result, name: str, task: str, outcomes: dict[str, float]) -> Result:
    mean = sum(outcomes.values()) / len(outcomes)
    score = Score(value=mean, n=len(outcomes), higher_is_better=True, documents=outcomes)
    return one.model_copy(update={"scores": {task: {name: score}}})


def ma_of(shift: float, **changes: Any) -> Result:
    """A result whose 40 rows have an MA of their own, and `shift` more."""
    given = np.random.default_rng(0).uniform(0.2, 0.6, 40)
    noise = np.random.default_rng(int(1e3 * shift)).normal(0, 0.01, 40) if shift else np.zeros(40)
    outcomes = {str(i): float(v) for i, v in enumerate(given + shift + noise)}
    return with_documents(result(**changes), "ma", "forgetting", outcomes)


def test_identical_folders_are_said_to_be_so_in_one_line():
    (only,) = compared(golden_results(), golden_results())
    assert only.title.endswith("old and new are the same in every value")
    ((n_rows, n_values, differing),) = only.rows
    assert (n_rows, differing) == ("9", "none")
    assert int(n_values) > 50


def test_what_differs_comes_first_and_only_what_differs():
    env = Environment(
        python="3.12", platform="test", packages={"torch": "2.13"}, n_threads=1,
        git_commit="f" * 40, git_dirty=True,
    )  # fmt: skip
    protocol = {**vars(Protocol()), "loss_span": "all"}
    other = result(settings={"learning_rate": 1e-4}, environment=env, protocol=protocol)
    made, _ = compared([result(), KL], [other, KL.model_copy(update={"protocol": protocol})])
    assert made.rows == (
        ("protocol.loss_span", "all", "suffix", "all"),
        ("settings.learning_rate", "NEO + ICU", "5e-6", "1e-4"),
        ("python", "NEO + ICU", "3.11", "3.12"),
        ("git_commit", "NEO + ICU", "none", "ffffffffff"),
        ("git_dirty", "NEO + ICU", "none", "true"),
        ("packages.torch", "NEO + ICU", ABSENT, "2.13"),
    )
    assert (made.headers, made.n_labels) == (("", "Rows", *NAMES), 4)


def test_models_data_dtype_and_limits_are_among_what_may_differ():
    model = result().model.model_copy(update={"weights_sha256": "b" * 64, "dtype": "bfloat16"})
    given = result().forget_set.model_copy(update={"content_sha256": "c" * 64})
    identity = {"tasks": {"limit": 5}, "software": {"harness": "d" * 64}, **SETS}
    made, _ = compared([result()], [result(model=model, forget_set=given, identity=identity)])
    facts = {row[0]: row[1:] for row in made.rows}
    assert facts == {
        "model.weights_sha256": ("all", result().model.weights_sha256[:10], "b" * 10),
        "model.dtype": ("all", "float32", "bfloat16"),
        "forget set 0": ("all", *(f"nano/0, 128 rows, {digest[:10]}" for digest in
                                  (result().forget_set.content_sha256, "c" * 10))),
        "tasks.limit": ("all", ABSENT, "5"),
        "sets.lambada": ("all", ABSENT, "a" * 10),
        "software.harness": ("all", ABSENT, "d" * 10),
    }  # fmt: skip


def test_a_real_difference_is_told_apart_on_the_same_documents():
    *_, listing = compared([ma_of(0.0)], [ma_of(0.05)])
    ours, theirs, gap, interval, p, n_documents = values(listing)["NEO + ICU", "MA (%)"]
    assert float(theirs) - float(ours) == pytest.approx(float(gap), abs=0.11)
    low, high = map(float, interval.split(" to "))
    assert 4 < low < float(gap) < high < 6
    assert (p, n_documents) == ("<0.001", "40")
    assert "new minus old" in notes(listing, "paired")


def test_other_forget_sets_are_not_paired():
    given = result().forget_set.model_copy(update={"content_sha256": "c" * 64})
    *_, listing = compared([ma_of(0.0)], [ma_of(0.05, forget_set=given)])
    assert values(listing)["NEO + ICU", "MA (%)"][3:] == (ABSENT, ABSENT, ABSENT)
    assert "MA (%)" in notes(listing, "untested")


def test_questions_are_paired_only_if_they_are_the_same_file():
    right = {str(i): float(i % 2) for i in range(30)}
    wrong = {str(i): float(i % 5 == 0) for i in range(30)}
    first = with_documents(result(identity=SETS), "cls_avg", "classification", right)
    same = with_documents(result(identity=SETS), "cls_avg", "classification", wrong)
    *_, listing = compared([first], [same])
    assert values(listing)["NEO + ICU", "Cls Avg. (ACC)"][5] == "30"
    edited = same.model_copy(update={"identity": {"sets": {"lambada": "e" * 64}}})
    *_, listing = compared([first], [edited])
    assert values(listing)["NEO + ICU", "Cls Avg. (ACC)"][3:] == (ABSENT, ABSENT, ABSENT)


def test_p_values_are_corrected_for_every_tested_value():
    methods = ("icu", "kl", "llmu", "dpo")
    first = [ma_of(0.0, label=f"NEO + {m.upper()}", method=m) for m in methods]
    second = [ma_of(0.003, label="NEO + ICU", method="icu"), *first[1:]]
    *_, alone = compared(first[:1], second[:1])
    *_, four = compared(first, second)
    p_alone, p_four = (float(values(one)["NEO + ICU", "MA (%)"][4]) for one in (alone, four))
    assert 0 < p_alone < p_four <= 1
    assert p_four == pytest.approx(min(1.0, 4 * p_alone), abs=0.003)
    assert "3 of 12" not in notes(four, "equal")
    assert notes(four, "equal").startswith("The same in both and not listed: ")


def test_rows_are_matched_by_their_settings_and_the_rest_is_named():
    kl = {"label": "NEO + KL", "method": "kl"}
    first = [
        result(**kl, settings={"learning_rate": rate}, scores={"el10": rate * 1e3})
        for rate in (1e-4, 2e-4)
    ]
    second = [result(**kl, settings={"learning_rate": 2e-4}, scores={"el10": 0.3}), result()]
    *_, listing = compared(first, second)
    assert values(listing)["NEO + KL (learning_rate=2e-4)", "EL10 (%)"][:2] == ("20.0", "30.0")
    assert "stands for NEO + KL in new" in notes(listing, "matched")
    assert (
        notes(listing, "only")
        == "Only in old: NEO + KL (learning_rate=1e-4). Only in new: NEO + ICU."
    )


def test_groups_of_two_protocols_are_compared_all_the_same():
    released = {"protocol_name": "released", "protocol": vars(Protocol.named("released"))}
    made, listing = compared([result()], [result(**released, scores={"el10": 0.5})])
    assert ("protocol.name", "all", "paper", "released") in made.rows
    assert values(listing)["NEO + ICU", "EL10 (%)"][:3] == ("4.0", "50.0", "+46.00")


def test_several_groups_are_matched_by_name_and_others_named():
    first = [result(), result(group="neo-125m")]
    second = [result(scores={"el10": 0.2}), result(group="gpt2")]
    *_, last = compared(first, second)
    assert last.title.startswith("nano-neo")
    assert notes(last, "only") == "Only in old: neo-125m. Only in new: gpt2."
    with pytest.raises(UserError, match="no model in common: nano-neo, neo-125m against gpt2"):
        compared(first, second[1:])
