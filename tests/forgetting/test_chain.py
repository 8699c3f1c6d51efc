"""Certificates one after the other, and rows that come back."""

import json
from pathlib import Path

import pytest
from certificates import KNOWN, LIMIT, UNKNOWN, certificate

from unlearnbench.errors import UserError
from unlearnbench.forgetting.certificate import (
    Previous,
    certificate_sha256,
    read_certificate,
)
from unlearnbench.forgetting.chain import KeptRequest, Link, check_folder, hand_on, retested
from unlearnbench.models.source import weights_sha256


def write(folder: Path, text: str) -> str:
    """A folder with something for a model; its digest."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(text)
    return weights_sha256(folder / "model")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Two requests; the folder of the second."""
    first, second = tmp_path / "first", tmp_path / "second"
    one, two = write(first, "{}"), write(second, '{"a": 1}')
    certificate(1, "0", one, None).write(first)
    (first / "private" / "requests" / "1").mkdir(parents=True)
    hand_on(first, second)
    previous = Previous(
        request=1, certificate_sha256=certificate_sha256(first / "certificate.json")
    )
    certificate(2, one, two, previous).write(second)
    return second


def test_a_chain_that_was_not_touched_agrees(chain: Path) -> None:
    assert all(ok for ok, _ in check_folder(chain))
    assert len(check_folder(chain)) == 3


def test_another_earlier_certificate_is_noticed(chain: Path) -> None:
    path = chain / "chain" / "request-1.json"
    path.write_text(path.read_text().replace('"statement": ""', '"statement": "all is well"'))
    assert [line for ok, line in check_folder(chain) if not ok] == [
        f"request 2 follows request 1: {certificate_sha256(path)[:12]}, certified was "
        f"{read_certificate(chain / 'certificate.json').previous.certificate_sha256[:12]}"  # type: ignore[union-attr]
    ]


def test_another_model_and_a_missing_link_are_noticed(chain: Path) -> None:
    (chain / "model" / "config.json").write_text('{"b": 2}')
    assert [line.partition(":")[0] for ok, line in check_folder(chain) if not ok] == ["model/"]
    (chain / "chain" / "request-1.json").unlink()
    assert "one is missing" in check_folder(chain)[0][1]


def test_a_model_that_did_not_follow_is_noticed(tmp_path: Path, chain: Path) -> None:
    one = read_certificate(chain / "certificate.json")
    other = one.model_before.model_copy(update={"weights_sha256": "f" * 64})
    one.model_copy(update={"model_before": other}).write(chain)
    assert "it began from another model" in check_folder(chain)[1][1]


def test_what_is_no_certificate_says_so(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    for text in ("{", "[]", json.dumps({"version": 1, "colour": "red"})):
        path.write_text(text)
        with pytest.raises(UserError, match="is no certificate"):
            read_certificate(path)


def test_a_row_came_back_that_is_known_now_and_was_not_then() -> None:
    kept = KeptRequest(
        number=1, forget_set="f", is_beside=True, run="0", rows=None, limit=None, doc_ids=[],
        options={}, keep=None, world=None, settings={},
    )  # fmt: skip
    link = Link(certificate(1, "0", "1", None), kept, Path())
    back = retested(link, {"a": KNOWN, "b": KNOWN}, LIMIT)
    assert [(row.doc_id, row.known_then, row.known_now, row.came_back) for row in back] == [
        ("a", False, True, True),
        ("b", True, True, False),  # it was never away
    ]
    assert not any(row.came_back for row in retested(link, {"a": UNKNOWN}, LIMIT))
