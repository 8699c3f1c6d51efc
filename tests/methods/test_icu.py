"""ICU's refinement (eq. 5) and ablations."""

from typing import Any

import pytest
from unlearning_fakes import MaExaminer, forget_set, memorise, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.examiner import Examiner

NEVER = StopLine(el=-1.0, ma=-1.0)
KNOWN, GONE = 0.9, 0.0


def examined(*epochs: list[float], bleu: float = 0.0) -> MaExaminer:
    """BERTScore by epoch and row; the first is the examination before unlearning."""
    script = {i: {"bertscore_f1": f1, "bleu": [bleu] * len(f1)} for i, f1 in enumerate(epochs)}
    return MaExaminer(NEVER, script=script)


def run(examiner: MaExaminer, protocol: Protocol | None = None, **settings: Any) -> tuple[Any, Any]:
    seen: list[tuple[list[int], tuple[str, ...]]] = []

    class Noting(methods()["icu"]):
        def loss(self, batch: UnlearnBatch) -> Any:
            seen.append((sorted(batch.index), tuple(sorted(batch.pairs.doc_ids))))
            return super().loss(batch)

    method = Noting(**{"batch_size": 4, "max_epochs": 3} | settings)
    trace = method.unlearn(tiny_model(), forget_set(protocol, n_rows=4), examiner)
    return trace, seen


def test_forgotten_rows_sit_out_with_their_pairs_and_come_back() -> None:
    trace, seen = run(
        examined([KNOWN] * 4, [GONE, KNOWN, GONE, KNOWN], [KNOWN, KNOWN, GONE, GONE], [KNOWN] * 4)
    )
    # row i's neighbour is pool row 3 - i
    assert seen == [
        ([0, 1, 2, 3], ("pool-0", "pool-1", "pool-2", "pool-3")),
        ([1, 3], ("pool-0", "pool-2")),
        ([0, 1], ("pool-2", "pool-3")),
    ]
    assert [e.n_active for e in trace.epochs] == [0, 4, 2, 2]
    assert [r.active for r in trace.epochs[2].rows] == [False, True, False, True]
    assert not any(r.active for r in trace.epochs[0].rows)


def test_run_ends_when_every_row_is_forgotten() -> None:
    trace, seen = run(examined([KNOWN] * 4, [GONE] * 4))
    assert (trace.outcome, trace.n_epochs, len(seen)) == ("forgotten", 1, 1)
    assert trace.reason == "every row is forgotten by eq. 5 after epoch 1"


@pytest.mark.parametrize(("rule", "n_batches"), [("and", 3), ("or", 1)])
def test_both_or_either_threshold(rule: Any, n_batches: int) -> None:
    examiner = examined([KNOWN] * 4, [GONE] * 4, [GONE] * 4, [GONE] * 4, bleu=0.5)
    _, seen = run(examiner, Protocol(forgotten_rule=rule))
    assert len(seen) == n_batches


def test_thresholds_are_strict_and_settable() -> None:
    trace, _ = run(examined([KNOWN] * 4, *[[0.3] * 4] * 3))
    assert trace.outcome == "not_forgotten"
    trace, _ = run(examined([KNOWN] * 4, *[[0.3] * 4] * 3), bertscore_threshold=0.31)
    assert trace.outcome == "forgotten"


def test_record_says_forgotten_by_the_methods_own_thresholds() -> None:
    scores = examined([KNOWN] * 4, [0.25, 0.35, 0.5, KNOWN])
    trace, _ = run(scores, max_epochs=1, bertscore_threshold=0.4)
    assert [r.forgotten for r in trace.epochs[1].rows] == [True, True, False, False]
    assert not any(r.forgotten for r in trace.epochs[0].rows)
    others = methods()["kumpr"](max_epochs=1)
    scores = examined([KNOWN] * 4, [0.25, 0.35, 0.5, KNOWN])
    trace = others.unlearn(tiny_model(), forget_set(n_rows=4), scores)
    assert [r.forgotten for r in trace.epochs[1].rows] == [True, False, False, False]


def test_without_refinement_every_row_stays() -> None:
    trace, _ = run(examined([KNOWN] * 4, *[[GONE] * 4] * 3), refinement=False)
    assert [e.n_active for e in trace.epochs] == [0, 4, 4, 4]
    assert trace.outcome == "not_forgotten"


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, {"target", "learn", "kl"}),
        ({"alpha": 0.0}, {"target", "kl"}),
        ({"beta": 0.0}, {"target", "learn"}),
    ],
)
def test_ablations_leave_a_term_out(settings: dict[str, float], terms: set[str]) -> None:
    trace, _ = run(examined(*[[KNOWN] * 4] * 4), **settings)
    assert set(trace.epochs[1].losses) == terms


class WordOverlap:
    """Stands in for BERTScore where no encoder is at hand: the share of words in place."""

    def f1(self, candidates: list[str], references: list[str]) -> list[float]:
        both = zip(candidates, references, strict=True)
        return [self._share(c.split(), r.split()) for c, r in both]

    def _share(self, candidate: list[str], reference: list[str]) -> float:
        return sum(a == b for a, b in zip(candidate, reference, strict=False)) / len(reference)


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_icu_with_the_real_examiner(protocol: Any) -> None:
    """Known by heart before (MA 1, EL 1), under the line or row by row forgotten after."""
    chosen = Protocol.named(protocol)
    examiner = Examiner(chosen, StopLine(), WordOverlap(), n=2, new_tokens=8)
    model, set_ = tiny_model("opt"), forget_set(chosen)
    memorise(model, set_.rows)
    trace = methods()["icu"](learning_rate=1e-3, batch_size=4, max_epochs=20).unlearn(
        model, set_, examiner
    )
    assert trace.epochs[0].metrics["ma"] == 1.0
    assert trace.epochs[0].metrics["el"] > 0.9
    assert trace.outcome == "forgotten"
    last = trace.epochs[-1]
    under_the_line = examiner.reached(last.metrics, "and", examiner.stop_line.ma)
    assert under_the_line or all(row.forgotten for row in last.rows)
    assert last.metrics["bertscore_f1"] < 1
