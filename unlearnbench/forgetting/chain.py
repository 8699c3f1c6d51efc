"""Requests one after the other: what an earlier one left, and whether its rows came back."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from unlearnbench.data.row_limit import RowLimit, RowState
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import file_sha256
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole
from unlearnbench.forgetting.certificate import (
    FILE_NAME,
    Certificate,
    EarlierRow,
    Part,
    Previous,
    certificate_sha256,
    read_certificate,
)

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import Rows

PRIVATE, MODEL, ADAPTER, CHAIN = "private", "model", "adapter", "chain"
_REQUESTS, _KEPT = "requests", "request.json"


class KeptRequest(Part):
    """Of a request what the next one needs; it lies in private/, because it leads to the rows."""

    number: int
    forget_set: str  # a file beside this one, or the name or path that was given
    is_beside: bool
    run: str | None
    rows: str | None
    limit: int | None
    doc_ids: list[str]
    options: dict[str, Any]  # as given
    keep: str | None
    world: str | None
    settings: dict[str, list[list[str]]]  # method -> how it was tried

    def open(self, folder: Path) -> "Rows":
        """The rows; raises `UserError` where their file is gone."""
        from unlearnbench.data.forget_set import open_source
        from unlearnbench.data.forget_source import ForgetRequest

        place = str(folder / self.forget_set) if self.is_beside else self.forget_set
        runs = (self.run,) if self.run is not None else ()
        try:
            source = open_source(ForgetRequest(place, runs=runs, rows=self.rows))
            return source.targets(source.runs[0], self.limit)
        except UserError as error:
            raise UserError(
                f"the rows of request {self.number} cannot be had again, so nobody could say "
                f"whether they came back: {error}"
            ) from error


@dataclass(frozen=True)
class Link:
    """A request of the chain: its certificate, and where its rows are."""

    certificate: Certificate
    kept: KeptRequest
    folder: Path  # of what was kept of it

    def states(self) -> dict[str, tuple[RowState, bool]]:
        """By doc_id how well a row was known after its request, and whether that was known."""
        return {
            row.doc_id: (row.after, bool(row.known_after))
            for row in self.certificate.rows
            if row.after is not None
        }


def read_chain(on: Path | None) -> tuple[Link, ...]:
    """The requests that led to a folder, the first one first; empty for no folder.

    Raises `UserError` for a folder without a model, one whose model or certificates are not those
    that were written, and one without what it kept of its requests.
    """
    if on is None:
        return ()
    newest = read_certificate(on / FILE_NAME)
    if newest.model_after is None:
        raise UserError(
            f"{on} has no unlearned model to go on from ({newest.status}); start from the model "
            "itself: --model"
        )
    problems = [line for ok, line in check_folder(on) if not ok]
    if problems:
        raise UserError(f"{on} is not as it was written: {problems[0]}")
    certificates = [read_certificate(path) for path in _chain_files(on)]
    return tuple(_link(on, certificate) for certificate in certificates)


def kept_request(out: Path, number: int) -> KeptRequest:
    """What a folder kept of a request; raises `OSError` or `ValueError` where it cannot be read."""
    return KeptRequest.model_validate(parsed(read_regular(request_folder(out, number) / _KEPT)))


def request_folder(out: Path, number: int) -> Path:
    """Where a folder keeps what the next requests need of one."""
    return out / PRIVATE / _REQUESTS / str(number)


def _link(on: Path, certificate: Certificate) -> Link:
    folder = request_folder(on, certificate.request)
    try:
        kept = kept_request(on, certificate.request)
    except (OSError, ValueError) as error:
        why = first_error(error) if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"{folder} does not say which rows request {certificate.request} was of ({why}); its "
            "rows cannot be tested again, so no request can follow"
        ) from error
    return Link(certificate, kept, folder)


def _chain_files(folder: Path) -> list[Path]:
    """The certificates of a chain in order, that of the folder last."""
    earlier = folder / CHAIN
    n = len(list(earlier.glob("request-*.json"))) if earlier.is_dir() else 0
    return [earlier / f"request-{at}.json" for at in range(1, n + 1)] + [folder / FILE_NAME]


def previous_of(on: Path, links: Sequence[Link]) -> Previous:
    """What a new certificate says of the one before."""
    return Previous(
        request=links[-1].certificate.request, certificate_sha256=certificate_sha256(on / FILE_NAME)
    )


def hand_on(on: Path | None, out: Path) -> None:
    """Copy the certificates of a chain, and what was kept of its requests, into a new folder."""
    if on is None:
        return
    files = _chain_files(on)
    try:
        (out / CHAIN).mkdir(parents=True, exist_ok=True)
        for at, path in enumerate(files, 1):
            shutil.copyfile(path, out / CHAIN / f"request-{at}.json")
            kept, copy = request_folder(on, at), request_folder(out, at)
            shutil.copytree(kept, copy, dirs_exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another --out") from error


def keep_request(out: Path, kept: KeptRequest) -> KeptRequest:
    """Write what the next request needs; a file of rows is copied, so that it can be read then."""
    folder = request_folder(out, kept.number)
    place = Path(kept.forget_set).expanduser()
    if place.is_file() and kept.rows is None:
        write_whole(folder / place.name, read_regular(place), "choose another --out")
        kept = kept.model_copy(update={"forget_set": place.name, "is_beside": True})
    elif place.exists():
        kept = kept.model_copy(update={"forget_set": str(place.absolute())})
    write_whole(folder / _KEPT, kept.model_dump_json(indent=1) + "\n", "choose another --out")
    return kept


def retested(link: Link, now: Mapping[str, RowState], limit: RowLimit) -> list[EarlierRow]:
    """The rows of an earlier request beside what they were after it; pure."""
    made = []
    for doc_id, (then, known_then) in link.states().items():
        if doc_id not in now:
            continue
        known_now = limit.is_known(now[doc_id])
        made.append(
            EarlierRow(
                request=link.certificate.request,
                doc_id=doc_id,
                then=then,
                now=now[doc_id],
                known_then=known_then,
                known_now=known_now,
                came_back=known_now and not known_then,
            )
        )
    return made


def check_folder(folder: Path) -> list[tuple[bool, str]]:
    """Every digest of a folder computed again: whether it agrees, and a line about it."""
    files = _chain_files(folder)
    certificates = [read_certificate(path) for path in files]
    lines = [_numbered(certificates)]
    for before, path, after in zip(certificates, files, certificates[1:], strict=False):
        lines.append(_follows(before, path, after))
    last = certificates[-1]
    for name, digest in last.files.items():
        path = folder / name
        actual = file_sha256(path) if path.is_file() else "not there"
        lines.append((actual == digest, f"{name}: {_agrees(actual, digest)}"))
    if last.model_after is not None:
        from unlearnbench.models.source import weights_sha256

        digest, place = last.model_after.weights_sha256, model_folder(folder)
        actual = weights_sha256(place) if place.is_dir() else "not there"
        lines.append((actual == digest, f"{MODEL}/: {_agrees(actual, digest)}"))
    return lines


def model_folder(folder: Path) -> Path:
    """Where the model of a request lies: in model/, or beside its papers where `push` put it."""
    is_beside = not (folder / MODEL).exists() and (folder / "config.json").is_file()
    return folder if is_beside else folder / MODEL


def _numbered(certificates: Sequence[Certificate]) -> tuple[bool, str]:
    numbers = [one.request for one in certificates]
    ok = numbers == list(range(1, len(numbers) + 1)) and certificates[0].previous is None
    return ok, f"chain of {len(numbers)} certificate{'' if len(numbers) == 1 else 's'}" + (
        "" if ok else f": numbered {', '.join(map(str, numbers))}, one is missing"
    )


def _follows(before: Certificate, path: Path, after: Certificate) -> tuple[bool, str]:
    stated = after.previous.certificate_sha256 if after.previous else "none"
    actual = certificate_sha256(path)
    same = before.model_after is not None and (
        before.model_after.weights_sha256 == after.model_before.weights_sha256
    )
    what = f"request {after.request} follows request {before.request}"
    if actual != stated:
        return False, f"{what}: {_agrees(actual, stated)}"
    return same, what if same else f"{what}: it began from another model"


def _agrees(actual: str, digest: str) -> str:
    return "as certified" if actual == digest else f"{actual[:12]}, certified was {digest[:12]}"
