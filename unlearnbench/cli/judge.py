"""`unlearnbench judge`: a language model scores the stored continuations of finished cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import explicit, options_of
from unlearnbench.errors import UserError
from unlearnbench.ratings.judge.options import JudgeOptions

if TYPE_CHECKING:
    from unlearnbench.ratings.judge.asking import Outcome
    from unlearnbench.ratings.judge.client import Client
    from unlearnbench.ratings.judge.replies import JudgeFiles
    from unlearnbench.ratings.judge.rubric import Prompt
    from unlearnbench.ratings.judge.selection import Selection

INTERRUPTED = 130
SOME_UNSCORED = 1


@click.command()
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@options_of(JudgeOptions)
@click.option("--dry-run", is_flag=True, help="print what would be asked and its cost; ask nothing")
@click.option("--list", "listing", is_flag=True, help="print which judges have scored what")
def judge(folder: Path, dry_run: bool, listing: bool, **options: Any) -> int:
    """Let a language model score the continuations in DIR (default: results) from 0 to 10.

    The key is read from OPENAI_API_KEY and stored nowhere.  Replies are kept in DIR/judge as
    they arrive: the same command goes on where it was stopped.  `unlearnbench report` shows
    the means as the GPT column.

    Exit status: 0 all scored, 1 some failed or unparsable, 2 usage, 130 interrupted.
    """
    from unlearnbench.ratings.judge.replies import JudgeFiles

    asked, files = JudgeOptions.parse(explicit(options)), JudgeFiles(folder)
    selection, n_damaged = _select(folder, asked)
    if listing:
        _list(files, selection)
        return 0
    session = _Session(asked, files, selection)
    if dry_run:
        session.show_cost()
        return 0
    try:
        is_complete = session.run()
    except KeyboardInterrupt:
        click.echo("unlearnbench: interrupted; run the same command to go on", err=True)
        return INTERRUPTED
    return 0 if is_complete and not n_damaged else SOME_UNSCORED


def _select(folder: Path, asked: JudgeOptions) -> "tuple[Selection, int]":
    from unlearnbench.ratings.judge.selection import select
    from unlearnbench.reading import read_results

    results, n_damaged = read_results(folder)
    selection = select(results, asked.methods, asked.runs, asked.limit)
    for sentence in selection.skipped:
        click.echo(f"unlearnbench: {sentence}", err=True)
    if not selection.n_continuations:
        raise UserError(
            f"no continuations to judge in {folder}; measure again with the task 'forgetting': "
            f"unlearnbench run --out {folder}"
        )
    return selection, n_damaged


def _list(files: "JudgeFiles", selection: "Selection") -> None:
    from unlearnbench.ratings.judge.scores import JudgeScores
    from unlearnbench.ratings.judge.telling import judges_table

    known = [JudgeScores(who, files.load(who)) for who in files.judges().values()]
    if not known:
        raise UserError(
            f"no judge has scored {files.results} yet; ask one: unlearnbench judge "
            f"{files.results} --base-url URL --judge-model NAME"
        )
    click.echo(judges_table(known, selection))


class _Session:
    """One run of the command: who asks whom about what."""

    def __init__(self, asked: JudgeOptions, files: "JudgeFiles", selection: "Selection") -> None:
        from unlearnbench.ratings.judge.records import Judge
        from unlearnbench.ratings.judge.rubric import read_prompt

        self.asked, self.files, self.selection = asked, files, selection
        self.prompt: Prompt = read_prompt(Path(asked.prompt_file) if asked.prompt_file else None)
        self.client = _client(asked, self.prompt)
        self.judge = Judge.of(self.client.model, self.client.endpoint.name, self.prompt)

    def show_cost(self) -> None:
        """Print what would be asked."""
        from unlearnbench.ratings.judge.telling import cost_before

        questions = self.selection.open(self.files.load(self.judge), self.asked.max_tokens)
        click.echo(cost_before(self.selection, questions, self.prompt, self.asked.max_tokens))

    def run(self) -> bool:
        """Ask what is open, print the scores; whether all continuations have one."""
        from unlearnbench.ratings.judge.scores import JudgeScores
        from unlearnbench.ratings.judge.telling import scores_table

        outcome = self._ask()
        self._tell(outcome)
        scores = JudgeScores(self.judge, self.files.load(self.judge))
        click.echo(scores_table(self.selection.cells, scores))
        coverage = scores.coverage_of(cell.items for cell in self.selection.cells)
        return coverage.scored == coverage.total

    def _ask(self) -> "Outcome":
        from unlearnbench.ratings.judge.asking import Interview, progress
        from unlearnbench.ratings.judge.telling import cost_before

        # Read under the lock: what another process has just paid for is not asked again.
        with self.files.writing(self.judge) as keep:
            replies = self.files.load(self.judge)
            questions = self.selection.open(replies, self.asked.max_tokens)
            cost = cost_before(self.selection, questions, self.prompt, self.asked.max_tokens)
            click.echo(f"unlearnbench: {cost}", err=True)
            with progress(len(questions)) as tell:
                interview = Interview(self.client, self.prompt, keep, tell)
                return interview.ask_all(questions, self.asked.concurrency)

    def _tell(self, outcome: "Outcome") -> None:
        from unlearnbench.ratings.judge.telling import cost_after, warnings

        click.echo(f"unlearnbench: {cost_after(outcome)}", err=True)
        if outcome.is_hopeless:
            raise UserError(
                f"{self.client.endpoint.name} refuses ({outcome.stopped}); check OPENAI_API_KEY, "
                f"--judge-model and --base-url; the {len(outcome.replies)} replies that came are "
                "kept"
            )
        for sentence in warnings(outcome):
            click.echo(f"unlearnbench: {sentence}", err=True)


def _client(asked: JudgeOptions, prompt: "Prompt") -> "Client":
    from unlearnbench.ratings.judge.client import Client
    from unlearnbench.ratings.judge.endpoint import key_from_environment, parse_endpoint

    url, model = asked.whom()
    key = key_from_environment()
    key.check_absent(url, model, prompt.text)
    endpoint = parse_endpoint(url)
    if key.is_secret and not endpoint.is_encrypted and not endpoint.is_local:
        click.echo(
            f"unlearnbench: warning: the key travels unencrypted to {endpoint.name}", err=True
        )
    return Client(
        endpoint,
        key,
        model,
        timeout=asked.timeout,
        retries=asked.retries,
        max_tokens=asked.max_tokens,
    )
