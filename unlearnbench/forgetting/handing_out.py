"""Which files of a request's folder are handed out: the model and its papers, nothing private."""

from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.forgetting.certificate import FILE_NAME, read_certificate
from unlearnbench.forgetting.chain import ADAPTER, CHAIN, check_folder, model_folder
from unlearnbench.publishing.upload import CARD, Upload, left_out, model_files


def upload_of(folder: Path) -> Upload:
    """The model at the root, certificates, report and card as they are, an adapter in `adapter/`.

    Raises `UserError` for a folder without a model, and for one that is not as it was certified.
    """
    one = read_certificate(folder / FILE_NAME)
    if one.model_after is None:
        raise UserError(
            f"{folder} has no unlearned model to hand out ({one.status}); see its report.html"
        )
    bad = [line for is_good, line in check_folder(folder) if not is_good]
    if bad:
        raise UserError(
            f"{folder} is not as it was certified: {bad[0]}; nothing is sent; see all with: "
            f"unlearnbench forget --verify {folder}"
        )
    if CARD not in one.files:
        raise UserError(f"{folder} has no certified model card; run its forget again")
    place = model_folder(folder)
    files = model_files(place)
    if (folder / ADAPTER).is_dir():
        files |= model_files(folder / ADAPTER, f"{ADAPTER}/")
    papers = [FILE_NAME, *(name for name in one.files if name == Path(name).name and name != CARD)]
    files |= {name: folder / name for name in papers}
    files |= {f"{CHAIN}/{p.name}": p for p in sorted((folder / CHAIN).glob("request-*.json"))}
    card = (folder / CARD).read_text(encoding="utf-8")
    others = left_out(place) if place != folder else ()
    return Upload(files, card, f"{one.method}, deletion request {one.request}", others)
