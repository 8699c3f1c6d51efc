"""One validation of a forget set, either way: EL and MA, and the scores of continuations."""

from dataclasses import asdict
from typing import Any

from speed.comparison.cases import Case, planned
from speed.comparison.measuring import Costs, peak_bytes

Told = dict[str, Any]  # what a child process prints as JSON


def measured(case: Case, way: str) -> Told:
    """Costs and every row's scores; peak memory is that of the process."""
    import torch

    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.metrics.bertscore import BertScore
    from unlearnbench.running.memory.process import keep_small
    from unlearnbench.unlearning.examiner import Examiner

    torch.set_num_threads(case.threads)
    cell = planned(case.options)
    keep_small(cell)
    model = cell.model.load()
    examiner = Examiner(cell.protocol, StopLine(-1.0, -1.0), BertScore(cell.data.bert))
    rows = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol).rows
    told = (ours if way == "ours" else as_released)(model, rows, cell, examiner)
    shape = {
        "n_rows": len(rows),
        "length": int(rows.lengths[0]) - rows.n_bos,
        "n_given": int(rows.n_given[0]) - rows.n_bos,
        "n_bos": rows.n_bos,
    }
    return {**told, **shape, "peak_bytes": peak_bytes(model)}


def ours(model: Any, rows: Any, cell: Any, examiner: Any) -> Told:
    """EL and MA alone, then a whole examination as after an epoch."""
    import torch

    from unlearnbench.metrics.extraction import extraction_scores

    with torch.no_grad():
        examiner.examine(model, rows.select([0]))  # everything is imported and loaded
        costs = Costs(model)
        began = costs.now()
        extraction_scores(model, rows, cell.protocol)
        known = costs.now()
        records = examiner.examine(model, rows)
        done = costs.now()
    columns = ("el", "ma", "bertscore_f1", "bleu", "entropy")
    scores = {name: [getattr(record, name) for record in records] for name in columns}
    return _told(known - began, done - known, scores)


def as_released(model: Any, rows: Any, cell: Any, _examiner: Any) -> Told:
    """The same by the released algorithm."""
    from speed.baseline.continuation import bert_scorer, continuation_scores
    from speed.baseline.extraction import extraction
    from speed.baseline.generation import write

    scorer = bert_scorer(cell.data.bert)
    scorer.score(["a text"], ["another"])
    write(model, rows.input_ids[:1, :2], 1)
    costs = Costs(model)
    began = costs.now()
    known = extraction(model, rows, cell.protocol)
    half_way = costs.now()
    continued = continuation_scores(model, rows, cell.protocol, scorer)
    done = costs.now()
    columns = ("bertscore_f1", "bleu", "entropy")
    scores = {name: [getattr(row, name) for row in continued] for name in columns}
    return _told(half_way - began, done - began, {"el": known.el, "ma": known.ma, **scores})


def _told(extraction: Any, whole: Any, scores: dict[str, list[float]]) -> Told:
    return {"extraction": asdict(extraction), "whole": asdict(whole), "scores": scores}
