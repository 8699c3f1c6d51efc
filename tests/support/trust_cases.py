"""A results folder with something hostile in every text that a reader of it lets through."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from html_cases import cells

from unlearnbench.results.files import Damage, read_file
from unlearnbench.results.record import Result, key_of
from unlearnbench.results.store import Store

#: What each text ends in: HTML, LaTeX, Markdown, an escape sequence, links and paths.
PAYLOAD = (
    '</td></script><script>alert(1)</script><img src=x onerror=alert(1)>\'" onload="alert(1) -->'
    "\\input{/etc/passwd}\\immediate\\write18{id}^^5cinput $x$ % & # _ ^ ~ {{7*7}} {% x %} "
    "a_long_setting_minus1pt_minus=1/minus "
    "| a | b |\n\n| --- | `code` **b** [l](javascript:alert(1)) ![i](file:///etc/passwd) <b>\n"
    "# head\r\n\x1b[31mred\x1b]0;title\x07\x9b31m\x00\x08 \u202eturned\u2028 ../../secret.txt"
)
#: What a terminal obeys, or what turns or breaks the text around it.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]")
FORMULA = "=cmd|' /C calc'!A0"

Change = Callable[[str], str]
Place = tuple[str, ...]
# One of a few words, or what columns and scores are found by.
_OF_OURS = {
    ("key",), ("status",), ("role",), ("trace", "outcome"), ("stop", "source"), ("stop", "rule"),
    ("metrics", "[]", "name"), ("metrics", "[]", "task"), ("metrics", "[]", "documents"),
    ("metrics", "[]", "judges"),
    *(("scores", task, name, "aggregation") for task, name in (
        ("forgetting", "ma"), ("forgetting", "bertscore_f1"), ("classification", "cls_avg"),
        ("classification", "lambada"), ("perplexity", "pile_ppl"))),
}  # fmt: skip


def hostile(text: str) -> str:
    """A text that begins as a formula, holds the given one, and ends in the payload."""
    return f"{FORMULA} {text} {PAYLOAD}"


def harmless(text: str) -> str:
    """A text of the same characters in an order in which they are nothing but characters."""
    return f"{text} {' '.join(sorted(set(FORMULA + PAYLOAD)))}"


def make_folder(folder: Path, change: Change, places: set[Place]) -> Path:
    """Results with all texts in those places changed; where they are."""
    store = Store(folder)
    for result in cells():
        _save(store, _changed(_plain(result), places, change))
    return store.folder


def make_folders(base: Path) -> dict[str, Path]:
    """Results with hostile texts, and the same with harmless ones."""
    places = accepted(base / "probe")
    changes = {"hostile": hostile, "harmless": harmless}
    return {name: make_folder(base / name, change, places) for name, change in changes.items()}


def accepted(folder: Path) -> set[Place]:
    """The places of a result where a hostile text is no damage; that folder is used to try."""
    raw = _plain(cells()[3])
    return {
        place
        for place in set(_places(raw)) - _OF_OURS
        if _is_read(folder, _changed(raw, {place}, hostile))
    }


def _is_read(folder: Path, raw: dict[str, Any]) -> bool:
    path = _save(Store(folder), raw)
    found = read_file(path)
    path.unlink()
    return not isinstance(found, Damage)


def _save(store: Store, raw: dict[str, Any]) -> Path:
    raw["key"] = key_of(raw["identity"])
    return store.save(Result.model_validate(raw))


def _plain(result: Result) -> dict[str, Any]:
    """A result as it is stored, with an identity of its own and directions that agree."""
    raw = result.model_dump()
    better = {(m["task"], m["name"]): m["higher_is_better"] for m in raw["metrics"]}
    for task, by_metric in raw["scores"].items():
        for metric, score in by_metric.items():
            score["higher_is_better"] = better[task, metric]
    raw["identity"] = {
        "software": {"packages": {"torch": "1"}, "harness": "x"},
        "texts": {"pile": "digest"},
        "cell": [raw["label"], raw["forget_set"]["run"]],
    }
    return raw


def _places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where texts, and names of anybody's, stand; all of a list, or of such a table, are one."""
    if isinstance(value, str):
        yield _joint(at)
    elif isinstance(value, list):
        for part in value:
            yield from _places(part, (*at, "[]"))
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _places(part, (*at, _place_of(at, name)))
            if _place_of(at, name) != name:
                yield _joint((*at, "{name}"))


_FREE = ("settings", "origins", "documents", "outputs", "continuations", "prefixes", "suffixes",
         "sets", "packages", "losses", "protocol", "texts", "costs", "software")  # fmt: skip
_OF_DOCUMENTS = ("documents", "outputs", "continuations", "prefixes", "suffixes")


def _place_of(at: Place, name: str) -> str:
    return "{}" if at and at[-1] in _FREE else name


def _joint(at: Place) -> Place:
    """The rows' names stand in many places and are one; so is a metric's name."""
    if at[-1] == "doc_id" or at[-2:] == ("doc_ids", "[]"):
        return ("doc_id",)
    return ("doc_id",) if at[-1] == "{name}" and at[-2] in _OF_DOCUMENTS else at


def _changed(value: Any, places: set[Place], change: Change, at: Place = ()) -> Any:
    if isinstance(value, str):
        return change(value) if _joint(at) in places else value
    if isinstance(value, list):
        return [_changed(part, places, change, (*at, "[]")) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        change(name) if _is_changed(name, places, at) else name: _changed(
            part, places, change, (*at, _place_of(at, name))
        )
        for name, part in value.items()
    }


def _is_changed(name: str, places: set[Place], at: Place) -> bool:
    is_free = bool(at) and at[-1] in _FREE
    return is_free and _joint((*at, "{name}")) in places
