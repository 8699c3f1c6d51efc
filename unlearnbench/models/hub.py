"""The Hugging Face hub: whether it can be reached, and what of it is already here."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.weight_files import has_weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SECONDS = 5.0  # an unreachable hub must cost seconds, not the client's minutes of retries
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.py")
_PICKLED_FILES = ("pytorch_model*.bin",)


@cache
def reachable() -> bool:
    """Whether the hub answers; asked once per process, with one short request."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except Exception:  # whatever the HTTP library of the day raises, there is no way through
        return False
    return True


def snapshot(
    hub_id: str, revision: str | None, download: bool = True, allow_pickle: bool = False
) -> Path | None:
    """The folder with a hub model's files, fetched if it is not here; None if it cannot be had.

    Without a revision the cached copy of `main` is taken as it is, so that a
    model does not change under a running experiment.  Where `main` holds no
    safetensors, the hub's own conversion (a pull request by its bot) is used, and where there
    is none, the pickled weights if they are allowed.
    """
    refs = (revision,) if revision else ("main", *_cached_conversions(hub_id))
    folders = [folder for ref in refs if (folder := _cached(hub_id, ref)) is not None]
    for pickled in (False, True) if allow_pickle else (False,):
        if folder := next((f for f in folders if has_weights(f, pickled)), None):
            return folder
    if not (download and reachable()):
        return None
    return _download(hub_id, revision, allow_pickle)


def commit_of(folder: Path) -> str | None:
    """The commit of a hub snapshot folder (`.../snapshots/<commit>`); None for any other."""
    name = folder.name
    is_commit = len(name) == 40 and all(c in "0123456789abcdef" for c in name)
    return name if is_commit and folder.parent.name == "snapshots" else None


def tokenizer_snapshot(hub_id: str, download: bool) -> Path | None:
    """The folder with a hub model's tokenizer, without its weights; None if it cannot be had."""
    folder = _cached(hub_id, "main")
    if folder is not None and (folder / "tokenizer.json").is_file():
        return folder
    if not (download and reachable()):
        return None
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(hub_id, allow_patterns=["tokenizer*", "vocab.json", "merges.txt"])
    )


def _cached(hub_id: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(hub_id, revision=revision, local_files_only=True)
    except (OSError, ValueError):  # not in the cache, or not the shape of a hub id
        return None
    return Path(folder)


def _cached_conversions(hub_id: str) -> list[str]:
    """Refs of pull requests of this model that are in the cache: `refs/pr/2`."""
    from huggingface_hub import constants

    refs = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "refs"
    return sorted(str(path.relative_to(refs)) for path in refs.glob("refs/pr/*"))


def _download(hub_id: str, revision: str | None, allow_pickle: bool = False) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    patterns = [*_MODEL_FILES, *(_PICKLED_FILES if allow_pickle else ())]
    try:
        chosen = revision or _revision_with_safetensors(HfApi(), hub_id, allow_pickle)
        folder = snapshot_download(hub_id, revision=chosen, allow_patterns=patterns)
    except UserError:
        raise
    except Exception as error:  # the hub's many errors are one thing to the user: not to be had
        raise UserError(
            f"cannot fetch '{hub_id}' from the hub: {first_line(error)}; check the name at "
            f"https://huggingface.co/{hub_id} (a gated model needs: hf auth login), or give a path"
        ) from error
    return Path(folder)


def _revision_with_safetensors(api: "HfApi", hub_id: str, allow_pickle: bool = False) -> str:
    """`main`, or the ref of the hub bot's conversion where main holds only pickled weights."""
    names = api.list_repo_files(hub_id)
    if any(name.endswith(".safetensors") for name in names):
        return "main"
    for discussion in api.get_repo_discussions(hub_id, discussion_type="pull_request"):
        if discussion.author == "SFconvertbot" and discussion.git_reference:
            return str(discussion.git_reference)
    if allow_pickle:
        return "main"
    if file := next((name for name in sorted(names) if name.endswith(".gguf")), None):
        raise UserError(
            f"'{hub_id}' holds GGUF files and no safetensors weights; fetch one and name it: "
            f"hf download {hub_id} {file} --local-dir DIR, then --model DIR/{file}"
        )
    raise UserError(
        f"'{hub_id}' holds no safetensors weights, and pickled ones are not loaded; convert it at "
        "https://huggingface.co/spaces/safetensors/convert and give the pull request: "
        "--revision refs/pr/N, or load them: --allow-pickle"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
