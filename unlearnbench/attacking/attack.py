"""The contract of an attack: what somebody may do to an unlearned model, or ask it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.task import Measurement, TaskContext
    from unlearnbench.models.language_model import LanguageModel

# What an attack asks for beside the model and the forget set.
Need = Literal["original model", "retrained model", "retain items", "texts"]


@dataclass(frozen=True)
class Target:
    """What an attack is given beside the model that it changes or asks."""

    forget_set: "ForgetSet"  # rows [M, L] to bring back; its pool holds rows that may stay known
    # What tasks measure with: of a benchmark's splits those to forget and the holdout.
    context: "TaskContext"
    retained: "tuple[Split, ...]" = ()  # a benchmark's splits that are to be kept
    # The model before unlearning, fresh from its files at each call.
    load_original: "Callable[[], LanguageModel] | None" = None
    # The model trained without the forget set; None where there is none.
    load_retrained: "Callable[[], LanguageModel] | None" = None


@dataclass(frozen=True)
class Point:
    """A state of the attack that is measured: a model, and what is asked of it."""

    name: str  # unique within the attack: 'steps=20'
    label: str  # as printed: '20 steps'
    model: "LanguageModel"
    position: float | None = None  # along the attack's curve; None: points are no curve
    context: "TaskContext | None" = None  # what tasks measure with; None: the target's
    # The attack's own scores.  Tasks then measure nothing at this point.
    measured: "Measurement | None" = None
    facts: Mapping[str, float] = field(default_factory=dict)  # finite numbers to be recorded


@dataclass(kw_only=True)
class Attack(ABC):
    """What somebody may do to an unlearned model, or ask it.  Its fields are settings.

    Write one file with one subclass, decorate it with `@register`, and it is run on unlearned
    models, on the model before unlearning and on the retrained one alike: see `docs/attacks.md`.
    """

    plugin_kind: ClassVar[str] = "attacks"
    name: ClassVar[str]  # on the command line: 'relearn'
    label: ClassVar[str]  # in tables: 'Relearning'
    source: ClassVar[str] = ""  # paper, section
    citation: ClassVar[str] = ""  # BibTeX
    needs: ClassVar[tuple[Need, ...]] = ()
    runs_by_default: ClassVar[bool] = True  # of a built-in one: without being named
    curve: ClassVar[str] = ""  # what its points' positions count: 'optimisation steps'
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions can change a number
    # Its own scores are a property of the model that they were measured on (UDS), and stand in that
    # model's own row; without it scores are of the attacked model.
    describes_model: ClassVar[bool] = False
    # Not for an attack that is given what it is to bring back, such as the original weights.
    counts_in_worst_case: ClassVar[bool] = True

    seed: int = setting(
        42, "seeds whatever the attack draws; the same for every model, so that all get the same"
    )

    @property
    def teaches_rows(self) -> bool:
        """Whether it trains on rows that it then measures, which teaches them to any model."""
        return False

    def needed(self, has_retain_items: bool) -> tuple[Need, ...]:  # noqa: ARG002
        """What it needs of data with or without a benchmark's items to retain; `needs` usually."""
        return self.needs

    def check(  # noqa: B027 (most attacks have nothing to say)
        self,
        model: "LanguageModel",
        source: "ForgetSource",
        run: str,
        splits: "Sequence[Split]",
    ) -> None:
        """Called before any weights are loaded; raises `UserError` for what cannot be done.

        The network of `model` has its modules and no weights (torch's device 'meta'); `source` has
        the rows that the run reads.  `splits` are all of the benchmark's; none without one.
        """

    def data_sha256(self) -> dict[str, str]:
        """Digests of the files that its settings name, by setting: other files, another attack."""
        return {}

    @property
    def n_points(self) -> int:
        """How many points tasks measure at most; the dry run counts what that costs."""
        return 1

    def forward_tokens(self, n_rows: int, length: int) -> int:  # noqa: ARG002
        """Upper bound of tokens sent through a network, measuring of points not among them.

        For a forget set of `n_rows` sequences of `length` tokens.
        """
        return 0

    @abstractmethod
    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The points of the attack on `model`, in order.

        Each is measured before the next one is asked for, so a model may be changed in place, and
        nobody looks at it when the last point is done.  All that is drawn hangs on `seed` alone.
        Raises `UserError` where the attack cannot be made.
        """
