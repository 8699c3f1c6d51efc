"""Puts a request's findings into its certificate, and its folder in order."""

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unlearnbench.data.row_limit import RowLimit, RowState
from unlearnbench.errors import UserError
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.files.hashing import file_sha256
from unlearnbench.files.safe_text import without_folders
from unlearnbench.files.software import package_versions
from unlearnbench.files.whole_files import whole_folder, write_whole
from unlearnbench.forgetting.attacked import attack_evidence
from unlearnbench.forgetting.card import model_card
from unlearnbench.forgetting.certificate import (
    Certificate,
    DataFile,
    RowEvidence,
    Status,
    StopLineEvidence,
    TextUtility,
    Tried,
    Weights,
)
from unlearnbench.forgetting.chain import ADAPTER, MODEL, previous_of
from unlearnbench.forgetting.choice import RULE, why_not
from unlearnbench.forgetting.pages import report_page
from unlearnbench.forgetting.trying import Trial, Trying, loss_of, text_nll
from unlearnbench.forgetting.words import not_tested, statement

REPORT, CARD = "report.html", "README.md"
_LINES = {
    "calibrated": "one-sided 95% upper bounds of the mean EL10 (Wilson) and MA (normal) of rows "
    "that the model never saw",
    "rows": "one-sided 95% upper bounds of the mean EL10 (Wilson) and MA (normal) of rows that the "
    "model never saw; beside them no single row may be known",
    "paper": "Jang et al.'s two numbers, measured on other models: no unseen rows were given",
}


@dataclass(frozen=True)
class Written:
    """A request that was carried out."""

    folder: Path
    certificate: Certificate


def write_all(trying: Trying, best: Trial | None) -> Written:
    """Write model, report, card and certificate; the certificate last, with their digests.

    Where no model qualifies there is none in the folder.
    """
    folder = trying.prepared.request.out
    certificate = _certificate(trying, best)
    _put_model(trying, best)
    write_whole(folder / REPORT, report_page(trying, best, certificate), "choose another --out")
    files = [REPORT]
    if best is not None:
        write_whole(folder / CARD, model_card(certificate), "choose another --out")
        files.append(CARD)
    else:
        (folder / CARD).unlink(missing_ok=True)
    digests = {name: file_sha256(folder / name) for name in files}
    certificate = certificate.model_copy(update={"files": digests})
    certificate.write(folder)
    return Written(folder, certificate)


def _certificate(trying: Trying, best: Trial | None) -> Certificate:
    prepared, cell, stop = trying.prepared, trying.cell, trying.before.stop
    links, request = prepared.links, prepared.request
    unqualified: Status = "nothing qualified" if trying.known else "nothing known"
    attacks = attack_evidence(trying.attacks, trying.limit, trying.controls) if best else []
    limit = best.limit if best and best.limit else trying.limit
    rows = list(_rows(trying, best.after if best else None, limit))
    left = None if best is None else [r.doc_id for r in rows if r.known_before and r.known_after]
    label = best.cell.method_label if best else None
    return Certificate(
        request=prepared.number,
        status="forgotten" if best else unqualified,
        statement=statement(len(rows), len(trying.known), left, trying.limit, label),
        issued_at=datetime.now(UTC).isoformat(timespec="seconds"),
        base_model=links[0].certificate.base_model if links else cell.main.source.name,
        model_before=_weights(cell.main, trying),
        model_after=_weights(trying.choice_of(best.cell), trying) if best else None,
        data=list(_data(trying)),
        rows_sha256=cell.data.source.targets(cell.run, cell.limit).sha256(cell.protocol),
        stop_line=StopLineEvidence(
            el=stop.el,
            ma=stop.ma,
            source=stop.source,
            n_unseen=stop.n_unseen,
            how=_LINES[stop.source],
        ),
        row_limit=trying.limit,
        nll_limit_after=limit.nll if best else None,
        rows=rows,
        not_known_before=[row.doc_id for row in rows if not row.known_before],
        earlier_rows=best.earlier if best else [],
        utility=list(_utility(trying, best)),
        max_utility_loss=prepared.max_loss,
        rule=RULE,
        method=best.cell.method if best else None,
        settings=without_folders(best.cell.settings) if best else {},
        seed=best.cell.seed if best else None,
        tried=[_tried(trial, prepared.max_loss) for trial in trying.trials],
        not_tried=trying.not_tried,
        attacks=attacks,
        not_tested=not_tested(
            [a for a in attacks if not a.problem], trying.not_attacked, best is not None
        ),
        software=package_versions(),
        platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        files={},
        previous=previous_of(request.on, links) if request.on is not None else None,
    )


def _weights(model: ModelChoice, trying: Trying) -> Weights:
    source = model.source
    is_kept = model.requested != trying.cell.main.requested
    return Weights(
        name=MODEL if is_kept else source.name,
        weights_sha256=source.weights_sha256,
        architecture=model.architecture,
        n_parameters=model.n_parameters,
    )


def _data(trying: Trying) -> Iterator[DataFile]:
    request = trying.cell.data.request
    named = {
        "forget": request.forget_set,
        "rows": request.rows,
        "pool": request.pool,
        "unseen": request.unseen,
        "keep": trying.prepared.keep,
    }
    for role, place in named.items():
        if place is not None:
            path = Path(place).expanduser()
            digest = file_sha256(path) if path.is_file() else None
            name = path.name if path.exists() else place  # 'hf:locuslab/TOFU', 'nano'
            yield DataFile(role=role, name=name, sha256=digest)  # type: ignore[arg-type]


def _rows(
    trying: Trying, after: dict[str, RowState] | None, limit: RowLimit
) -> Iterator[RowEvidence]:
    for doc_id, before in trying.rows.items():
        now = after.get(doc_id) if after is not None else None
        yield RowEvidence(
            doc_id=doc_id,
            before=before,
            known_before=doc_id in trying.known,
            after=now,
            known_after=None if now is None else limit.is_known(now),
        )


def _utility(trying: Trying, best: Trial | None) -> Iterator[TextUtility]:
    end = text_nll(best.result) if best else {}
    for name, before in text_nll(trying.before).items():
        n = trying.before.scores["perplexity"][name].n
        after = end.get(name)
        loss = None if after is None else loss_of(before, after)
        yield TextUtility(
            text=name.removesuffix("_ppl"), n=n, before=before, after=after, loss=loss
        )


def _tried(trial: Trial, max_loss: float) -> Tried:
    judged, result = trial.judged, trial.result
    return Tried(
        method=trial.cell.method,
        label=trial.cell.method_label,
        settings=without_folders(trial.cell.settings),
        origin=trial.rung.origin,
        outcome=result.trace.outcome if result.trace else result.status,
        rows_left=list(judged.rows_left),
        utility_loss=judged.utility_loss,
        came_back=list(judged.came_back),
        tokens=judged.tokens,
        seconds=round(result.seconds, 1),
        why_not=why_not(judged, max_loss),
        key=judged.key,
    )


def _put_model(trying: Trying, best: Trial | None) -> None:
    """The model that is handed out, and the adapter where it was trained as one; or none."""
    folder = trying.prepared.request.out
    try:
        for name in (MODEL, ADAPTER):
            shutil.rmtree(folder / name, ignore_errors=True)
        if best is None:
            return
        kept = trying.model_of(best.cell)
        with whole_folder(folder / MODEL) as new:
            shutil.copytree(kept, new, ignore=shutil.ignore_patterns(ADAPTER))
        if (kept / ADAPTER).is_dir():
            with whole_folder(folder / ADAPTER) as new:
                shutil.copytree(kept / ADAPTER, new)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; make room or choose another --out"
        ) from error
