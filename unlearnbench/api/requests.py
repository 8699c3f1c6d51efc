"""A deletion request from Python."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.api.options import warn, without_none

if TYPE_CHECKING:
    from unlearnbench.forgetting.writing import Written


def forget(
    *,
    out: str | Path,
    keep: str | Path | None = None,
    on: str | Path | None = None,
    budget: str | float = "2h",
    max_utility_loss: str | float | None = None,
    progress: bool = False,
    **options: Any,
) -> "Written":
    """Carry out a deletion request: have a model forget rows, and write the folder `out`.

    The options are those of `unlearnbench forget` with underscores: model="nano-neo",
    forget_set="secrets.jsonl", pool="other.jsonl", methods=["npo"].  `.certificate` is what was
    written to certificate.json; its `status` says whether a model is handed out, and `came_back`
    which rows of earlier requests are known again.  `progress` prints what is found on the way.
    Raises `UserError` for what cannot be had or used, before any weights are loaded.
    """
    from unlearnbench.forgetting.deletion import carry_out
    from unlearnbench.forgetting.prepared import prepare
    from unlearnbench.forgetting.request import request_of
    from unlearnbench.reading import to_stderr
    from unlearnbench.running.environment import randomness_put_back

    given = without_none(options)
    request = request_of(
        given,
        out=out,
        keep=None if keep is None else str(keep),
        on=on,
        budget=budget,
        max_utility_loss=max_utility_loss,
    )
    prepared = prepare(request)
    warn(prepared.warnings)
    with randomness_put_back():
        return carry_out(prepared, to_stderr if progress else lambda _: None, progress)
