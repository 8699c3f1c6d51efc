"""Results as release 0.1 wrote them, made of today's: one file, of the fields that it had."""

import json
from pathlib import Path
from typing import Any

from unlearnbench.results.record import Result, key_of
from unlearnbench.results.store import Store

#: By which 0.1 told its software; any text does for a result.
HARNESS, PLUGIN = "a" * 64, "b" * 64
_SCORE = ("value", "stderr", "n", "higher_is_better", "documents", "outputs", "degenerate")
_METRIC = ("name", "task", "label", "higher_is_better", "unit", "scale", "decimals", "in_score",
           "capped")  # fmt: skip


def as_version_1(result: Result) -> dict[str, Any]:
    """The JSON of a result in the layout of version 1, measured by 0.1's software."""
    raw = json.loads(result.model_dump_json())
    raw["schema_version"] = 1
    raw["model"].pop("is_synthetic")
    raw["metrics"] = [{name: metric[name] for name in _METRIC} for metric in raw["metrics"]]
    for by_metric in raw["scores"].values():
        for name, score in by_metric.items():
            by_metric[name] = {field: score[field] for field in _SCORE}
    continuations = raw.pop("continuations")
    if "bertscore_f1" in raw["scores"].get("forgetting", {}) and continuations:
        raw["scores"]["forgetting"]["bertscore_f1"]["outputs"] = continuations
    software = raw["identity"]["software"]
    plugins = dict.fromkeys(software["plugins"], PLUGIN)
    raw["identity"]["software"] = {**software, "harness": HARNESS, "plugins": plugins}
    raw["key"] = key_of(raw["identity"])
    return raw


def write_version_1(source: Path, target: Path) -> list[Path]:
    """A folder's results once more as 0.1 wrote them; the files."""
    cells = target / "cells"
    cells.mkdir(parents=True)
    paths = []
    for result in Store(source).load_all()[0]:
        raw = as_version_1(result)
        paths.append(cells / f"{raw['key']}.json")
        paths[-1].write_text(json.dumps(raw, indent=1))
    return paths
