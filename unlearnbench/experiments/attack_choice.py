"""What a plan attacks: every unlearned model, the one before unlearning and the retrained one."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell, PlannedAttack
from unlearnbench.experiments.data_choice import benchmark_with_splits, without_weights
from unlearnbench.experiments.method_settings import chosen_plugins, construct
from unlearnbench.metrics.task import RETRAINED, TEXTS
from unlearnbench.models.devices.strategy import n_processes
from unlearnbench.results.record import Role, unlearned_by

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import ForgetSource, Rows
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.model_choice import ModelChoice

DEFAULT = "default"  # in place of names: the attacks that need nothing given
#: The rows whose models are attacked: only beside the others does an attack say what was left.
ATTACKED: tuple[Role, ...] = ("method", "before", "retrained")


@dataclass(frozen=True)
class AttackChoice:
    """The attacks of an experiment, and the tasks that measure under them."""

    attacks: dict[str, Any]
    tasks: dict[str, Any]
    are_named: bool = True  # one that is not named is left out where it cannot be made
    has_retain_items: bool = False  # of a benchmark's split

    @classmethod
    def of(cls, experiment: "Experiment", tasks: Mapping[str, Any]) -> "AttackChoice":
        """Those that it names; of the tasks that it runs, those that look at the forget set.

        Raises `UserError` for a name that is unknown.
        """
        if not experiment.attacks:
            return cls({}, {})
        if n_processes() > 1:
            raise UserError("attacks run in one process; leave the launcher of processes out")
        are_named = experiment.attacks != (DEFAULT,)
        attacks = chosen_plugins("attacks", experiment.attacks if are_named else ())
        if experiment.attack_tasks:
            chosen = chosen_plugins("tasks", experiment.attack_tasks)
            return cls(attacks, chosen, are_named, _has_retain_items(experiment))
        chosen = {name: task for name, task in tasks.items() if _tells_of_recovery(task)}
        if not chosen:
            raise UserError(
                f"no task of --tasks {','.join(tasks)} looks at the forget set, so an attack "
                "would show nothing; name one: --attack-tasks forgetting"
            )
        return cls(attacks, chosen, are_named, _has_retain_items(experiment))

    def needs(self, overrides: Mapping[str, Any]) -> list[str]:
        """What of evaluation sets, texts and splits they read, with these settings."""
        texts = []
        for name, kind in self.attacks.items():
            with suppress(UserError):  # settings that it refuses are told of with its cells
                attack = construct(kind, overrides.get(name, {}))
                texts += [TEXTS] if "texts" in attack.needed(self.has_retain_items) else []
        return [*texts, *(name for task in self.tasks.values() for name in task.needs)]

    def cells(
        self,
        base: Cell,
        retrained: "ModelChoice | None",
        overrides: Mapping[str, Any],
        warnings: list[str],
    ) -> Iterator[Cell]:
        """The cells, without identity, that attack the model which `base` measures.

        An attack that needs a retrained model is left out where there is none, with a warning, and
        so is one that nobody named and that cannot be made on these data.
        Raises `UserError` for a named attack that cannot be made.
        """
        splits = base.data.splits(base.run, base.limit)
        source = cast("ForgetSource", _AsRead(base.data.source, base.limit))
        for name, kind in self.attacks.items():
            if "retrained model" in kind.needs and retrained is None:
                warnings.append(
                    f"attack '{name}' is left out: it needs a model retrained without the forget "
                    f"set, and none is known for '{base.main.requested}'; name one: "
                    "--retrained MODEL"
                )
                continue
            try:
                attack = construct(kind, overrides.get(name, {}))
                attack.check(without_weights(base.model), source, base.run, splits)
                if "texts" in attack.needed(self.has_retain_items) and not base.data.texts:
                    raise UserError(
                        f"{name} measures on a validation text, and there is none; give one: "
                        "--text NAME=FILE"
                    )
            except UserError as error:
                if self.are_named:
                    raise
                warnings.append(f"attack '{name}' is left out: {error}")
                continue
            yield replace(
                base,
                attack=PlannedAttack(
                    name, kind.label, asdict(attack), base.key, unlearned_by(base.identity)
                ),
                tasks={task: overrides.get(task, {}) for task in self.tasks},
                retrained=retrained,
                must_keep_model=False,
                identity={},
            )


def _tells_of_recovery(task: Any) -> bool:
    """Whether it looks at the forget set, and says whether that is known again.

    A distance to the retrained model grows with what an attack breaks as with what it brings back.
    """
    return not task.is_of_model_alone and RETRAINED not in task.needs


def _has_retain_items(experiment: "Experiment") -> bool:
    benchmark = benchmark_with_splits(experiment)
    splits = benchmark.definition.splits.values() if benchmark else ()
    return any(split.role == "retain" for split in splits)


class _AsRead:
    """A source as a run with a limit reads it, where nobody says another limit."""

    def __init__(self, source: "ForgetSource", limit: int | None) -> None:
        self._source, self._limit = source, limit

    def targets(self, run: str, limit: int | None = None) -> "Rows":
        """The rows to forget."""
        return self._source.targets(run, self._limit if limit is None else limit)

    def pool(self, run: str, limit: int | None = None) -> "Rows | None":
        """The rows that may stay known."""
        return self._source.pool(run, self._limit if limit is None else limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
