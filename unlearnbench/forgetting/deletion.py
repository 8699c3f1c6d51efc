"""A deletion request from its options to its folder: planned, carried out, checked."""

from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.planner import Plan
from unlearnbench.files.cache import private_entries
from unlearnbench.files.hashing import file_sha256
from unlearnbench.forgetting.certificate import FILE_NAME
from unlearnbench.forgetting.chain import (
    KeptRequest,
    hand_on,
    keep_request,
    kept_request,
    request_folder,
)
from unlearnbench.forgetting.choice import named
from unlearnbench.forgetting.prepared import Prepared
from unlearnbench.forgetting.request import items
from unlearnbench.forgetting.trying import Tell, Trying
from unlearnbench.forgetting.words import limits
from unlearnbench.forgetting.writing import Written, write_all


def plan_of(prepared: Prepared) -> tuple[Plan, list[str]]:
    """Every cell that a request may run, and what to say of them; the last cells are attacks.

    The attacks are planned on the first method's model, because the best one is not known yet.
    """
    trying = Trying(prepared, lambda _: None)
    cells: list[Cell] = []
    for rungs in prepared.rungs.values():
        for rung in rungs:
            cells += prepared.cells_of(rung)
    first = next(iter(prepared.rungs.values()))[0]
    for _, plan in trying.attack_plans(first, None):
        cells += plan.cells
    distinct = {cell.key: cell for cell in cells}
    jobs = int(prepared.values.get("jobs") or 0)
    lines = [
        f"{method}: {', then '.join(r.values for r in rungs)} ({rungs[0].origin})"
        for method, rungs in prepared.rungs.items()
    ]
    lines += [f"{name} is not tried: {why}" for name, why in prepared.not_tried.items()]
    lines += [f"{name} is not made: {why}" for name, why in trying.not_attacked.items()]
    return Plan(tuple(distinct.values()), tuple(prepared.warnings), jobs), lines


def carry_out(prepared: Prepared, tell: Tell, show_progress: bool = True) -> Written:
    """Do what a request asks for, report on the way, and write its folder.

    Where no model qualifies the folder says so and holds none.  Raises `UserError` where the
    folder is another request's, or nothing can be measured.
    """
    _check_folder(prepared)
    _close(prepared.private)
    hand_on(prepared.request.on, prepared.request.out)
    with private_entries(prepared.private / "cache"):
        return _carried_out(prepared, tell, show_progress)


def _close(folder: Path) -> None:
    """Make the folder, for nobody else on the machine to look into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error


def _carried_out(prepared: Prepared, tell: Tell, show_progress: bool) -> Written:
    trying = Trying(prepared, tell, show_progress)
    trying.measure_before()
    keep_request(prepared.request.out, _kept(trying))
    _tell_rows(trying, tell)
    best = None
    if trying.known:
        trying.try_methods()
        best = trying.best()
    if best is not None:
        tell(f"best: {best.rung.title}; it is attacked now")
        trying.attack(best)
    return write_all(trying, best)


def _tell_rows(trying: Trying, tell: Tell) -> None:
    unknown = [doc_id for doc_id in trying.rows if doc_id not in trying.known]
    limit = trying.limit
    tell(
        f"{len(trying.known)} of {len(trying.rows)} rows are known, beyond {limits(limit)} "
        f"({limit.how})"
    )
    if unknown:
        tell(f"not known at all by this line: {named(unknown, 20)}")


def _kept(trying: Trying) -> KeptRequest:
    prepared, cell = trying.prepared, trying.cell
    request = cell.data.request
    options = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in prepared.given.items()
    }
    return KeptRequest(
        number=prepared.number,
        forget_set=request.forget_set,
        is_beside=False,
        run=cell.run,
        rows=request.rows,
        limit=cell.limit,
        doc_ids=list(trying.rows),
        options=options,
        keep=prepared.keep,
        world=prepared.world.name if prepared.world else None,
        settings={m: [list(r.settings) for r in rungs] for m, rungs in prepared.rungs.items()},
    )


def _check_folder(prepared: Prepared) -> None:
    """Raise `UserError` where the folder holds another request than this one."""
    out, on = prepared.request.out, prepared.request.on
    if on is not None and out.exists() and out.resolve() == on.resolve():
        raise UserError(f"--out {out} is the folder of the request before; choose another --out")
    if request_folder(out, prepared.number + 1).exists():
        raise UserError(f"{out} holds a later request of a chain; choose another --out")
    try:
        kept = kept_request(out, prepared.number)
    except FileNotFoundError:
        if (out / FILE_NAME).exists():
            raise UserError(f"{out} holds another request; choose another --out") from None
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{out} holds a damaged request; choose another --out") from error
    given = Path(str(prepared.given["forget_set"])).expanduser()
    copy = request_folder(out, kept.number) / kept.forget_set
    is_same_name = kept.is_beside and given.is_file() and given.name == kept.forget_set
    if is_same_name and file_sha256(copy) != file_sha256(given):
        raise UserError(f"{out} holds a request about another {given.name}; choose another --out")
    if kept.forget_set not in (given.name, str(given.absolute()), str(given)):
        raise UserError(
            f"{out} holds a request about {kept.forget_set}, not {given.name}; choose another --out"
        )
    run = prepared.look_up()[1].runs[0]
    pairs = {"runs": (kept.run, run)} | {
        name: tuple(",".join(items(of.get(name))) for of in (kept.options, prepared.given))
        for name in ("model", "revision", "rows", "limit")
    }
    for name, (before, now) in pairs.items():
        if before != now:
            has, has_not = (f"--{name} {one}" if one else f"no --{name}" for one in (before, now))
            raise UserError(
                f"{out} holds a request with {has}, not with {has_not}; choose another --out"
            )
