"""What a plan attacks: every unlearned model, the one before unlearning and the retrained one."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell, PlannedAttack
from unlearnbench.experiments.data_choice import without_weights
from unlearnbench.experiments.method_settings import chosen_plugins, construct
from unlearnbench.metrics.task import TEXTS
from unlearnbench.models.devices.strategy import n_processes
from unlearnbench.results.record import Role

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.model_choice import ModelChoice

#: The rows whose models are attacked: only beside the others does an attack say what was left.
ATTACKED: tuple[Role, ...] = ("method", "before", "retrained")


@dataclass(frozen=True)
class AttackChoice:
    """The attacks of an experiment, and the tasks that measure under them."""

    attacks: dict[str, Any]
    tasks: dict[str, Any]

    @classmethod
    def of(cls, experiment: "Experiment", tasks: Mapping[str, Any]) -> "AttackChoice":
        """Those that it names; of the tasks that it runs, those that look at the forget set.

        Raises `UserError` for a name that is unknown.
        """
        if not experiment.attacks:
            return cls({}, {})
        if n_processes() > 1:
            raise UserError("attacks run in one process; leave the launcher of processes out")
        attacks = chosen_plugins("attacks", experiment.attacks)
        if experiment.attack_tasks:
            return cls(attacks, chosen_plugins("tasks", experiment.attack_tasks))
        chosen = {name: task for name, task in tasks.items() if not task.is_of_model_alone}
        if not chosen:
            raise UserError(
                f"no task of --tasks {','.join(tasks)} looks at the forget set, so an attack "
                "would show nothing; name one: --attack-tasks forgetting"
            )
        return cls(attacks, chosen)

    @property
    def needs(self) -> list[str]:
        """What of evaluation sets, texts and splits they read."""
        texts = [TEXTS for attack in self.attacks.values() if "texts" in attack.needs]
        return [*texts, *(name for task in self.tasks.values() for name in task.needs)]

    def cells(
        self, base: Cell, retrained: "ModelChoice | None", overrides: Mapping[str, Any]
    ) -> Iterator[Cell]:
        """The cells, without identity, that attack the model which `base` measures.

        Raises `UserError` for an attack that cannot be made on it.
        """
        source, splits = base.data.source, base.data.splits(base.run, base.limit)
        sizes = [len(of(base.run, base.limit) or ()) for of in (source.targets, source.pool)]
        for name, kind in self.attacks.items():
            attack = construct(kind, overrides.get(name, {}))
            attack.check_rows(*sizes, source.title(base.run))
            attack.check(without_weights(base.model), source, base.run, splits)
            yield replace(
                base,
                attack=PlannedAttack(name, kind.label, asdict(attack), base.key),
                tasks={task: overrides.get(task, {}) for task in self.tasks},
                retrained=retrained,
                must_keep_model=False,
                identity={},
            )
