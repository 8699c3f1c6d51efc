"""The contract of an unlearning method: a dataclass of hyper-parameters with one verb."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from unlearnbench.errors import UserError
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.results.record import RowRecord, UnlearnTrace
    from unlearnbench.unlearning.examiner import Examiner


# What a method asks for beside the model and the rows to forget.
Need = Literal["original model", "retain items", "refusals", "alternates", "hidden states"]


@dataclass(frozen=True)
class PublishedFault:
    """Where a published implementation departs from its paper.

    `--protocol released` gives `setting` the value `released`; a fault without a setting is
    only described.
    """

    setting: str  # of the method; empty: none switches it
    released: Any  # the setting's value that does what the published code does
    code: str  # what the published code does
    paper: str  # what the paper says
    source: str  # repository, issue
    # The value that the paper means, if not the setting's default: the protocol leaves such a
    # setting alone.
    corrected: Any = None


@dataclass(kw_only=True)
class Method(ABC):
    """An unlearning method.  Its fields are the command line, the record and the docs.

    Write one file with one subclass, decorate it with `@register`, and it runs
    against every other method: see `docs/methods.md`.  A method that follows
    gradients inherits `unlearnbench.unlearning.gradient_method.GradientMethod` instead.
    """

    plugin_kind: ClassVar[str] = "methods"
    name: ClassVar[str]  # on the command line: 'icu'
    label: ClassVar[str]  # in tables: 'ICU'
    source: ClassVar[str] = ""  # paper, equation
    citation: ClassVar[str] = ""  # BibTeX
    formula: ClassVar[str] = ""  # the loss, in words or plain signs, on one or two lines
    needs: ClassVar[tuple[Need, ...]] = ()
    published_faults: ClassVar[tuple[PublishedFault, ...]] = ()
    released_settings: ClassVar[Mapping[str, Any]] = {}  # others that --protocol released gives
    runs_by_default: ClassVar[bool] = False  # of a built-in one: without being named
    # What must not look like unlearning: compared with no other row, and no part of 'all'.
    is_sham: ClassVar[bool] = False
    authors_stop_rule: ClassVar[Literal["and", "or"]] = "and"
    authors_ma_threshold: ClassVar[float] = 0.5994
    # What memory prediction must know of the loss; these defaults fit the largest common case.
    sequences_per_row: ClassVar[int] = 2  # scored with gradients: the target, its pair, ...
    keeps_reference: ClassVar[bool] = True  # whether it keeps what the original model gives
    keeps_second_model: ClassVar[bool] = False  # a whole one beside the one that is trained

    learning_rate: float = setting(5e-6, "Adam's step size", above=0, search="5e-7..1e-5")
    batch_size: int = setting(
        8, "rows per optimisation step (the paper: 8 for 125M, 4 for larger)", minimum=1
    )
    max_epochs: int = setting(
        100, "epoch limit; a method that hits it has not forgotten", minimum=1
    )
    seed: int = setting(42, "seeds the order of rows and whatever the method draws")

    @classmethod
    def stop_rule(cls, protocol: "Protocol") -> Literal["and", "or"]:
        """Whether EL and MA, or one of them, must be under the line for this method to stop."""
        return cls.authors_stop_rule if protocol.stop_rule == "authors" else protocol.stop_rule

    @classmethod
    def ma_threshold(cls, protocol: "Protocol", line: "StopLine") -> float:
        """The MA under which this method stops.

        The authors' number belongs to the paper's models; a calibrated line is a model's own.
        """
        own = protocol.ma_threshold == "authors" and line.source == "paper"
        return cls.authors_ma_threshold if own else line.ma

    def is_forgotten(self, row: "RowRecord", protocol: "Protocol") -> bool:
        """Whether a row counts as forgotten: eq. 5 with the paper's thresholds by default."""
        from unlearnbench.data.stop_line import is_forgotten

        return is_forgotten(row.bertscore_f1, row.bleu, protocol.forgotten_rule)

    def active_rows(
        self,
        records: "Sequence[RowRecord]",
        protocol: "Protocol",  # noqa: ARG002 (for those that override this)
    ) -> list[int]:
        """The rows to train on next, judged by the last examination; all of them by default."""
        return list(range(len(records)))

    @property
    def keeps_original_outputs(self) -> bool:
        """Whether, with these settings, it keeps what the original model gives."""
        return self.keeps_reference

    def needed(
        self,
        source: "ForgetSource",  # noqa: ARG002 (for those that override this)
        protocol: "Protocol",  # noqa: ARG002
    ) -> tuple[Need, ...]:
        """What it needs with these settings and these data; `needs` by default."""
        return self.needs

    def check(  # noqa: B027 (most methods have nothing to say)
        self, model: "LanguageModel", source: "ForgetSource", run: str
    ) -> None:
        """Called before any model is trained; raises `UserError` for what cannot be done.

        The network of `model` has its modules and no weights (torch's device 'meta'); it is
        built only if this asks for something of the model.  That the data have what the method
        needs is checked without this.
        """

    @abstractmethod
    def unlearn(
        self, model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
    ) -> "UnlearnTrace":
        """Change `model` in place so that it forgets `forget_set`; return the record of it.

        `examiner` measures how well rows are known and says when the stop line is reached.
        A loss that becomes NaN or infinite ends in a trace with outcome
        'collapsed', never in an exception.
        """


def check_needs(
    method: Method, source: "ForgetSource", run: str, limit: int | None, protocol: "Protocol"
) -> None:
    """Raise `UserError` where a run's data have not what the method needs of them."""
    needs = method.needed(source, protocol)
    if "retain items" in needs and not source.pool(run, limit):
        raise UserError(
            f"method '{method.name}' needs retain items, and forget set '{source.title(run)}' has "
            "no pool; give one: --pool FILE, or leave rows over with --limit M"
        )
    if "refusals" in needs and not (source.refusals or source.stock_refusals):
        raise UserError(
            f"method '{method.name}' needs refusals, and forget set '{source.title(run)}' has "
            "none; give a file with one in each line: --refusals FILE"
        )


def check_unlearn(method: Any) -> None:
    """Raise `UserError` for a method class whose `unlearn` cannot be given an examiner."""
    try:
        inspect.signature(method.unlearn).bind("self", "model", "forget_set", "examiner")
    except TypeError as error:
        raise UserError(
            f"method '{method.name}': its unlearn() must take (self, model, forget_set, examiner) "
            f"and does not: {error}; see docs/methods.md"
        ) from error
