"""Continuations, and the sections that show them: side by side, and over the epochs."""

import random

import numpy as np
import pytest
from golden_results import METRICS, golden_results, recorded, result

from unlearnbench.analysis.table import ABSENT
from unlearnbench.errors import UserError
from unlearnbench.reporting.continuations import (
    Continuation,
    Texts,
    at_start,
    best_known,
    evenly_spaced,
    final,
    over_epochs,
)
from unlearnbench.reporting.document import Case, Findings, Listing
from unlearnbench.reporting.sections import cases, process
from unlearnbench.results.record import EpochRecord, ForgetSetRecord, RowRecord, UnlearnTrace
from unlearnbench.results.score import Score

METRICS = [
    *METRICS,
    *recorded("forgetting", "bertscore_f1"),
]  # fmt: skip
DOC_IDS = ("7", "30", "4")
MA = {"7": 0.5, "30": 1.0, "4": 1.0}
ENTROPY = {"7": 9.0, "30": 2.0, "4": 5.0}  # of the two best known, '4' says more
NAN = float("nan")


def cell(name="icu", run="0", doc_ids=DOC_IDS, ma=MA, n_epochs=3, traced=True, **changes):
    """A finished cell whose texts say who wrote them after which row."""
    role = name if name in ("before", "dedup", "retrained") else "method"
    prefixes = {d: f"the prefix of {run}/{d}, " for d in sorted(doc_ids)}
    suffixes = {d: f"the suffix of {run}/{d}" for d in reversed(doc_ids)}
    record = ForgetSetRecord(
        name=f"s/{run}", run=run, content_sha256=run * 64, doc_ids=list(doc_ids),
        prefixes=prefixes, suffixes=suffixes,
    )  # fmt: skip
    trace = trace_of(name, run, doc_ids, n_epochs) if role == "method" and traced else None
    made = result(
        f"NEO + {name}", method=name, role=role, run=run,
        **{"forget_set": record, "trace": trace, "metrics": METRICS,
           "position": sum(map(ord, name)), **changes},
    )  # fmt: skip
    scores = {
        "ma": score({d: ma.get(d, 0.25) for d in doc_ids}),
        "entropy": score({d: ENTROPY.get(d, 1.0) for d in doc_ids}),
        "bertscore_f1": score(dict.fromkeys(doc_ids, 0.125)),
    }
    texts = {d: f"{name} wrote {run}/{d}" for d in doc_ids}
    kept = {"scores": {"forgetting": scores}, "continuations": texts}
    kept = {} if made.status == "failed" else kept
    return made.model_copy(update={**kept, "key": f"{made.key} {made.group} {traced}"})


def score(documents):
    return Score.of(documents, higher_is_better=False)


def trace_of(name, run, doc_ids, n_epochs, outcome="forgotten"):
    epochs = [epoch_of(e, name, run, doc_ids, measured=e in (0, n_epochs)) for e in
              range(n_epochs + 1)]  # fmt: skip
    return UnlearnTrace(outcome=outcome, reason="it is enough", n_epochs=n_epochs, epochs=epochs)


def epoch_of(epoch, name, run, doc_ids, measured):
    rows = [
        RowRecord(
            doc_id=d, el=0.25 if measured else NAN, ma=MA.get(d, 0.25) / (1 + epoch),
            bertscore_f1=1 / (1 + epoch), bleu=1e-231, entropy=ENTROPY.get(d, 1.0),
            forgotten=False, continuation=f"{name} at {epoch} of {run}/{d}",
            active=bool(epoch) and d != "7",
        )
        for d in doc_ids
    ]  # fmt: skip
    metrics = {"el": rows[0].el, "ma": 0.5, "bertscore_f1": 1.0, "bleu": 0.25, "entropy": 3.0}
    losses = {"target": -117.2, "kl": 0.001} if epoch else {}
    return EpochRecord(
        epoch=epoch, losses=losses, metrics=metrics, n_active=2 * bool(epoch), rows=rows
    )


def blocks(section, *results, **changes):
    return tuple(section.blocks(Findings(tuple(results), **changes)))


def told(block, kind):
    return " ".join(note.text for note in block.notes if note.kind == kind)


