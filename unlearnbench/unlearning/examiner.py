"""The examination after each epoch: how well rows are known, and whether that is forgotten."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.data.row_limit import RowState, known, nll_limit
from unlearnbench.data.stop_line import StopLine, is_forgotten
from unlearnbench.metrics.measured_once import measured_once
from unlearnbench.models.devices import ranks
from unlearnbench.models.network_state import acts_by_weights_alone, state_sha256
from unlearnbench.protocol import Protocol
from unlearnbench.results.record import ROW_FIELDS, RowRecord

if TYPE_CHECKING:
    from unlearnbench.metrics.bertscore import BertScore
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


@dataclass(frozen=True)
class Examiner:
    """Measures EL, MA, BERTScore, BLEU and entropy per row, and applies the stop rule."""

    protocol: Protocol
    stop_line: StopLine
    bertscore: "BertScore"
    n: int = 10
    new_tokens: int = 50
    batch_size: int = 64
    el_epochs: Literal["all", "deciding"] = "all"
    budget_text: tuple[str, ...] = ()  # documents whose loss a utility budget looks at
    unseen: "Sequences | None" = None  # rows never seen, where the line has a limit of single rows
    # What names the models and the machine (JSON), where the first examination may be kept.
    known_as: Any = None
    # The last full examination: a task asks for what the last epoch has just measured.
    _last: dict[str, list[RowRecord]] = field(default_factory=dict, repr=False, compare=False)
    # Of the last state: the NLL of each row's suffix, and of each unseen row's.
    _nll: dict[str, tuple[list[float], list[float]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def examine(
        self,
        model: "LanguageModel",
        rows: "Sequences",
        ma_line: float | None = None,
        *,
        with_el: bool = True,
    ) -> list[RowRecord]:
        """One record per row, in the rows' order.

        Its cost is in the phases 'extraction' (EL and MA), 'continuations', 'bertscore', and the
        rest in 'examine'.
        Several processes examine some of the rows each, and all get all the records.
        `forgotten` is by the paper's thresholds; a run puts its method's decision there.
        BERTScore and BLEU compare the decoded continuation with the decoded suffix.
        With `el_epochs` 'deciding' and a `ma_line`, EL is NaN (not measured) unless
        the mean MA is under that line and MA and NLL leave no row known, and always unless
        `with_el`.
        """
        import torch

        with model.meter.phase("examine"), torch.no_grad():
            if not with_el:
                return self._measured(model, rows, with_el=False)
            if ma_line is None or self.el_epochs == "all":
                return self._once(model, rows, lambda: self._measured(model, rows, with_el=True))
            records = self._measured(model, rows, with_el=False)
            is_over = fmean(record.ma for record in records) >= ma_line
            if is_over or self._known_rows(model, rows, records):
                return records
            return self._once(model, rows, lambda: self._with_el(model, rows, records))

    def forget(self) -> None:
        """Remember nothing of what was measured: how texts are embedded hangs on those before."""
        self._last.clear()
        self._nll.clear()
        self.bertscore.forget()

    def means(self, records: Sequence[RowRecord]) -> dict[str, float]:
        """Mean el, ma, bertscore_f1, bleu, entropy over the rows."""
        return {name: fmean(getattr(r, name) for r in records) for name in ROW_FIELDS.values()}

    def reached(
        self, means: dict[str, float], rule: Literal["and", "or"], ma_threshold: float
    ) -> bool:
        """Whether the set's means are under the stop line, strictly."""
        under_el = means["el"] < self.stop_line.el
        under_ma = means["ma"] < ma_threshold
        return under_el and under_ma if rule == "and" else under_el or under_ma

    def known_rows(
        self, model: "LanguageModel", rows: "Sequences", records: Sequence[RowRecord]
    ) -> tuple[str, ...]:
        """The rows that are over the line's limit of single rows; none where it has no such limit.

        A row's NLL is compared with that of the unseen rows under the same model.  An EL that was
        not measured leaves no row known.
        """
        with model.meter.phase("examine"):
            return self._known_rows(model, rows, records)

    def _known_rows(
        self, model: "LanguageModel", rows: "Sequences", records: Sequence[RowRecord]
    ) -> tuple[str, ...]:
        limit = self.stop_line.limit
        if limit is None:
            return ()
        own, unseen = self._suffix_nll(model, rows)
        limit = limit.model_copy(update={"nll": nll_limit(unseen)})
        pairs = zip(records, own, strict=True)
        return known({r.doc_id: RowState(el=r.el, ma=r.ma, nll=nll) for r, nll in pairs}, limit)

    def _suffix_nll(
        self, model: "LanguageModel", rows: "Sequences"
    ) -> tuple[list[float], list[float]]:
        """Nats per token of each row's suffix and of each unseen row's, once per state."""
        from unlearnbench.models.suffix_nll import suffix_nll

        unseen = self.unseen
        assert unseen is not None

        def measured(of: "Sequences") -> list[float]:
            return ranks.over_ranks(len(of), lambda own: suffix_nll(model, of.select(own)))

        if not acts_by_weights_alone(model.network):
            return measured(rows), measured(unseen)
        state = state_sha256(model.network, rows)
        if state not in self._nll:
            self._nll.clear()
            self._nll[state] = measured(rows), measured(unseen)
        return self._nll[state]

    def _once(
        self,
        model: "LanguageModel",
        rows: "Sequences",
        measure: Callable[[], list[RowRecord]],
    ) -> list[RowRecord]:
        """With EL, once per state of the weights; the first time also from an earlier run."""
        if not acts_by_weights_alone(model.network):
            return measure()
        state = state_sha256(model.network, rows)
        if state not in self._last:
            # Several processes could not be sure that all of them find it in the cache, or none.
            is_kept = not self._last and self.known_as is not None and ranks.world_size() == 1
            self._last.clear()
            self._last[state] = self._kept(model, state, measure) if is_kept else measure()
        return [record.model_copy() for record in self._last[state]]

    def _kept(
        self, model: "LanguageModel", state: str, measure: Callable[[], list[RowRecord]]
    ) -> list[RowRecord]:
        """Before anything is trained: what all methods would measure alike is measured once."""
        records = measured_once(
            "examinations",
            [self.known_as, asdict(self.protocol), self.n, self.new_tokens, state],
            model.meter,
            lambda: [record.model_dump() for record in measure()],
        )
        # What is embedded later must not depend on whether this was found or measured.
        self.bertscore.forget()
        return [RowRecord(**record) for record in records]

    def _with_el(
        self, model: "LanguageModel", rows: "Sequences", records: list[RowRecord]
    ) -> list[RowRecord]:
        """The records with what was left out of them."""
        from unlearnbench.metrics.extraction import extraction_scores

        def el(own: list[int]) -> list[float]:
            chosen = rows.select(own)
            return extraction_scores(model, chosen, self.protocol, self.n, self.batch_size).el

        with model.meter.phase("extraction"):
            values = ranks.over_ranks(len(rows), el)
        pairs = zip(records, values, strict=True)
        return [record.model_copy(update={"el": value}) for record, value in pairs]

    def _measured(
        self, model: "LanguageModel", rows: "Sequences", with_el: bool
    ) -> list[RowRecord]:
        return ranks.over_ranks(
            len(rows), lambda own: self._records(model, rows.select(own), with_el)
        )

    def _records(self, model: "LanguageModel", rows: "Sequences", with_el: bool) -> list[RowRecord]:
        from unlearnbench.metrics.text import sentence_bleu, token_entropy

        with model.meter.phase("extraction"):
            el, ma, written = self._extracted(model, rows, with_el)
        texts = [model.decode(ids) for ids in written]
        suffixes = [model.decode(rows.suffix(row)) for row in range(len(rows))]
        with model.meter.phase("bertscore"):
            f1 = self.bertscore.f1(texts, suffixes)
        bleu = list(map(sentence_bleu, texts, suffixes))
        return [
            RowRecord(
                doc_id=doc_id,
                el=el[row],
                ma=ma[row],
                bertscore_f1=f1[row],
                bleu=bleu[row],
                entropy=token_entropy(written[row]),
                forgotten=is_forgotten(f1[row], bleu[row], self.protocol.forgotten_rule),
                continuation=texts[row],
            )
            for row, doc_id in enumerate(rows.doc_ids)
        ]

    def _extracted(
        self, model: "LanguageModel", rows: "Sequences", with_el: bool
    ) -> tuple[list[float], list[float], list[list[int]]]:
        """EL, MA and the ids written after what is given, all after one teacher-forced pass."""
        from unlearnbench.metrics.extraction import PrefilledRows
        from unlearnbench.models.generation.branches import prefill_batches
        from unlearnbench.models.generation.continuing import check_continuable, continue_prefilled

        check_continuable(model, rows, self.new_tokens)
        el: list[float] = []
        ma: list[float] = []
        written: list[list[int]] = []
        for batch, prefill in prefill_batches(model, rows.input_ids, self.batch_size):
            part = rows.select(batch)
            known = PrefilledRows(model, part, prefill, self.protocol, self.n)
            el += known.likelihood(self.batch_size) if with_el else [nan] * len(part)
            ma += known.memorisation()
            with model.meter.phase("continuations"):
                written += continue_prefilled(
                    model, part, prefill, self.protocol, self.new_tokens, self.batch_size
                )
            model.meter.advance(len(written), len(rows))
        return el, ma, written
