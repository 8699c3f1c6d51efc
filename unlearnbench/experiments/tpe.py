"""A search that learns: optuna's tree-structured Parzen estimator, one study a method."""

import hashlib
from collections.abc import Mapping
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.learning_rates import Candidate
from unlearnbench.experiments.search_spaces import DIGITS, Space, Spaces, as_text
from unlearnbench.experiments.trials import Values

# Configurations drawn at random before it learns; optuna's own ten would be most of a small budget.
N_STARTUP = 4
_COLLAPSED = -2.0  # under the farthest from the line: EL and MA both 1 above it


class TpeSearch:
    """One method's search: `ask` for a configuration, `tell` what it came to.

    The same seed and the same answers give the same configurations, so a search that was
    interrupted goes on where it stopped.
    """

    def __init__(self, method: str, spaces: Spaces, seed: int) -> None:
        """Raises `UserError` where optuna is not installed."""
        try:
            import optuna
        except ImportError:
            raise UserError("--optuna needs optuna: pip install 'unlearnbench[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        own_seed = int.from_bytes(hashlib.sha256(f"{seed}/{method}".encode()).digest()[:4])
        sampler = optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=N_STARTUP)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = {name: _distribution(space) for name, space in spaces.items()}
        self._trial: Any = None

    def ask(self) -> Values:
        """The next configuration."""
        self._trial = self._study.ask(self._distributions)
        return {
            name: as_text(float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v)
            for name, v in self._trial.params.items()
        }

    def tell(self, value: float | None) -> None:
        """What the configuration asked for came to, more being better; None: it failed."""
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(self._trial, state=TrialState.FAIL)
        else:
            self._study.tell(self._trial, value)


def _distribution(space: Space) -> Any:
    from optuna import distributions

    if space.choices:
        return distributions.CategoricalDistribution(space.choices)
    if space.is_whole:
        return distributions.IntDistribution(int(space.low), int(space.high))
    return distributions.FloatDistribution(space.low, space.high, log=space.is_log)


def searches_of(spaces: Mapping[str, Spaces], seed: int) -> dict[str, TpeSearch]:
    """A search for each method."""
    return {method: TpeSearch(method, own, seed) for method, own in spaces.items()}


def by_the_line(candidate: Candidate, kept: float | None) -> float | None:
    """What a search by the stop line's rule is told: utility kept where the line was reached.

    Else how far the run ended above the line, below 0, so that nearer is better; None: it failed.
    """
    if candidate.outcome == "failed":
        return None
    if candidate.reached:
        return kept
    return _COLLAPSED if candidate.distance is None else -candidate.distance
