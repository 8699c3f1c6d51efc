"""`unlearnbench judge`: a language model scores the stored continuations of finished cells."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import explicit, options_of
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import check_absent, secret_values
from unlearnbench.reading import read_results, to_stderr
from unlearnbench.settings import parse_value, setting, settings_of

if TYPE_CHECKING:
    from unlearnbench.ratings.judge.client import Client
    from unlearnbench.ratings.judge.questions import Selection
    from unlearnbench.ratings.judge.replies import Judge, JudgeFiles
    from unlearnbench.ratings.judge.rubric import Prompt


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """Whom to ask, about what, and how patiently."""

    base_url: str | None = setting(
        None, "root of an OpenAI-compatible server: http://127.0.0.1:8000/v1"
    )
    judge_model: str | None = setting(None, "the model's name on that server")
    prompt_file: str | None = setting(
        None, "another wording of the rubric, with {prefix}, {reference} and {candidate} in it"
    )
    methods: tuple[str, ...] = setting(
        (), "only these rows: methods, before, dedup, retrained; default: all"
    )
    runs: tuple[str, ...] = setting((), "only these forget sets; default: all")
    limit: int | None = setting(
        None, "only so many documents of each cell, the same for all its rows", minimum=1
    )
    concurrency: int = setting(4, "questions at a time", minimum=1)
    timeout: float = setting(60.0, "seconds of silence that end an attempt", above=0)
    retries: int = setting(
        4, "more attempts after a rate limit, a time-out, a broken connection or an HTTP 5xx",
        minimum=0,
    )  # fmt: skip
    max_tokens: int = setting(512, "limit of one reply; a reasoning model needs more", minimum=1)

    @classmethod
    def parse(cls, texts: Mapping[str, Any]) -> "JudgeOptions":
        """The options of text by field name; raises `UserError` naming the flag."""
        settings, see = settings_of(cls), "unlearnbench judge --help"
        values = {
            name: parse_value(settings[name], text, f"--{settings[name].flag} ", see)
            for name, text in texts.items()
        }
        return cls(**values)


INTERRUPTED = 130
SOME_UNSCORED = 1


@click.command()
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@options_of(JudgeOptions)
@click.option("--dry-run", is_flag=True, help="print what would be asked and its cost; ask nothing")
@click.option("--list", "listing", is_flag=True, help="print which judges have scored what")
def judge(folder: Path, dry_run: bool, listing: bool, **texts: Any) -> int:
    """Let a language model score the continuations in DIR (default: results) from 0 to 10.

    The key is read from OPENAI_API_KEY and stored nowhere.  Replies are kept in DIR/judge as
    they arrive: the same command goes on where it was stopped.  `unlearnbench report` shows
    the means as the GPT column.

    Exit status: 0 all scored, 1 some failed or unparsable, 2 usage, 130 interrupted.
    """
    from unlearnbench.ratings.judge.replies import Judge, JudgeFiles
    from unlearnbench.ratings.judge.rubric import read_prompt
    from unlearnbench.ratings.judge.scores import (
        JudgeScores,
        cost_before,
        judges_table,
        scores_table,
    )

    options, files = JudgeOptions.parse(explicit(texts)), JudgeFiles(folder)
    selection, n_damaged = _select(folder, options)
    if listing:
        judges = [JudgeScores(one, files.load(one)) for one in files.judges().values()]
        if not judges:
            raise UserError(
                f"no judge has scored {folder} yet; ask one: unlearnbench judge {folder} "
                "--base-url URL --judge-model NAME"
            )
        click.echo(judges_table(judges, selection))
        return 0
    prompt = read_prompt(Path(options.prompt_file) if options.prompt_file else None)
    client = _client(options, prompt)
    judge = Judge.of(client.model, client.endpoint.name, prompt)
    if dry_run:
        questions = selection.open(files.load(judge), options.max_tokens)
        click.echo(cost_before(selection, questions, prompt, options.max_tokens))
        return 0
    try:
        _ask(client, prompt, files, judge, selection, options.concurrency)
    except KeyboardInterrupt:
        to_stderr("interrupted; run the same command to go on")
        return INTERRUPTED
    scores = JudgeScores(judge, files.load(judge))
    click.echo(scores_table(selection.cells, scores))
    coverage = scores.coverage(selection.items())
    return 0 if coverage.scored == coverage.total and not n_damaged else SOME_UNSCORED


def _select(folder: Path, options: JudgeOptions) -> "tuple[Selection, int]":
    from unlearnbench.ratings.judge.questions import select

    results, n_damaged = read_results(folder)
    selection = select(results, options.methods, options.runs, options.limit)
    for sentence in selection.skipped:
        to_stderr(sentence)
    if not selection.items():
        raise UserError(
            f"no continuations to judge in {folder}; measure again with the task 'forgetting': "
            f"unlearnbench run --out {folder}"
        )
    return selection, n_damaged


def _ask(
    client: "Client",
    prompt: "Prompt",
    files: "JudgeFiles",
    judge: "Judge",
    selection: "Selection",
    concurrency: int,
) -> None:
    """Ask what is open, and say what it cost; raises `UserError` where the server refuses all."""
    from unlearnbench.ratings.judge.client import ask_all
    from unlearnbench.ratings.judge.scores import cost_after, cost_before, warnings

    # Read under the lock: what another process has just paid for is not asked again.
    with files.writing(judge) as append:
        questions = selection.open(files.load(judge), client.max_tokens)
        to_stderr(cost_before(selection, questions, prompt, client.max_tokens))
        with click.progressbar(length=len(questions), label="judging", file=sys.stderr) as bar:
            advance = partial(bar.update, 1)
            outcome = ask_all(client, prompt, questions, concurrency, append, advance)
    to_stderr(cost_after(outcome))
    if outcome.is_hopeless:
        raise UserError(
            f"{client.endpoint.name} refuses ({outcome.stopped}); check OPENAI_API_KEY, "
            f"--judge-model and --base-url; the {len(outcome.replies)} replies that came are kept"
        )
    for sentence in warnings(outcome):
        to_stderr(sentence)


def _client(options: JudgeOptions, prompt: "Prompt") -> "Client":
    from unlearnbench.ratings.judge import client

    url, model = options.base_url, options.judge_model
    if not url or not model:
        raise UserError(
            f"no {'--judge-model' if url else '--base-url'}; name a server and a model: "
            "unlearnbench judge --base-url http://127.0.0.1:8000/v1 --judge-model NAME"
        )
    key, endpoint = client.key_from_environment(), client.parse_endpoint(url)
    check_absent({"--base-url": url, "--judge-model": model, "--prompt-file": prompt.text})
    if client.VARIABLE in secret_values() and not endpoint.is_private:
        to_stderr(f"warning: the key travels unencrypted to {endpoint.name}")
    limits = options.timeout, options.retries, options.max_tokens
    return client.Client(endpoint, key, model, *limits)
