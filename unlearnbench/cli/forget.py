"""`unlearnbench forget`: from rows that must go to an unlearned model and a certificate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.carrying_out import INTERRUPTED, terminating_as_interrupt
from unlearnbench.cli.options import explicit, options_of
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.forgetting.request import DEFAULT_BUDGET, DEFAULT_LOSS, OPTIONS, request_of
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from unlearnbench.forgetting.prepared import Prepared
    from unlearnbench.forgetting.writing import Written

NOT_DONE = 1
_WORDS = {
    "model": "the model that is to forget: an alias, a hub id, a folder or a .gguf file",
    "forget_set": "what must go: a .jsonl, .json, .csv or .parquet file of rows, or as `run` "
    "takes it",
    "pool": "rows that may stay known; methods that need such are tried only with it",
    "unseen": "rows that the model never saw, to calibrate on  [default: the world's of a nano "
    "model, else Jang et al.'s line]",
    "runs": "which forget set, where the source holds several",
    "methods": "methods to try, with wrappers  [default: a short list, see docs/forget.md]",
    "learning_rates": "file written by 'unlearnbench tune'  [default: that of a nano model, else "
    "a ladder of three rates]",
    "attacks": "attacks on the best model  [default: relearn, quantise, sample]",
    "pairing": "which row of the pool stands beside a row: nearest, random, same:FIELD  [default: "
    "random; nearest with --encoder and for nano models]",
    "seeds": "seed of unlearning  [default: 42]",
    "stop": "stop line: Jang et al.'s numbers or measured; rows: measured, and no single row "
    "known  [default: rows where there are unseen ones]",
    "jobs": "0: every cell in this process; 1: each in one of its own, which the budget can stop  "
    "[default: 0 for nano models, else 1]",
}


@click.command()
@options_of(Experiment, only=OPTIONS, words=_WORDS)
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path), help="where all is written"
)
@click.option(
    "--keep",
    metavar="FILE",
    help="text that must stay known, .txt or rows of text  [default: the run's validation texts]",
)
@click.option(
    "--on",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="go on from the model of an earlier request, and test its rows again",
)
@click.option(
    "--budget",
    default=DEFAULT_BUDGET,
    show_default=True,
    metavar="TIME",
    help="time for trying methods: 2h, 30min, 90s",
)
@click.option(
    "--max-utility-loss",
    metavar="SHARE",
    help=f"by how much the kept text's NLL may rise at most: 5% or 0.05  [default: {DEFAULT_LOSS}; "
    "with --on what the request before allowed]",
)
@click.option("--dry-run", is_flag=True, help="print the plan and what it costs; run nothing")
@click.option(
    "--verify",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="compute every digest of a folder again, and those of its chain, instead",
)
def forget(
    out: Path | None,
    keep: str | None,
    on: Path | None,
    budget: str,
    max_utility_loss: str | None,
    dry_run: bool,
    verify: Path | None,
    **options: Any,
) -> int:
    """Have a model forget rows, and write FOLDER: model, report, certificate and model card.

    Says which rows the model knows, tries a short list of methods, rejects those that break
    what must stay, takes the best by one rule and attacks it.  What the certificate says is
    what was measured, and it lists what was not.  The same command again goes on where an
    interrupted one stopped.

    Exit status: 0 a model is handed out, or no row is known; 1 no method qualifies, or a row
    of an earlier request came back.
    """
    if verify is not None:
        return _verify(verify)
    from unlearnbench.forgetting.prepared import prepare

    if out is None:
        raise UserError("say where everything is written: --out FOLDER")
    request = request_of(
        explicit(options),
        out=out,
        keep=keep,
        on=on,
        budget=budget,
        max_utility_loss=max_utility_loss,
    )
    prepared = prepare(request, download=not dry_run)
    for warning in prepared.warnings:
        to_stderr(warning)
    if dry_run:
        return _print_plan(prepared)
    return _carry_out(prepared)


def _carry_out(prepared: "Prepared") -> int:
    from unlearnbench.forgetting.deletion import carry_out

    try:
        with terminating_as_interrupt():
            written = carry_out(prepared, to_stderr)
    except KeyboardInterrupt:
        to_stderr("interrupted; run the same command to go on")
        return INTERRUPTED
    return _print(written)


def _print_plan(prepared: "Prepared") -> int:
    from unlearnbench.cli.dry_run import print_plan
    from unlearnbench.forgetting.deletion import plan_of
    from unlearnbench.results.store import Store

    plan, lines = plan_of(prepared)
    click.echo(f"Request {prepared.number}: methods and their rates, the first that reaches the "
               "line is taken")  # fmt: skip
    for line in lines:
        click.echo(f"  {line}")
    request = prepared.request
    click.echo(
        f"Budget {request.budget:.0f} s for trying; utility may lose {prepared.max_loss:.1%}; then "
        f"the best is attacked: {', '.join(prepared.attacks)}\n"
    )
    print_plan(plan, Store(prepared.private), ())
    return 0


def _print(written: "Written") -> int:
    from unlearnbench.forgetting.words import attack_in_words

    one = written.certificate
    click.echo(f"{one.status}: {one.statement}")
    for text in one.utility:
        after = "–" if text.after is None else f"{text.after:.3f} ({-(text.loss or 0):+.1%})"
        click.echo(f"  utility, {text.text}: NLL {text.before:.3f} → {after}")
    for attack in one.attacks:
        click.echo(f"  {attack_in_words(attack, len(one.rows))}")
    if one.earlier_rows:
        n, back = len(one.earlier_rows), len(one.came_back)
        click.echo(f"  rows of earlier requests tested again: {n}, came back: {back or 'none'}")
    for row in one.came_back:
        click.echo(
            f"  came back: row {row.doc_id} of request {row.request}: MA {100 * row.then.ma:.1f}% "
            f"then, {100 * row.now.ma:.1f}% now"
        )
    parts = "model/, report.html, README.md, " if one.model_after else "report.html, "
    click.echo(f"written to {written.folder}: {parts}certificate.json; private/ holds the rows")
    if one.status == "nothing qualified":
        to_stderr(
            "no method qualifies, so no model is handed out; see 'What was tried' in report.html, "
            "then allow more (--max-utility-loss, --budget) or name other --methods"
        )
        return NOT_DONE
    return NOT_DONE if one.came_back else 0


def _verify(folder: Path) -> int:
    from unlearnbench.forgetting.chain import check_folder

    lines = check_folder(folder)
    for ok, line in lines:
        click.echo(f"{'ok ' if ok else 'BAD'}  {line}")
    return 0 if all(ok for ok, _ in lines) else NOT_DONE
