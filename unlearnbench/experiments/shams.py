"""The sham rows of a plan: what must not look like unlearning, beside the methods."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median_low
from typing import TYPE_CHECKING, Any

from unlearnbench import registry
from unlearnbench.errors import unknown
from unlearnbench.experiments.cell import Cell, PlannedNoise, identity_of
from unlearnbench.experiments.method_settings import Chosen, construct
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.results.record import Role
from unlearnbench.unlearning.noise import Noise

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment

REFERENCES: tuple[Role, ...] = ("before", "dedup", "retrained", "null")
SHAMS = "shams"  # among --references: the sham rows, and the two that must look like unlearning
_WITH_SHAMS: tuple[Role, ...] = ("before", "retrained", "null")


def reference_roles(requested: Sequence[str]) -> tuple[Role, ...]:
    """The roles of the requested rows; raises `UserError` for one that does not exist."""
    if tuple(requested) in (("none",), ()):
        return ()
    names = ("auto", SHAMS, *REFERENCES)
    for name in requested:
        if name not in names:
            available = ("none", *names) if len(requested) == 1 else names
            raise unknown("reference", name, available, "unlearnbench run --help")
    chosen: set[str] = set(requested)
    chosen |= set(REFERENCES) if "auto" in chosen else set()
    chosen |= set(_WITH_SHAMS) if SHAMS in chosen else set()
    return tuple(role for role in REFERENCES if role in chosen)


def is_requested(role: str, requested: Sequence[str]) -> bool:
    """Whether a row was asked for, and is not only taken because `auto` takes what there is."""
    named = role in requested or (SHAMS in requested and role in _WITH_SHAMS)
    return named or "auto" not in requested


def is_optional(role: str, name: str, model: ModelAlias | None, requested: Sequence[str]) -> bool:
    """Whether a reference is made on demand, and nobody asked for it or for such a model.

    A table must not hang on which models the cache holds.
    """
    reference = aliases().get(name)
    is_extra = reference is not None and not reference.is_shipped
    return is_extra and (model is None or model.is_shipped) and not is_requested(role, requested)


@dataclass(frozen=True)
class ShamChoice:
    """The shams of an experiment: methods that train without forgetting, and noise."""

    methods: Mapping[str, Any]
    has_noise: bool

    @classmethod
    def of(cls, experiment: "Experiment", named: Iterable[str]) -> "ShamChoice":
        """All of them where `--references shams` asks; those `named` as methods are there already.

        A sham that needs nothing of the data but a method's update is had of every method.
        """
        if SHAMS not in experiment.references:
            return cls({}, False)
        methods: dict[str, Any] = registry.methods()
        shams = {n: m for n, m in methods.items() if is_sham(m) and n not in set(named)}
        return cls(shams, True)

    @property
    def owners(self) -> dict[str, type]:
        """Whose settings --set may name beside those of methods."""
        return {Noise.name: Noise} if self.has_noise else {}


def is_sham(method: Any) -> bool:
    """Whether a method is one that must not look like unlearning."""
    return bool(getattr(method, "is_sham", False))


def with_usual_rate(chosen: Chosen, rates: Sequence[float]) -> Chosen:
    """A sham's settings; without a rate of its own, with the median of the methods' beside it.

    The lower one of an even number, so that it is a rate at which some method was run.
    """
    if "learning_rate" in chosen.values or not rates:
        return chosen
    origin = "the median of the methods beside it"
    return Chosen(
        {**chosen.values, "learning_rate": median_low(rates)},
        {**chosen.origins, "learning_rate": origin},
    )


def noise_cell(base: Cell, family: str, settings: Mapping[str, Any]) -> Cell:
    """The sham beside a method's cell: noise as large as its update, in place of it."""
    noise = construct(Noise, dict(settings))
    label = f"{family} + {Noise.label} ({base.method_label})"
    planned = PlannedNoise(asdict(noise), base.key)
    cell = replace(
        base, role="sham", label=label, noise=planned, must_keep_model=False, identity={}
    )
    return replace(cell, identity=identity_of(cell))
