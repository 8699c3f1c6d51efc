"""Results as a folder of Parquet files with a card, which `datasets` loads and the hub shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.whole_files import write_whole

if TYPE_CHECKING:
    from pandas import DataFrame

_REMEDY = "choose another -o"
_SCALARS = ({str}, {bool}, {int}, {float}, {int, float})
_CONTENTS = {
    "cells": "one row a cell of the grid: what was run, with which settings, and every metric",
    "documents": "one row a cell, metric and document",
    "metrics": "what each metric is: label, unit, direction, and the scale of its printed values",
    "attacks": "one row a model, attack, point and metric, with recovery and intervals",
}
_CARD = """---
{data}
---

# {title}

Results of unlearnbench. Values are as they are stored: a
share of 0.123, not 12.3 per cent; `metrics` has the scale of the printed ones.

| configuration | rows | |
|---|---|---|
{listed}

```python
from datasets import load_dataset

cells = load_dataset("{folder}", "cells", split="train")
```
"""


def write_dataset(folder: Path, title: str, frames: "Mapping[str, DataFrame]") -> list[Path]:
    """Write each frame that has rows as NAME.parquet, and README.md; the files.

    `datasets.load_dataset(FOLDER, NAME)` loads one of them.  A column whose values are of several
    types, as a setting's may be, holds JSON.  Raises `UserError` where nothing can be written, and
    for a folder in which something else lies.
    """
    import io

    own = {name: f"{name}.parquet" for name in _CONTENTS}
    check_empty(folder, (*own.values(), "README.md"))
    filled = {name: storable(frame) for name, frame in frames.items() if len(frame)}
    written = []
    for name, frame in filled.items():
        content = io.BytesIO()
        frame.to_parquet(content, index=False)
        written.append(folder / own[name])
        write_whole(written[-1], content.getvalue(), _REMEDY)
    for name in own.keys() - filled.keys():  # of an earlier export into the same folder
        (folder / own[name]).unlink(missing_ok=True)
    written.append(folder / "README.md")
    write_whole(written[-1], _card(folder, title, filled), _REMEDY)
    return written


def storable(frame: "DataFrame") -> "DataFrame":
    """The frame with columns of one type each: JSON where values are of several, or lists."""
    changed: dict[str, Any] = {}
    for name, column in frame.items():
        types = {type(value) for value in column.dropna()} if column.dtype == object else set()
        if types and types not in _SCALARS:
            absent = column.isna()  # a list is not
            changed[str(name)] = [
                None if gone else json.dumps(value)
                for value, gone in zip(column, absent, strict=True)
            ]
        elif column.dtype == object and not types:  # nothing in it says of which type it is
            changed[str(name)] = column.astype("string")
    return frame.assign(**changed)


def check_empty(folder: Path, own: Sequence[str] = ()) -> None:
    """Raise `UserError` where a folder holds anything but files of those names."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder} is a file; give a folder")
    others = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in others if name not in own]
    if others:
        raise UserError(
            f"-o {folder} holds other files ({others[0]}); give a folder that is new or empty"
        )


def _card(folder: Path, title: str, frames: "Mapping[str, DataFrame]") -> str:
    """A data set's card with the hub's YAML head."""
    from huggingface_hub import DatasetCardData

    configurations = [
        {"config_name": name, "data_files": f"{name}.parquet", "default": name == "cells"}
        for name in frames
    ]
    data = DatasetCardData(
        pretty_name=title, tags=["unlearning", "unlearnbench"], configs=configurations
    )
    return _CARD.format(
        data=data.to_yaml(),
        title=title,
        folder=folder.name,
        listed="\n".join(
            f"| `{n}` | {len(frame)} | {_CONTENTS[n]} |" for n, frame in frames.items()
        ),
    )
