"""The one error type for what a user can put right."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in the input: what is wrong, the nearest right thing, the command to run.

    The command line prints the message on one line and exits with status 2.
    """


def unknown(kind: str, name: str, known: Iterable[str], command: str) -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return UserError(f"unknown {kind} '{name}'{hint}; see all with: {command}")
