"""The examination after each epoch: how well rows are known, and whether that is forgotten."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from unlearnbench import ranks
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.trace import RowRecord

if TYPE_CHECKING:
    from unlearnbench.metrics.text import BertScore
    from unlearnbench.model import LanguageModel
    from unlearnbench.sequences import Sequences

ROW_METRICS = ("el", "ma", "bertscore_f1", "bleu", "entropy")


@dataclass(frozen=True)
class StopLine:
    """EL and MA under which a set is forgotten: no better known than unseen text (Jang et al.)."""

    el: float = 0.0499
    ma: float = 0.5994
    source: Literal["paper", "calibrated"] = "paper"
    n_unseen: int = 0


def is_forgotten(
    bertscore_f1: float,
    bleu: float,
    rule: Literal["and", "or"],
    bertscore_threshold: float = 0.3,
    bleu_threshold: float = 0.01,
) -> bool:
    """Eq. 5: whether BERTScore and/or BLEU of a row is under its threshold, strictly."""
    under = (bertscore_f1 < bertscore_threshold, bleu < bleu_threshold)
    return all(under) if rule == "and" else any(under)


@dataclass(frozen=True)
class Examiner:
    """Measures EL, MA, BERTScore, BLEU and entropy per row, and applies the stop rule."""

    protocol: Protocol
    stop_line: StopLine
    bertscore: "BertScore"
    n: int = 10
    new_tokens: int = 50
    batch_size: int = 32
    el_epochs: Literal["all", "deciding"] = "all"
    # The last full examination: a task asks for what the last epoch has just measured.
    _last: dict[str, list[RowRecord]] = field(default_factory=dict, repr=False, compare=False)

    def examine(
        self, model: "LanguageModel", rows: "Sequences", ma_line: float | None = None
    ) -> list[RowRecord]:
        """One record per row, in the rows' order; its cost is the phase 'examine'.

        Several processes examine some of the rows each, and all get all the records.
        `forgotten` is by the paper's thresholds; a run puts its method's decision there.
        BERTScore and BLEU compare the decoded continuation with the decoded suffix.
        With `el_epochs` 'deciding' and a `ma_line`, EL is NaN (not measured) unless
        the mean MA is under that line.
        """
        import torch

        from unlearnbench.metrics.extraction import memorisation_accuracy

        with model.meter.phase("examine"), torch.no_grad():
            if ma_line is not None and self.el_epochs == "deciding":
                ma = ranks.over_ranks(
                    len(rows),
                    lambda own: memorisation_accuracy(
                        model, rows.select(own), self.protocol, self.batch_size
                    ),
                )
                if fmean(ma) >= ma_line:
                    return ranks.over_ranks(
                        len(rows),
                        lambda own: self._records(
                            model, rows.select(own), [nan] * len(own), [ma[i] for i in own]
                        ),
                    )
            return self._examined_once(model, rows)

    def means(self, records: Sequence[RowRecord]) -> dict[str, float]:
        """Mean el, ma, bertscore_f1, bleu, entropy over the rows."""
        return {name: fmean(getattr(r, name) for r in records) for name in ROW_METRICS}

    def reached(
        self, means: dict[str, float], rule: Literal["and", "or"], ma_threshold: float
    ) -> bool:
        """Whether the set's means are under the stop line, strictly."""
        under_el = means["el"] < self.stop_line.el
        under_ma = means["ma"] < ma_threshold
        return under_el and under_ma if rule == "and" else under_el or under_ma

    def _examined_once(self, model: "LanguageModel", rows: "Sequences") -> list[RowRecord]:
        state = _state_sha256(model, rows)
        if state not in self._last:
            self._last.clear()
            self._last[state] = ranks.over_ranks(
                len(rows), lambda own: self._fully(model, rows.select(own))
            )
        return [record.model_copy() for record in self._last[state]]

    def _fully(self, model: "LanguageModel", rows: "Sequences") -> list[RowRecord]:
        from unlearnbench.metrics.extraction import extraction_scores

        known = extraction_scores(model, rows, self.protocol, self.n, self.batch_size)
        return self._records(model, rows, known.el, known.ma)

    def _records(
        self, model: "LanguageModel", rows: "Sequences", el: list[float], ma: list[float]
    ) -> list[RowRecord]:
        from unlearnbench.decoding import continue_rows
        from unlearnbench.metrics.text import sentence_bleu, token_entropy

        ids = continue_rows(model, rows, self.protocol, self.new_tokens, self.batch_size)
        texts = [model.decode(tokens) for tokens in ids]
        suffixes = [model.decode(rows.suffix(row)) for row in range(len(rows))]
        f1 = self.bertscore.f1(texts, suffixes)
        bleu = [sentence_bleu(*pair) for pair in zip(texts, suffixes, strict=True)]
        return [
            RowRecord(
                doc_id=doc_id,
                el=el[row],
                ma=ma[row],
                bertscore_f1=f1[row],
                bleu=bleu[row],
                entropy=token_entropy(ids[row]),
                forgotten=is_forgotten(f1[row], bleu[row], self.protocol.forgotten_rule),
                continuation=texts[row],
            )
            for row, doc_id in enumerate(rows.doc_ids)
        ]


def measure_stop_line(
    model: "LanguageModel", unseen: "Sequences | None", examiner: Examiner
) -> StopLine:
    """The model's own stop line: how well rows that it never saw may seem to be known.

    The one-sided 95% upper bounds of the mean EL and MA of unseen rows, measured as
    the examiner measures (protocol, n).  A set strictly below both is known no
    better than unseen text, as far as that many rows can tell.  MA's bound is the
    normal one; EL's is Wilson's, because a sample of unseen rows may hold no
    extraction at all.  Raises `UserError` without unseen rows.
    """
    import torch

    from unlearnbench.metrics.bounds import normal_upper_bound, wilson_upper_bound
    from unlearnbench.metrics.extraction import extraction_scores

    if unseen is None or not len(unseen):
        raise UserError(
            "--stop calibrated needs rows the model never saw: --unseen FILE, or use --stop paper"
        )

    def known(own: list[int]) -> list[tuple[float, float]]:
        rows = unseen.select(own)
        scores = extraction_scores(model, rows, examiner.protocol, examiner.n, examiner.batch_size)
        return list(zip(scores.el, scores.ma, strict=True))

    with torch.no_grad():
        scores = ranks.over_ranks(len(unseen), known)
    el = wilson_upper_bound([el for el, _ in scores])
    ma = normal_upper_bound([ma for _, ma in scores])
    return StopLine(el, ma, "calibrated", len(unseen))


def _state_sha256(model: "LanguageModel", rows: "Sequences") -> str:
    """A hash over the weights and the rows: equal states are equally well known."""
    import torch

    digest = hashlib.sha256(repr(rows.doc_ids).encode())
    tensors = [rows.input_ids, rows.lengths, rows.n_given, *model.network.parameters()]
    for tensor in tensors:
        flat = tensor.detach().contiguous().cpu().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
