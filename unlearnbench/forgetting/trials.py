"""Which methods a request tries and at which rates, unless it says so itself."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from unlearnbench.registry import WITH, find
from unlearnbench.settings import settings_of

if TYPE_CHECKING:
    from unlearnbench.experiments.learning_rates import LearningRates

#: Of the methods tuned on the nano world four of the five that keep most utility at the stop line
#: (docs/nano.md); the fifth, IdkNLL, needs refusals.  LLMU gives least away to relearning.
WITH_POOL = ("npo", "rmu", "llmu", "undial")
#: What needs no text to keep.
WITHOUT_POOL = ("undial", "kumpr", "ceu")
# From small to large: the first that reaches the line does least harm.
LADDER = (1e-5, 3e-5, 1e-4)
SMALL = 10_000_000  # parameters: networks below it take ten times as much
# A request of few rows has few steps in an epoch.  Nano methods are tuned within so many steps.
STEPS = 96
# What a rate of the ladder is given to reach the line, before the next one is tried: a rate that is
# too small would else spend the budget.  The largest has all the steps that there may be.
SHORT_EPOCHS, SHORT_STEPS = 5, 12
# Of a rate that was tuned for whole weights, for adapters: they mostly want ten times as much.
ADAPTED = (1, 10)
RATE, LIMIT, RETAIN = "learning_rate", "max_epochs", "alpha"
# What nobody tuned, where a method's default leaves rows known that are known by heart: a token of
# probability 1 - 1e-4 has a logit 9 above all others together, from which UNDIAL takes beta.
AGAINST_KNOWN_BY_HEART = {"undial": ("beta", 30)}


@dataclass(frozen=True)
class Size:
    """What decides how far a method has to go, and how far it may."""

    n_parameters: int
    n_rows: int
    batch_size: int | None = None  # as requested
    max_epochs: int | None = None  # as requested
    has_pool: bool = False


@dataclass(frozen=True)
class Rung:
    """One way to run a method: its settings, as --set writes them, and where they are from."""

    method: str
    settings: tuple[str, ...]
    origin: str

    @property
    def values(self) -> str:
        """'learning_rate=0.0002, alpha=0.2'."""
        return ", ".join(text.partition(".")[2] for text in self.settings) or "defaults"

    @property
    def title(self) -> str:
        """'npo (learning_rate=0.0002, alpha=0.2)'."""
        return f"{self.method} ({self.values})"


def default_methods(has_pool: bool) -> tuple[str, ...]:
    """The short list."""
    return WITH_POOL if has_pool else WITHOUT_POOL


def ladder(n_parameters: int, is_adapter: bool) -> tuple[float, ...]:
    """Rates to climb where nobody tuned any: tenfold for adapters, and for small networks."""
    factor = (10 if is_adapter else 1) * (10 if n_parameters < SMALL else 1)
    return tuple(float(f"{rate * factor:.6g}") for rate in LADDER)


def rungs_of(
    method: str,
    given: Sequence[str],
    tuned: "LearningRates | None",
    size: Size,
    is_adapter: bool = False,
) -> tuple[Rung, ...]:
    """How a method is tried, one after the other until one reaches the line.

    A rate that the request gives is the only one; else the tuned one with its settings; else a
    ladder, each rate but the largest for a few epochs.
    What the request gives beside the rate is part of each.
    """
    kind: Any = find("methods", method)
    owner = method.partition(WITH)[0]
    own = tuple(text for text in given if text.partition(".")[0] == owner)
    names = {text.partition("=")[0].partition(".")[2] for text in own}
    limit = () if LIMIT in names else _limit(kind, owner, tuned, size)
    if RATE in names or RATE not in settings_of(kind):
        return (
            Rung(method, (*own, *limit), "as requested" if own else "the method's own settings"),
        )
    rated = tuned.rated(method) if tuned else ""
    if tuned is not None and rated:
        one = tuned.methods[rated]
        others = [f"{owner}.{n}={_text(v)}" for n, v in one.settings.items() if n not in names]
        is_bare = (is_adapter or WITH in method) and WITH not in rated
        where = f"tuned{' for whole weights' if is_bare else ''} on forget set {tuned.forget_set}"
        return tuple(
            Rung(method, (f"{owner}.{RATE}={rate:g}", *others, *own, *limit), where)
            for rate in (one.learning_rate * factor for factor in (ADAPTED if is_bare else (1,)))
        )
    rates = ladder(size.n_parameters, is_adapter or WITH in method)
    short = (f"{owner}.{LIMIT}={_short(kind, size)}",) if limit else ()
    own = (*_strengthened(owner, names), *_kept(kind, owner, size, names), *own)
    epochs = [short] * (len(rates) - 1) + [limit]
    return tuple(
        Rung(method, (f"{owner}.{RATE}={rate:g}", *own, *at_most), "ladder")
        for rate, at_most in zip(rates, epochs, strict=True)
    )


def _strengthened(owner: str, names: Container[str]) -> tuple[str, ...]:
    """With UNDIAL's beta of 10 six of eight rows stayed known on SmolLM2 (docs/performance.md)."""
    name, value = AGAINST_KNOWN_BY_HEART.get(owner, ("", 0))
    return (f"{owner}.{name}={value}",) if name and name not in names else ()


def _kept(kind: Any, owner: str, size: Size, names: Container[str]) -> tuple[str, ...]:
    """Have a method learn the pool that leaves it alone by its own defaults, as UNDIAL does.

    UNDIAL on SmolLM2 lost 13.4% of utility without, 4.0% with it (docs/performance.md).
    """
    weight = settings_of(kind).get(RETAIN)
    if not size.has_pool or weight is None or weight.default or RETAIN in names:
        return ()
    return (f"{owner}.{RETAIN}=1",)


def _short(kind: Any, size: Size) -> int:
    return max(SHORT_EPOCHS, ceil(SHORT_STEPS / _steps_per_epoch(kind, size)))


def _steps_per_epoch(kind: Any, size: Size) -> int:
    return ceil(size.n_rows / (size.batch_size or settings_of(kind)["batch_size"].default))


def _limit(kind: Any, owner: str, tuned: "LearningRates | None", size: Size) -> tuple[str, ...]:
    """The epoch limit: the tuned or the method's own, and `STEPS` steps at least."""
    own = settings_of(kind)
    if size.max_epochs is not None or LIMIT not in own:
        return ()
    usual = (tuned.max_epochs if tuned else None) or own[LIMIT].default
    return (f"{owner}.{LIMIT}={max(usual, ceil(STEPS / _steps_per_epoch(kind, size)))}",)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