# ---- continuations


def test_values_and_texts_of_a_row_are_its_own_whatever_the_order():
    made = cell(doc_ids=random.Random(1).sample([str(n) for n in range(200)], 200))
    for doc_id in made.forget_set.doc_ids:
        found = final(made, doc_id)
        assert found is not None
        assert found.text == f"icu wrote 0/{doc_id}"
        assert found.values["ma"] == MA.get(doc_id, 0.25)
        assert [one.text for one in over_epochs(made, doc_id)] == [
            f"icu at {epoch} of 0/{doc_id}" for epoch in range(4)
        ]


def test_without_the_task_the_last_epoch_is_the_final_one():
    made = cell().model_copy(update={"scores": {}, "continuations": {}})
    found = final(made, "30")
    assert found is not None
    assert (found.text, found.epoch) == ("icu at 3 of 0/30", None)
    bare = cell("before").model_copy(update={"scores": {}, "continuations": {}})
    assert final(bare, "30") is None


def test_what_was_not_measured_is_absent_and_not_nan():
    at_one = over_epochs(cell(), "30")[1]
    assert "el10" not in at_one.values
    assert at_one.values["ma"] == 0.5


def test_the_start_is_the_row_before_or_epoch_0():
    before, method = at_start(cell("before"), "4"), at_start(cell(), "4")
    assert before is not None
    assert method is not None
    assert (before.text, method.text) == ("before wrote 0/4", "icu at 0 of 0/4")
    assert at_start(cell("dedup"), "4") is None
    assert at_start(cell(traced=False), "4") is None


def test_best_known_against_sorting_all_rows():
    rng = random.Random(3)
    for _ in range(50):
        ids = [str(n) for n in rng.sample(range(100), 12)]
        ma = {d: rng.choice([0.25, 0.5, 1.0]) for d in ids}
        entropy = {d: rng.choice([1.0, 2.0]) for d in ids}
        made = cell("before", doc_ids=ids, ma=ma)
        made.scores["forgetting"]["entropy"].documents.update(entropy)
        by_hand = sorted(ids, key=lambda d: (-ma[d], -entropy[d], ids.index(d)))
        assert best_known(made, ids) == by_hand[0]


@pytest.mark.parametrize("n_items", [1, 2, 5, 6, 7, 12, 13, 51])
def test_evenly_spaced_is_numpys_linspace(n_items):
    items = [Continuation(str(n), {}) for n in range(n_items)]
    expected = sorted({int(n) for n in np.rint(np.linspace(0, n_items - 1, min(n_items, 6)))})
    assert [int(one.text) for one in evenly_spaced(items, 6)] == expected


def test_the_same_passage_may_be_cut_elsewhere():
    whole = Texts("He lives in\n", "Oslo and works")
    assert whole.agrees_with(Texts("He lives", " in Oslo"))
    assert Texts("He lives", " in Oslo").agrees_with(whole)
    assert not whole.agrees_with(Texts("He lived in ", "Oslo and works"))


# ---- cases


def test_a_case_has_every_rows_continuation_of_the_best_known_row():
    (case,) = blocks(cases, cell("before"), cell("dedup"), cell("retrained"), cell(), cell("kl"))
    assert isinstance(case, Case)
    assert case.prefix == "the prefix of 0/4, "
    assert case.reference == "the suffix of 0/4"
    assert [(p.label, p.text) for p in case.passages] == [
        (f"NEO + {name}", f"{name} wrote 0/4")
        for name in ("before", "dedup", "retrained", "kl", "icu")
    ]
    assert case.passages[0].facts == (
        ("MA (%)", "100.0"), ("BERT (F1)", "12.5"), ("Entropy", "5.000"),
    )  # fmt: skip
    assert "Chosen by a rule" in told(case, "rule")
    assert "quoted from the forget set" in told(case, "quoted")


def test_named_rows_are_shown_in_their_order_from_whichever_set_has_them():
    results = [cell("before"), cell(), cell("before", run="1", doc_ids=("8", "9")),
               cell(run="1", doc_ids=("8", "9"))]  # fmt: skip
    made = blocks(cases, *results, doc_ids=("9", "7"))
    assert [case.prefix for case in made] == ["the prefix of 1/9, ", "the prefix of 0/7, "]
    assert made[0].passages[1].text == "icu wrote 1/9"
    assert len({case.name for case in made}) == 2


