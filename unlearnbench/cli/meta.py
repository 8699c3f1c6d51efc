"""`unlearnbench meta`: metrics tested on models of which it is known what they know."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.carrying_out import carry_out
from unlearnbench.cli.options import explicit, options_of
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from unlearnbench.results.record import Result

# What the pool file says of models, or what a test of metrics has no use for.
_LEFT_OUT = ("model", "revision", "references", "adapter", "learning_rates", "profile", "track")
_OPTIONS = tuple(name for name in Experiment.__dataclass_fields__ if name not in _LEFT_OUT)
_WORDS = {
    "methods": "methods of the unlearned models of R and Q  [default: the pool file's]",
    "attacks": "attacks of R and Q on unlearned models  [default: the pool file's]",
    "tasks": "tasks whose metrics are tested  [default: the pool file's]",
}


@click.command()
@click.argument("pools", metavar="POOLS")
@options_of(Experiment, only=_OPTIONS, words=_WORDS)
@click.option("--dry-run", is_flag=True, help="print the cells and what they cost; run nothing")
def meta(pools: str, dry_run: bool, **options: Any) -> int:
    """Test metrics on models with and without the knowledge of a forget set.

    POOLS is a name of `unlearnbench list pools`, or a .toml file of one's own (`unlearnbench show
    pools`).  Of every metric of the tasks, derived scores included, it says whether it tells the
    two pools apart (faithfulness), whether relearning and quantisation move it (R and Q), and which
    metrics say the same.  The table is printed and written to OUT/meta.json, which `unlearnbench
    report --metrics FILE` shows beside results.  Cells that have a result in --out already are not
    run again.
    """
    from unlearnbench.running.launching.requested_pools import RequestedPools, command_of

    chosen = explicit(options)
    requested = RequestedPools.of(pools, chosen, command_of(pools, chosen), not dry_run)

    def show(results: "Sequence[Result]") -> str:
        from unlearnbench.reading import Printed
        from unlearnbench.reporting.document import Document, Findings
        from unlearnbench.reporting.sections.metrics import blocks_of

        table = requested.table(results)
        to_stderr(f"written to {requested.write(table)}")
        document = Document(table.title, tuple(blocks_of(table)), Findings(tuple(results)))
        return Printed(document).to_text()

    status = carry_out(requested.run, dry_run, show=show)
    if dry_run:
        click.echo(f"\n{requested.in_words}")
    return status
