"""The key of a blind sheet: which model and method wrote each item."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.ratings.human.spreadsheets import write_whole
from unlearnbench.results.record import Record, Role, Status

KEY_VERSION = 1


class KeyItem(Record):
    """Where one continuation comes from."""

    result_key: str = Field(description="the result file's name, without .json")
    model: str = Field(description="the table's group, e.g. nano-neo")
    method: str = Field(description="the table's row, e.g. NEO + ICU")
    method_name: str = Field(description="registered name; 'none' for a reference row")
    role: Role
    position: int = Field(description="the row's place in the table")
    status: Status = Field(description="not_forgotten: the epoch limit came before the stop line")
    source: str = Field(description="the forget set's source and file")
    run: str = Field(description="which forget set of the source")
    seed: int
    doc_id: str


class Key(Record):
    """The key file; annotators must not see it."""

    key_version: int = Field(default=KEY_VERSION, description="of this file's layout")
    sheet: str = Field(description="the sheet's folder, by its name")
    seed: int = Field(description="of item ids, order and the draw of documents")
    stand_ins: dict[str, str] = Field(
        default_factory=dict,
        description="by annotator, the formula of the rule that rates in a person's place: a "
        "rehearsal; empty: people rate",
    )
    items: dict[str, KeyItem] = Field(description="by item id, in the sheet's order")

    def renamed(self, keys: Mapping[str, str]) -> "Key":
        """The same key once results have other names; `keys` are the new ones by the old."""
        items = {
            name: item.model_copy(update={"result_key": keys.get(item.result_key, item.result_key)})
            for name, item in self.items.items()
        }
        return self.model_copy(update={"items": items})


def write_key(path: Path, key: Key) -> None:
    """Write the key whole."""
    write_whole(path, key_text(key))


def key_text(key: Key) -> str:
    """The key as it is written."""
    return key.model_dump_json(indent=1) + "\n"


def read_key(path: Path) -> Key:
    """The key in that file; raises `UserError` if it holds none."""
    try:
        key = Key.model_validate(parsed(read_regular(path)), strict=True)
    except OSError as error:
        raise UserError(
            f"cannot read the key {path}: {error.strerror}; it is the JSON file that "
            "`unlearnbench human sheet` wrote beside the sheet's folder"
        ) from error
    except ValidationError as error:
        raise _no_key(path, first_error(error)) from error
    except ValueError as error:
        raise _no_key(path, f"the file: {' '.join(str(error).split())}") from error
    if (why := _contradiction(key)) is not None:
        raise _no_key(path, why)
    return key


def _no_key(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is no key: {why}; give the JSON file that `unlearnbench human sheet` wrote, "
        "then the ratings"
    )


def _contradiction(key: Key) -> str | None:
    """What no key of ours says, though every field has its type."""
    if key.key_version != KEY_VERSION:
        return f"key_version: {key.key_version}, and this version reads {KEY_VERSION}"
    if not key.items:
        return "items: there are none"
    places: dict[tuple[str, str], str] = {}
    for item, entry in key.items.items():
        if not item.strip():
            return "items: one has an empty id"
        twin = places.setdefault((entry.result_key, entry.doc_id), item)
        if twin != item:
            return f"items: {item} and {twin} are the same continuation"
    return None