def test_an_unknown_row_is_refused_with_those_near_it():
    with pytest.raises(UserError, match=r"no row|has a row '31' \(near it: 30\)"):
        blocks(cases, cell("before"), cell(), doc_ids=("31",))
    with pytest.raises(UserError, match="leave out --document"):
        blocks(process, cell(), doc_ids=("x",))


def test_without_a_row_before_epoch_0_says_what_was_known():
    (case,) = blocks(cases, cell(), cell("kl"))
    assert case.prefix == "the prefix of 0/4, "


def test_where_nobody_says_what_was_known_it_is_the_first_row():
    (case,) = blocks(cases, cell("dedup"), cell(traced=False))
    assert case.prefix == "the prefix of 0/7, "
    assert "the first row of forget set 0" in told(case, "rule")


def test_only_rows_that_most_results_continue_are_chosen():
    part = cell("kl", doc_ids=("7", "30", "5"))
    (case,) = blocks(cases, cell("before"), cell(), part)
    assert case.prefix == "the prefix of 0/30, "
    assert [p.text for p in case.passages][-1:] == ["icu wrote 0/30"]
    assert "kl wrote 0/30" in [p.text for p in case.passages]


def test_a_row_without_a_continuation_is_named():
    failed = cell("kl", status="failed", scores={}, error="killed", traced=False)
    (case,) = blocks(cases, cell("before"), cell(), failed)
    assert told(case, "without") == "No continuation of this row: NEO + kl."
    assert len(case.passages) == 2


def test_another_text_under_the_same_doc_id_is_left_out_and_one_cut_elsewhere_shown():
    def with_texts(made, prefix, suffix):
        record = made.forget_set.model_copy(
            update={"prefixes": dict.fromkeys(DOC_IDS, prefix),
                    "suffixes": dict.fromkeys(DOC_IDS, suffix)}
        )  # fmt: skip
        return made.model_copy(update={"forget_set": record})

    foreign = with_texts(cell("kl"), "something", " else")
    cut = with_texts(cell("dedup"), "the prefix", " of 0/4, the")
    (case,) = blocks(cases, cell("before"), cell(), foreign, cut)
    assert [p.label for p in case.passages] == ["NEO + before", "NEO + dedup", "NEO + icu"]
    assert "NEO + kl" in told(case, "others")
    assert told(case, "cut").startswith("NEO + dedup:")


def test_of_several_seeds_the_first_is_shown_and_said():
    results = [cell("before"), *(cell(seed=s, settings={"seed": s}) for s in (3, 1, 2))]
    (case,) = blocks(cases, *results)
    assert len(case.passages) == 2
    assert "first of several" in told(case, "seeds")
    assert "1" in told(case, "seeds")


def test_a_run_that_did_not_forget_is_marked():
    (case,) = blocks(cases, cell("before"), cell(status="not_forgotten"))
    assert [p.label for p in case.passages] == ["NEO + before", "NEO + icu †"]
    assert [n.marker for n in case.notes if n.kind == "not_forgotten"] == ["†"]


def test_each_model_has_its_case_of_the_same_row():
    other = {"7": 1.0, "30": 0.5, "4": 0.5}
    large = [cell(n, ma=other, group="nano-neo-2") for n in ("before", "icu")]
    made = blocks(cases, cell("before"), cell(), *large)
    assert [case.prefix for case in made] == ["the prefix of 0/4, "] * 2
    assert ["nano-neo-2" in case.title for case in made] == [False, True]
    # a model whose sets do not hold it has one of its own
    elsewhere = [cell(n, doc_ids=("7", "5"), ma=other, group="nano-neo-2")
                 for n in ("before", "icu")]  # fmt: skip
    made = blocks(cases, cell("before"), cell(), *elsewhere)
    assert [case.prefix for case in made] == ["the prefix of 0/4, ", "the prefix of 0/7, "]
    assert "nano-neo-2 knows best" in told(made[1], "rule")


