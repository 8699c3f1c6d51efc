"""Studies in a results folder."""

import pytest
from rehearsal_cases import cells
from sheet_cases import saved

from unlearnbench.cli import status_of
from unlearnbench.ratings.human.ratings import save_rating
from unlearnbench.ratings.human.sheet import read_key

QUALITY = {"before": 2, "dedup": 4, "kumpr": 1, "icu": 6}


@pytest.fixture
def results(tmp_path):
    """A results folder."""
    return saved(tmp_path / "results", cells())


def draw(results, name, *more):
    """A sheet for people in the results folder: its folder and key."""
    out = results / "human" / name
    assert status_of(["human", "sheet", str(results), "--out", str(out), "--rows", "5", *more]) == 0
    return out, read_key(results / "human" / f"{name}-key.json")


def rate(out, key, annotator="anna", offset=0, leave=0):
    """Ratings by the page's own writer: the better the method, the higher."""
    path = out / f"ratings-{annotator}.csv"
    for n, (item, one) in enumerate(list(key.items.items())[leave:]):
        method = one.method_name if one.role == "method" else one.role
        save_rating(path, item, QUALITY[method] + (n + offset) % 3)
    return path
