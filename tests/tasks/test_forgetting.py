"""The task `forgetting`: the examiner's records as scores by document."""

import subprocess
import sys
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest
from extraction_cases import tiny_rows

from unlearnbench.analysis.table import PAPER_COLUMNS
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import TaskContext
from unlearnbench.registry import find
from unlearnbench.results.record import RowRecord


class FixedExaminer:
    """Returns records made up from the row's number."""

    def examine(self, _model, rows):
        return [
            RowRecord(
                doc_id=d, el=0.1 * i, ma=0.5 + 0.05 * i, bertscore_f1=0.3, bleu=1e-78 * i,
                entropy=5.0 - i, forgotten=False, continuation=f"text {i}",
            )
            for i, d in enumerate(rows.doc_ids)
        ]  # fmt: skip


def measure(limit=None, n_rows=5):
    forget_set = SimpleNamespace(rows=tiny_rows(n_rows, 0))
    context = TaskContext(forget_set, {}, limit=limit, examiner=FixedExaminer())
    return find("tasks", "forgetting")().measure(None, context)


def test_without_an_examiner_it_says_what_is_missing():
    context = TaskContext(SimpleNamespace(rows=tiny_rows(2, 0)), {})
    with pytest.raises(UserError, match="needs an examiner"):
        find("tasks", "forgetting")().measure(None, context)


def test_scores_are_means_with_documents_and_standard_errors():
    scores = measure().scores
    assert list(scores) == ["el10", "ma", "bertscore_f1", "entropy", "bleu"]
    el = scores["el10"]
    assert el.value == pytest.approx(0.2)
    assert el.documents == pytest.approx({f"doc-{i}": 0.1 * i for i in range(5)})
    assert el.stderr == pytest.approx(np.std([0, 0.1, 0.2, 0.3, 0.4], ddof=1) / np.sqrt(5))
    assert scores["bleu"].value == pytest.approx(2e-78)
    for score in scores.values():
        assert score.value == pytest.approx(fmean(score.documents.values()))


def test_a_limit_takes_the_first_rows_and_one_row_has_no_error():
    assert list(measure(limit=2).scores["ma"].documents) == ["doc-0", "doc-1"]
    assert measure(limit=1).scores["ma"].stderr is None


def test_what_the_model_wrote_goes_with_the_scores():
    assert measure(limit=2).continuations == {"doc-0": "text 0", "doc-1": "text 1"}


def test_columns_are_those_of_table_1():
    metrics = find("tasks", "forgetting").metrics
    assert [(m.name, m.label, m.higher_is_better, m.decimals) for m in metrics[:4]] == [
        (c.name, c.label, c.higher_is_better, c.decimals) for c in PAPER_COLUMNS[:4]
    ]
    assert [m.scale for m in metrics] == [100, 100, 100, 1, 100]
    assert [m.name for m in metrics if not m.in_score] == ["bleu"]


@pytest.mark.parametrize("module", ["forgetting", "perplexity"])
def test_importing_the_task_imports_no_torch(module):
    code = f"import sys, unlearnbench.tasks.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