def test_results_without_continuations_have_no_case():
    assert blocks(cases, *golden_results()) == ()
    assert blocks(process, *golden_results()) == ()


# ---- process


def test_each_method_has_its_case_over_epochs_and_its_listing():
    made = blocks(process, cell("before"), cell(n_epochs=12), cell("kl", n_epochs=2))
    assert [type(block) for block in made] == [Case, Listing, Case, Listing]
    kl, _, icu, listing = made
    assert [p.label for p in kl.passages] == ["before unlearning", "epoch 1", "epoch 2 (last)"]
    assert [p.text for p in icu.passages] == [
        f"icu at {epoch} of 0/4" for epoch in (0, 2, 5, 7, 10, 12)
    ]
    assert icu.passages[0].facts == (
        ("BERT (F1)", "100.0"), ("BLEU (%)", "0.0"), ("MA (%)", "100.0"), ("EL10 (%)", "25.0"),
    )  # fmt: skip
    assert icu.passages[1].facts[-1] == ("trained on", "yes")
    assert len(listing.rows) == 13


def test_whether_the_row_was_trained_on_is_told():
    made = blocks(process, cell("before"), cell(), doc_ids=("7",))
    assert [dict(p.facts).get("trained on") for p in made[0].passages] == [None, "no", "no", "no"]


def test_the_listing_has_each_epochs_metrics_and_losses():
    listing = blocks(process, cell())[1]
    assert listing.headers == (
        "Epoch", "EL10 (%) ↓", "MA (%) ↓", "BERT (F1) ↓", "BLEU (%) ↓", "Entropy ↑", "Rows",
        "loss: target", "loss: kl",
    )  # fmt: skip
    assert listing.rows[0] == ("0", "25.0", "50.0", "100.0", "25.0", "3.000", "0", ABSENT, ABSENT)
    assert listing.rows[1] == (
        "1", ABSENT, "50.0", "100.0", "25.0", "3.000", "2", "-117.2", "0.001000",
    )  # fmt: skip
    assert told(listing, "end") == "Outcome: forgotten (it is enough)."
    assert told(listing, "stop_line") == "Stop line: EL10 (%) < 4.99 and MA (%) < 59.94."
    assert "EL10 is measured only where" in told(listing, "unmeasured")


def test_losses_that_come_and_go_have_their_own_columns():
    made = cell()
    assert made.trace is not None
    made.trace.epochs[2].losses = {"other": 1.0}
    listing = blocks(process, made)[1]
    assert listing.headers[-3:] == ("loss: target", "loss: kl", "loss: other")
    assert [row[-1] for row in listing.rows] == [ABSENT, ABSENT, "1.000", ABSENT]


def test_a_collapsed_run_shows_how_far_it_came_but_only_where_there_is_no_other():
    whole = trace_of("kl", "0", DOC_IDS, 2)
    broken = EpochRecord(epoch=2, losses={"target": NAN}, n_active=3)
    trace = whole.model_copy(
        update={"outcome": "collapsed", "reason": "loss is NaN",
                "epochs": [*whole.epochs[:2], broken]}
    )  # fmt: skip
    failed = cell("kl", status="failed", scores={}, error="collapsed", trace=trace)
    case, listing = blocks(process, cell("before"), failed)
    assert [p.label for p in case.passages] == ["before unlearning", "epoch 1 (last)"]
    assert listing.rows[-1] == ("2", *[ABSENT] * 5, "3", "nan", ABSENT)
    assert "collapsed (loss is NaN)" in told(listing, "end")
    fine = cell("kl", run="1", doc_ids=("8", "9"), n_epochs=1)
    case, listing = blocks(process, failed, fine)
    assert case.prefix.startswith("the prefix of 1/")
    assert len(listing.rows) == 2


def test_methods_of_the_first_model_only_and_of_one_that_has_a_trace():
    small = [cell("before", group="nano-a"), cell(traced=False, group="nano-a")]
    made = blocks(process, *small, cell(group="nano-b", n_epochs=1))
    assert len(made) == 2
    assert "nano-b" in told(made[1], "run")
