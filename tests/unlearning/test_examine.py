"""The examiner: its numbers are the metrics', its decisions those of eq. 5 and the stop rule."""

from contextlib import contextmanager
from dataclasses import replace
from math import isnan
from statistics import fmean, stdev

import pytest
import torch
from continuations import continue_rows
from extraction_cases import tiny_model

from unlearnbench.data.row_limit import RowLimit
from unlearnbench.data.stop_line import StopLine, is_forgotten
from unlearnbench.errors import UserError
from unlearnbench.metrics.extraction import extraction_scores
from unlearnbench.metrics.text import sentence_bleu, token_entropy
from unlearnbench.models.generation.branches import prefill_batches
from unlearnbench.models.generation.continuing import continue_prefilled
from unlearnbench.protocol import Protocol
from unlearnbench.unlearning.examiner import Examiner
from unlearnbench.unlearning.stop_line import stop_line_of, unseen_scores


class Spelling:
    """A tokenizer whose tokens are words: id 7 is 'w7'."""

    eos_token_id, pad_token_id = 0, 2

    def decode(self, ids, **options):
        assert options == {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return " ".join(f"w{i}" for i in ids)


class SharedWords:
    """In the place of BERTScore: the share of words in common."""

    def forget(self):
        """It remembers nothing."""

    def f1(self, candidates, references):
        pairs = zip(candidates, references, strict=True)
        return [
            len(set(c.split()) & set(r.split())) / max(1, len(set(c.split()) | set(r.split())))
            for c, r in pairs
        ]


@pytest.fixture(scope="module")
def known():
    model, rows = tiny_model("gpt-neo", steps=18)
    model.tokenizer = Spelling()
    return model, rows


def examiner(**changes):
    base = Examiner(Protocol(), StopLine(), SharedWords(), n=4, new_tokens=16)
    return replace(base, **changes)


def test_records_hold_each_metric_of_each_row(known):
    model, rows = known
    records = examiner().examine(model, rows)
    scores = extraction_scores(model, rows, Protocol(), 4)
    ids = continue_rows(model, rows, Protocol(), 16)
    assert [r.doc_id for r in records] == list(rows.doc_ids)
    assert ([r.el for r in records], [r.ma for r in records]) == (scores.el, scores.ma)
    for row, record in enumerate(records):
        suffix = " ".join(f"w{i}" for i in rows.suffix(row))
        assert record.continuation == " ".join(f"w{i}" for i in ids[row])
        assert record.bleu == sentence_bleu(record.continuation, suffix)
        assert record.bertscore_f1 == SharedWords().f1([record.continuation], [suffix])[0]
        assert record.entropy == token_entropy(ids[row])
    assert {r.bleu > 0.01 for r in records} == {True, False}


def test_rows_are_judged_by_themselves_in_any_order(known):
    model, rows = known
    records = {r.doc_id: r for r in examiner().examine(model, rows)}
    turned = examiner().examine(model, rows.select([4, 1, 3]))
    assert [r.doc_id for r in turned] == ["doc-4", "doc-1", "doc-3"]
    for record in turned:
        assert record.bleu == records[record.doc_id].bleu
        assert record.el == pytest.approx(records[record.doc_id].el, abs=1e-12)


def test_one_pass_serves_memorisation_extraction_and_continuations(known):
    model, rows = known
    model.meter.phases.clear()
    with torch.enable_grad():
        examiner().examine(model, rows)
    costs = model.meter.phases
    assert set(costs) == {"examine", "extraction", "continuations", "bertscore"}
    with model.meter.phase("extraction alone"):
        extraction_scores(model, rows, Protocol(), 4)
    alone = costs["extraction alone"]
    assert costs["extraction"].forward_tokens == alone.forward_tokens
    assert costs["extraction"].generated_tokens == alone.generated_tokens
    # The given tokens are known by then: what is written goes through the network, but its end.
    written = costs["continuations"]
    assert 0 < written.forward_tokens < written.generated_tokens


@pytest.mark.parametrize("continuation", ["greedy", "beam"])
@pytest.mark.parametrize("n_given", [(6, 6, 6, 6, 6), (6, 9, 4, 6, 12)], ids=["same", "mixed"])
def test_continuations_are_the_same_after_a_pass_over_whole_rows(known, continuation, n_given):
    model, rows = known
    protocol = Protocol(continuation=continuation)
    rows = replace(rows.select(range(5)), n_given=torch.tensor(n_given))
    for batch_size in (2, 32):
        found = [
            ids
            for batch, prefill in prefill_batches(model, rows.input_ids, batch_size)
            for ids in continue_prefilled(model, rows.select(batch), prefill, protocol, 9)
        ]
        assert found == continue_rows(model, rows, protocol, 9, batch_size)


@pytest.mark.parametrize(
    ("rule", "f1", "bleu", "forgotten"),
    [
        ("and", 0.29, 0.009, True),
        ("and", 0.29, 0.01, False),
        ("and", 0.3, 0.009, False),
        ("or", 0.3, 0.009, True),
        ("or", 0.29, 0.01, True),
        ("or", 0.3, 0.01, False),
    ],
)
def test_forgotten_is_equation_5(rule, f1, bleu, forgotten):
    assert is_forgotten(f1, bleu, rule) is forgotten
    assert is_forgotten(f1 + 0.1, bleu + 0.1, rule, 0.4, 0.11) is forgotten


@pytest.mark.parametrize(
    ("rule", "el", "ma", "reached"),
    [
        ("and", 0.0498, 0.5993, True),
        ("and", 0.0499, 0.5993, False),
        ("and", 0.0498, 0.5994, False),
        ("or", 0.0499, 0.5993, True),
        ("or", 0.0498, 0.5994, True),
        ("or", 0.0499, 0.5994, False),
    ],
)
def test_the_stop_line_is_strict(rule, el, ma, reached):
    assert examiner().reached({"el": el, "ma": ma}, rule, 0.5994) is reached


def test_extraction_is_left_out_while_it_cannot_decide(known):
    model, rows = known
    judge = examiner(el_epochs="deciding")
    spared = judge.examine(model, rows, ma_line=0.0)
    full = judge.examine(model, rows, ma_line=1.1)
    assert all(isnan(record.el) for record in spared)
    assert [r.ma for r in spared] == [r.ma for r in full]
    assert [r.el for r in full] == [r.el for r in examiner().examine(model, rows)]
    assert not judge.reached(judge.means(spared), "and", 1.1)


def test_a_single_row_is_held_against_unseen_ones_under_the_same_model(known):
    """The NLL is computed from the logits of one row at a time."""
    model, rows = known[0], known[1].select([0, 1, 4])  # the others have no suffix
    records = examiner().examine(model, rows)
    limit = RowLimit(el=1.0, ma=1.0, how="none over EL or MA")
    nll = [nll_of_suffix(model, rows, row) for row in range(len(rows))]
    for at in range(len(rows)):  # one unseen row: its own NLL is the limit
        judge = examiner(stop_line=StopLine(limit=limit), unseen=rows.select([at]))
        likelier = [r.doc_id for r, own in zip(records, nll, strict=True) if own < nll[at] - 1e-6]
        assert list(judge.known_rows(model, rows, records)) == likelier
    least = min(range(len(rows)), key=nll.__getitem__)
    strict = limit.model_copy(update={"ma": max(r.ma for r in records) - 1e-6})
    judge = examiner(stop_line=StopLine(limit=strict), unseen=rows.select([least]))
    assert [r.ma for r in records if r.doc_id in judge.known_rows(model, rows, records)] == [
        max(r.ma for r in records)
    ]
    assert examiner().known_rows(model, rows, records) == ()


def nll_of_suffix(model, rows, row):
    ids, start = torch.tensor([rows.tokens(row)]), int(rows.n_given[row])
    logits = model.network(ids).logits[0, start - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, ids[0, start:]).item()


def test_extraction_is_left_out_while_a_row_is_likelier_than_unseen_ones(known):
    model, rows = known[0], known[1].select([0, 1, 4])
    least = max(range(len(rows)), key=lambda row: nll_of_suffix(model, rows, row))
    line = StopLine(limit=RowLimit(el=1.0, ma=1.0, how=""))
    judge = examiner(stop_line=line, unseen=rows.select([least]), el_epochs="deciding")
    assert all(isnan(record.el) for record in judge.examine(model, rows, ma_line=1.1))
    assert not any(isnan(record.el) for record in judge.examine(model, rows))


def forward_tokens(model):
    return sum(cost.forward_tokens for cost in model.meter.phases.values())


def test_an_unchanged_model_is_not_examined_twice(known):
    model, rows = known
    judge = examiner()
    first = judge.examine(model, rows)
    cost = forward_tokens(model)
    first[0].active = False  # what a caller does to its records stays with it
    again = judge.examine(model, rows)
    assert forward_tokens(model) == cost
    assert again[0].active
    assert [r.el for r in again] == [r.el for r in first]
    weights = next(model.network.parameters())
    with torch.no_grad():
        weights.data.mul_(1.5)
    judge.examine(model, rows)
    assert forward_tokens(model) > cost
    with torch.no_grad():
        weights.data.div_(1.5)


def test_what_acts_without_weights_is_examined_again(known):
    model, rows = known
    judge = examiner()
    plain = judge.examine(model, rows)
    head = model.network.get_output_embeddings()
    hook = head.register_forward_hook(lambda _module, _args, logits: -logits)
    try:
        assert [r.ma for r in judge.examine(model, rows)] != [r.ma for r in plain]
    finally:
        hook.remove()
    # What a hash cannot tell: the same hook, acting otherwise.
    strength = [1.0]
    hook = head.register_forward_hook(lambda _module, _args, logits: strength[0] * logits)
    try:
        mild = judge.examine(model, rows)
        strength[0] = -1.0
        assert [r.ma for r in judge.examine(model, rows)] != [r.ma for r in mild]
    finally:
        hook.remove()
    forward = head.forward
    head.forward = lambda hidden: -forward(hidden)
    try:
        assert [r.ma for r in judge.examine(model, rows)] != [r.ma for r in plain]
    finally:
        del head.forward


def test_the_first_examination_is_kept_for_others_with_its_cost(known, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))
    model, rows = known
    found, costs = [], []
    for _ in range(2):
        model.meter.phases.clear()
        judge = examiner(known_as=["tiny", 1])
        with real_passes(model) as passes:
            found.append(judge.examine(model, rows))
        costs.append({n: replace(c, seconds=0) for n, c in model.meter.phases.items()})
    assert found[0] == found[1]
    assert passes == []
    costs[0].pop("examine"), costs[1].pop("examine")  # looking it up takes its own time
    assert costs[0] == costs[1]
    for changes in ({"known_as": ["tiny", 2]}, {"protocol": Protocol(el_positions="suffix")}):
        with real_passes(model) as passes:
            examiner(**{"known_as": ["tiny", 1], **changes}).examine(model, rows)
        assert passes


@contextmanager
def real_passes(model):
    seen = []
    count = model.meter.count_forward
    model.meter.count_forward = lambda tokens: (seen.append(tokens), count(tokens))
    try:
        yield seen
    finally:
        del model.meter.count_forward


def test_means_are_over_rows(known):
    model, rows = known
    judge = examiner()
    records = judge.examine(model, rows)
    means = judge.means(records)
    assert list(means) == ["el", "ma", "bertscore_f1", "bleu", "entropy"]
    assert means["ma"] == pytest.approx(sum(r.ma for r in records) / len(records))


def test_the_calibrated_line_is_what_unseen_rows_measure(known):
    model, rows = known
    unseen = rows.select([1, 2])
    line = stop_line_of(unseen_scores(model, unseen, examiner()))
    scores = extraction_scores(model, unseen, Protocol(), 4)
    assert line.source == "calibrated"
    assert line.n_unseen == 2
    assert fmean(scores.ma) < line.ma < fmean(scores.ma) + 2 * stdev(scores.ma)
    assert fmean(scores.el) < line.el
    for nothing in (None, rows.select([])):
        with pytest.raises(UserError, match="--unseen FILE"):
            unseen_scores(model, nothing, examiner())
