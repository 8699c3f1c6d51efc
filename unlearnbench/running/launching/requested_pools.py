"""A test of metrics on request: the cells of a pool file, and the table of their results."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnbench.analysis.meta.making import parts_of_table
from unlearnbench.analysis.meta.measured import Member, measure
from unlearnbench.analysis.meta.table import FILE_NAME, MetaTable
from unlearnbench.errors import UserError
from unlearnbench.experiments.pools.definition import find_pools
from unlearnbench.experiments.pools.planning import PlannedPools, plan_pools
from unlearnbench.files.software import harness_sha256, package_versions
from unlearnbench.files.whole_files import write_whole
from unlearnbench.nano import WORLDS
from unlearnbench.results.record import Result
from unlearnbench.running.launching.requested import RequestedRun


@dataclass(frozen=True)
class RequestedPools:
    """The run of a pool file's cells, and what is made of them."""

    planned: PlannedPools
    command: str

    @classmethod
    def of(
        cls, name: str, options: Mapping[str, Any], command: str, download: bool = True
    ) -> "RequestedPools":
        """The pools of that name or file, with options by field name of `Experiment`.

        Raises `UserError` for an option, a value or a model that cannot be had, before any weights
        are loaded.
        """
        return cls(plan_pools(find_pools(name), options, download), command)

    @property
    def run(self) -> RequestedRun:
        """The cells, as any others."""
        return RequestedRun(self.planned.experiments, self.planned.plan)

    @property
    def in_words(self) -> str:
        """Which models the metrics are tested by."""
        definition, members = self.planned.pools.definition, self.planned.members
        others = sum(cell.key not in members for cell in self.planned.plan.cells)
        return (
            f"Models with the knowledge: {len(definition.with_)}, without: "
            f"{len(definition.without)}; {len(members)} cells. {others} more cells are of the "
            "references, and of R and Q."
        )

    def table(self, results: Sequence[Result]) -> MetaTable:
        """The table of these results; raises `UserError` where a pool has none that counts."""
        planned, definition = self.planned, self.planned.pools.definition
        by_model: dict[tuple[str, str, str], list[Result]] = {}
        others: list[Result] = []
        base = {cell.key for cell in planned.base}
        for result in results:
            if (place := planned.members.get(result.key)) is not None:
                side, member = place
                by_model.setdefault((member.model, side, member.kind), []).append(result)
            if result.key in base:
                others.append(result)
        members = [Member(*place, of) for place, of in by_model.items()]  # type: ignore[arg-type]
        for side in ("with", "without"):
            if not any(m.pool == side and _any_worked(m.results) for m in members):
                raise UserError(
                    f"no model {side} the knowledge was measured, so no metric can be tested; see "
                    "the logs, and run the same command again"
                )
        of_members = [result for member in members for result in member.results]
        first = of_members[0]
        retrained = next((r.model.name for r in others if r.role == "retrained"), None)
        groups = {m.model for m in definition.with_}
        return MetaTable(
            name=planned.pools.name,
            title=definition.title,
            command=self.command,
            worlds=[world.name for world in WORLDS.values() if groups & set(world.models)],
            benchmark=first.benchmark.name if first.benchmark else None,
            runs=sorted({result.forget_set.run for result in of_members}),
            n_rows=sorted({len(result.forget_set.doc_ids) for result in of_members}),
            limit=(first.identity.get("tasks") or {}).get("limit"),
            original=definition.original,
            retrained=retrained,
            software=package_versions(),
            harness=harness_sha256(),
            **parts_of_table(measure(members, others)),
        )

    def write(self, table: MetaTable) -> Path:
        """Put the table beside the results."""
        path = self.run.store.folder / FILE_NAME
        write_whole(path, table.model_dump_json(indent=1) + "\n", "choose another --out")
        return path


def _any_worked(results: Sequence[Result]) -> bool:
    return any(result.status != "failed" for result in results)


# Where cells are run and kept changes no number.
_OF_LAUNCH = ("out", "launcher", "jobs", "shard", "cell_timeout", "retries", "ray_address",
              "gpus_per_cell")  # fmt: skip


def command_of(pools: str, options: Mapping[str, Any]) -> str:
    """The command that makes the table again."""
    words = ["unlearnbench", "meta", pools]
    for name, value in options.items():
        flag = "--" + ("set" if name == "settings" else name.replace("_", "-"))
        if name in _OF_LAUNCH:
            continue
        if value is True:
            words.append(flag)
        elif isinstance(value, tuple | list):
            words += [part for one in value for part in (flag, str(one))]
        else:
            words += [flag, str(value)]
    return shlex.join(words)
