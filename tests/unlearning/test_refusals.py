"""Refusals in place of suffixes: what is drawn, whose they are, and those of the nano world."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from unlearning_fakes import forget_set, prefix_of, tiny_model

from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.errors import UserError
from unlearnbench.nano import NANO, model_path
from unlearnbench.unlearning.alternatives import Alternatives, refusals_of

ANSWERS = ("t3 t4 t5", "t9", "t11 t12")
SUFFIXES = ([3, 4, 5], [9], [11, 12])


def drawn(set_: Any, rows: Sequence[int], epoch: int = 1, seed: int = 0) -> list[list[int]]:
    """The suffixes of one epoch, whose given tokens are the rows'."""
    model = tiny_model()
    options = [refusals_of(model, set_)] * len(set_.rows)
    alternatives = Alternatives(model, set_, options, seed, n_epochs=8)
    made = alternatives.sequences.select(alternatives.places(rows, epoch))
    assert [prefix_of(made, i) for i in range(len(made))] == [prefix_of(set_.rows, r) for r in rows]
    return [made.suffix(i) for i in range(len(made))]


def test_a_refusal_is_drawn_anew_for_each_row_in_each_epoch() -> None:
    set_ = forget_set(refusals=ANSWERS, lengths=(16, 12))
    rows = [4, 1, 2, 0, 5]
    uses = [drawn(set_, rows, epoch) for epoch in range(1, 5)]
    assert all(suffix in SUFFIXES for use in uses for suffix in use)
    assert len({str(use) for use in uses}) > 1
    assert uses == [drawn(set_, rows, epoch) for epoch in range(1, 5)]
    assert uses != [drawn(set_, rows, epoch, seed=1) for epoch in range(1, 5)]


def test_what_a_row_gets_does_not_depend_on_the_rows_beside_it() -> None:
    set_ = forget_set(refusals=ANSWERS)
    assert drawn(set_, [4, 1, 2], 3)[1:] == drawn(set_, [1, 2], 3)


def test_the_users_refusals_go_before_the_sources_own() -> None:
    stock = replace(forget_set(), stock_refusals=("t9",))
    assert drawn(stock, [0, 1]) == [[9], [9]]
    assert drawn(replace(stock, refusals=("t3 t4 t5",)), [0, 1]) == [[3, 4, 5], [3, 4, 5]]
    with pytest.raises(UserError, match=r"'fake' has no refusals; .* --refusals FILE"):
        drawn(forget_set(), [0])


def test_the_nano_world_has_refusals_that_its_models_read() -> None:
    from unlearnbench.models.loading import load_model

    source = open_source(ForgetRequest("nano"))
    assert source.stock_refusals == NANO.refusals()
    assert len(set(source.stock_refusals)) == 12
    assert source.refusals == ()
    model = load_model(str(model_path("nano-neo")), device="cpu")
    assert mean_nll(model, source.stock_refusals) < 0.65 * math.log(len(model.tokenizer))
    assert mean_nll(model, ["I do not know that.", "Nobody asked me."]) > 0.9 * math.log(2048)


@torch.no_grad()
def mean_nll(model: Any, texts: Sequence[str]) -> float:
    """Over the tokens of each text after its first, then over the texts; nats."""
    nlls = []
    for text in texts:
        ids = torch.tensor([model.tokenizer("\n" + text)["input_ids"]])
        logits = model.logits(ids, torch.ones_like(ids))[0, :-1]
        nlls.append(float(torch.nn.functional.cross_entropy(logits, ids[0, 1:])))
    return sum(nlls) / len(nlls)


@pytest.fixture
def given(tmp_path: Any) -> Callable[[str], str]:
    """A file of refusals."""

    def write(text: str) -> str:
        path = tmp_path / "refusals.txt"
        path.write_text(text)
        return str(path)

    return write


def test_running_text_takes_the_users_refusals(given: Callable[[str], str]) -> None:
    plain = open_source(ForgetRequest("nano"))
    ours = open_source(ForgetRequest("nano", refusals=given("Nobody knew.\n\nNever.\n")))
    assert ours.refusals == ("Nobody knew.", "Never.")
    assert ours.sha256("0") != plain.sha256("0")
    others = open_source(ForgetRequest("nano", refusals=given("Nobody knew.\n")))
    assert others.sha256("0") not in (ours.sha256("0"), plain.sha256("0"))
