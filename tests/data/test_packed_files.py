"""Arrays and packed files hold what lines do, wherever a data file is taken."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_set_cases import FILES, rows_of

from unlearnbench.data.evaluation_sets.reading import read_folder
from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.data.validation_texts import default_texts, read_texts
from unlearnbench.errors import UserError

KINDS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def write(path: Path, rows: Any) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows) if ".jsonl" in path.name else ""
    content = (lines or json.dumps(rows, indent=1)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_rows_to_forget_their_pool_and_unseen_rows(kind: str, tmp_path: Path) -> None:
    rows = {name: [{"text": f"{name} {i} of ten"} for i in range(3)] for name in "fpu"}
    f, p, u = (str(write(tmp_path / f"{name}{kind}", rows[name])) for name in "fpu")
    source = open_source(ForgetRequest(f, pool=p, unseen=u))
    pool, unseen = source.pool("0"), source.unseen
    assert pool is not None
    assert unseen is not None
    found = [[row.prefix for row in some.rows] for some in (source.targets("0"), pool, unseen)]
    assert found == [[row["text"] for row in rows[name]] for name in "fpu"]
    assert source.title("0") == "f", "a file's name, without what says its format"


@pytest.mark.parametrize("kind", KINDS)
def test_texts_and_evaluation_sets(kind: str, tmp_path: Path) -> None:
    documents = [{"text": "one"}, {"text": "two"}]
    path = write(tmp_path / f"pile_validation{kind}", documents)
    assert default_texts("hub", str(tmp_path))["pile"] == str(path)
    assert read_texts({"pile": str(path)}) == {"pile": ("one", "two")}
    name = FILES["copa"].partition(".")[0].rpartition("/")[2]
    write(tmp_path / f"{name}.validation{kind}", rows_of("copa"))
    talk = {"text": {"0": ["hi", "hello"]}}
    called = f"wizard_of_internet.json{'.gz' if kind.endswith('.gz') else ''}"
    write(tmp_path / called, talk)
    warnings: list[str] = []
    sets = read_folder(("copa", "wizard_of_internet"), tmp_path, warnings)
    assert [len(sets[n].rows) for n in ("copa", "wizard_of_internet")] == [6, 1]
    assert not warnings


def test_a_packed_set_without_a_split_is_told_its_whole_name(tmp_path: Path) -> None:
    write(tmp_path / "copa.jsonl.gz", rows_of("copa"))
    with pytest.raises(UserError, match=r"call it copa\.validation\.jsonl\.gz"):
        read_folder(("copa",), tmp_path, [])
