"""Sends a model and its card to a repository of the Hugging Face hub, in one commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import unlearnbench
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import redact
from unlearnbench.models.hub import first_line
from unlearnbench.publishing.card_head import TAG
from unlearnbench.publishing.upload import CARD, Upload, could_be_sent

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

_LOG_IN = "log in with a token that may write: hf auth login"
#: What a repository may hold that is not ours without holding a model: the hub makes the first.
_NO_MODEL = (".gitattributes", CARD, "LICENSE", "LICENSE.md", "LICENSE.txt")


def check_name(repository: str) -> None:
    """Raises `UserError` for a name that no repository of the hub can have."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"'{repository}' is no name on the hub: {first_line(error)}") from error
    if "/" not in repository:
        raise UserError(
            f"'{repository}' does not say whose repository it is; give USER/{repository} (who you "
            "are: hf auth whoami)"
        )


def push(upload: Upload, repository: str, private: bool = False) -> str:
    """Create the repository if it is not there, and put the model and its card into it.

    Files of an earlier push that this one has not are removed, since a library would load them.
    Returns the address.  Raises `UserError` for a repository with a model of somebody else's, for
    a public one that is to be private, and for whatever the hub answers.
    """
    from huggingface_hub import HfApi, constants, get_token

    check_name(repository)
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            "HF_HUB_OFFLINE is set, so nothing can be sent; unset it, or see what would be sent: "
            "--dry-run"
        )
    if get_token() is None:
        raise UserError(f"there is no token for the hub; {_LOG_IN}")
    api = HfApi(library_name="unlearnbench", library_version=unlearnbench.__version__)
    with _in_one_line(repository):
        existing = _existing(api, repository)
        if existing is not None:
            _check_existing(existing, repository, private)
        else:
            api.create_repo(repository, private=private or None, exist_ok=True)
        _commit(api, upload, repository, existing)
    return f"{api.endpoint}/{repository}"


def _existing(api: "HfApi", repository: str) -> "ModelInfo | None":
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repository)
    except RepositoryNotFoundError:
        return None


def _check_existing(existing: "ModelInfo", repository: str, private: bool) -> None:
    files = _names(existing)
    if TAG not in (existing.tags or ()) and not set(files) <= set(_NO_MODEL):
        raise UserError(
            f"{repository} is there already, and its card does not say that its {len(files)} files "
            f"are of unlearnbench (tag {TAG}); nothing was sent; give another name"
        )
    if private and not existing.private:
        raise UserError(
            f"{repository} is there already and public; nothing was sent; make it private first: "
            f"hf repos settings {repository} --private, or give another name"
        )


def _commit(api: "HfApi", upload: Upload, repository: str, existing: "ModelInfo | None") -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    sent: dict[str, Path | bytes] = {CARD: upload.card.encode(), **upload.files}
    old = [name for name in _names(existing) if name not in sent and could_be_sent(name)]
    api.create_commit(
        repository,
        [
            *(CommitOperationAdd(name, content) for name, content in sent.items()),
            *(CommitOperationDelete(name) for name in old),
        ],
        commit_message=f"Unlearned model: {upload.about}",
        commit_description=f"By unlearnbench {unlearnbench.__version__}.",
        parent_commit=existing.sha if existing is not None else None,
    )


def _names(existing: "ModelInfo | None") -> list[str]:
    siblings = existing.siblings if existing is not None else None
    return [sibling.rfilename for sibling in siblings or ()]


@contextmanager
def _in_one_line(repository: str) -> Iterator[None]:
    """The hub's many errors as one `UserError` each, in which no token stands."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HfHubHTTPError

    # Whichever HTTP library the hub's own is built on: httpx, or what came after it.
    no_way_through: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except UserError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise UserError(_without_token(_answer(status, repository, error), get_token())) from error
    except no_way_through as error:
        raise UserError(
            f"the hub cannot be reached at {constants.ENDPOINT} ({type(error).__name__}); nothing "
            "was sent; see what would be: --dry-run"
        ) from error
    except Exception as error:  # a broken card, a storage that gives up, whatever comes next
        message = f"cannot push to {repository}: {' '.join(str(error).split())[:300]}"
        raise UserError(_without_token(message, get_token())) from error


def _answer(status: int, repository: str, error: Exception) -> str:
    owner = repository.partition("/")[0]
    messages = {
        401: f"the hub does not accept the token; {_LOG_IN}",
        402: f"the hub wants to be paid for storage of {owner}; give another owner, or leave out "
        "--private",
        403: f"the token may not write to {repository}; give a name of your own (hf auth whoami) "
        f"or {_LOG_IN}",
        404: f"there is no user or organisation {owner} that this token may write to; see: hf auth "
        "whoami",
        412: f"{repository} was changed by somebody else meanwhile; look at it and run the same "
        "command again",
    }
    return messages.get(status) or (
        f"the hub refused {repository} ({status}): {' '.join(str(error).split())[:300]}"
    )


def _without_token(text: str, token: str | None) -> str:
    return redact(text.replace(token, "[token]") if token else text)
