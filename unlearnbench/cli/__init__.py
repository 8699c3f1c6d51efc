"""The command line: stdout is the answer, stderr the talk; `--help` and `list` load no torch."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

import unlearnbench
from unlearnbench.cli.attack import attack
from unlearnbench.cli.carrying_out import INTERRUPTED
from unlearnbench.cli.catalogue import list_command, show
from unlearnbench.cli.export import export
from unlearnbench.cli.forget import forget
from unlearnbench.cli.human import human
from unlearnbench.cli.judge import judge
from unlearnbench.cli.logs import import_logs, verify
from unlearnbench.cli.meta import meta
from unlearnbench.cli.nano import nano
from unlearnbench.cli.new import new
from unlearnbench.cli.push import push
from unlearnbench.cli.report import report
from unlearnbench.cli.run import run
from unlearnbench.cli.tune import tune
from unlearnbench.cli.upgrade import upgrade
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import redact, visible

_INSTALL = {
    "bash": 'add to ~/.bashrc:  eval "$(unlearnbench completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(unlearnbench completion zsh)"',
    "fish": "run:  unlearnbench completion fish > ~/.config/fish/completions/unlearnbench.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if completer is None:
        raise click.ClickException(f"no completion for {shell}")
    script = completer(cli, {}, "unlearnbench", "_UNLEARNBENCH_COMPLETE")
    click.echo(f"# To install, {_INSTALL[shell]}")
    click.echo(script.source())


USAGE = 2
#: Read when torch is loaded: its threads sleep while they wait.  Spinning, they slow down whatever
#: runs beside them, and most of all themselves.
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=[
        *(run, attack, report, meta, judge, human, list_command, show, new, tune, upgrade, nano),
        *(forget, push, export, import_logs, verify, completion),
    ],
)
@click.version_option(unlearnbench.__version__, prog_name="unlearnbench")
def cli() -> None:
    """Compare methods that make a language model forget.

    \b
    unlearnbench run                                     a first look, no network needed
    unlearnbench run --experiment nano-table1            the nano world's whole table
    unlearnbench run --methods icu,kumpr --model neo-125m --forget-set FOLDER
    unlearnbench report --latex

    Exit status: 0 all done, 1 some cells failed, 2 usage, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    for name, value in _PASSIVE.items():
        os.environ.setdefault(name, value)
    sys.exit(status_of(arguments))


def status_of(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status."""
    with warnings.catch_warnings():
        # A library's advice to its own callers is nothing a user can act on.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = _warn
        try:
            done = cli.main(arguments, prog_name="unlearnbench", standalone_mode=False)
        except UserError as error:
            return _complain(str(error))
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "unlearnbench"
            return _complain(f"{error.format_message()} See: {where} --help")
        except click.ClickException as error:
            return _complain(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            click.echo("unlearnbench: interrupted", err=True)
            return INTERRUPTED
        except BrokenPipeError:  # the reader of stdout (`| head`) has seen enough
            sys.stderr.close()
            return 0
        except OSError as error:
            what, change = "write the answer", "free some disk, run it again"
            # A path that the system does not even look at: too long, or in a closed folder.
            if error.filename is not None:
                what, change = f"use {error.filename}", "give another path"
            return _complain(f"cannot {what}: {error.strerror}; {change}")
    return done if isinstance(done, int) else 0


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"unlearnbench: warning: {_harmless(str(message))}", err=True)


def _complain(message: str) -> int:
    with suppress(OSError):  # stderr may be on the very disk that is full
        click.echo(f"unlearnbench: error: {_harmless(message)}", err=True)
    return USAGE


def _harmless(message: str) -> str:
    """One line, without secrets of the environment and without what a terminal would obey."""
    return redact(visible(" ".join(message.split())))
