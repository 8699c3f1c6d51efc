"""Forget sets: the extraction benchmark's real rows, text files, and every broken input."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unlearning_fakes import prefix_of

from unlearnbench.data.forget_set import (
    ForgetSet,
    check_rows,
    open_source,
    read_forget_set,
    read_unseen,
)
from unlearnbench.data.forget_source import ForgetRequest, ForgetSource, Rows
from unlearnbench.data.text_files import split_running_text
from unlearnbench.errors import UserError
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.loading import load_model
from unlearnbench.models.scoring import span_mask
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol


@pytest.fixture(scope="module")
def neo(shared: Path) -> LanguageModel:
    """GPT-2's vocabulary, no BOS."""
    return load_model(str(shared / "models" / "pile-neo"), device="cpu")


@pytest.fixture(scope="module")
def llama(shared: Path) -> LanguageModel:
    """512 SentencePiece tokens, BOS."""
    return load_model(str(shared / "models" / "stories260K"), device="cpu")


def read(
    model: LanguageModel, forget_set: Path | str, protocol: str = "paper", **options: Any
) -> ForgetSet:
    """The first run of a source."""
    limit, n_pool = options.pop("limit", None), options.pop("pool_limit", None)
    source = open_source(ForgetRequest(str(forget_set), **options))
    with pytest.MonkeyPatch.context() as patch:
        if n_pool is not None:
            patch.setattr(type(source), "pool", _small_pool(source, n_pool))
        return read_forget_set(source, source.runs[0], model, named(protocol), limit)


def _small_pool(source: ForgetSource, n_rows: int) -> Callable[..., Rows]:
    """The source's own `pool`, leaving its first rows: 15,000 take long to encode."""
    whole_pool = source.pool

    def small_pool(_: ForgetSource, run: str, limit: int | None = None) -> Rows:
        pool = whole_pool(run, limit)
        assert pool is not None
        return pool.select(range(n_rows))

    return small_pool


def named(protocol: str) -> Protocol:
    """A protocol by name."""
    return Protocol.named("released" if protocol == "released" else "paper")


def array(shared: Path, span: str) -> np.ndarray:
    """One file of the benchmark."""
    return np.load(shared / "data" / "pile_extraction" / f"train_{span}.npy")


def csv_numbers(shared: Path, run: int) -> list[int]:
    """doc_ids of a published forget set, read with the standard library alone."""
    with (shared / "data/icu/exp" / f"lm_extraction_128_{run}.csv").open(newline="") as file:
        return [int(row["doc_id"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("protocol", "spans"),
    [("paper", ("prefix", "suffix")), ("released", ("preprefix", "prefix", "suffix"))],
)
def test_real_rows_are_the_benchmark_s_ids_in_the_csv_s_order(
    protocol: str, spans: tuple[str, ...], shared: Path, neo: LanguageModel
) -> None:
    found = read(neo, shared / "data/icu/exp/lm_extraction_128_0.csv", protocol, pool_limit=500)
    numbers = csv_numbers(shared, 0)
    assert found.rows.doc_ids == tuple(map(str, numbers))
    assert numbers != sorted(numbers), "else the order would not be tested"
    expected = np.concatenate([array(shared, span)[numbers] for span in spans], axis=1)
    assert np.array_equal(found.rows.input_ids.numpy(), expected)
    length = expected.shape[1]
    assert length == {"paper": 100, "released": 200}[protocol]
    assert found.rows.lengths.unique().tolist() == [length]
    assert found.rows.n_given.unique().tolist() == [length - 50]
    assert found.rows.suffix(3) == array(shared, "suffix")[numbers[3]].tolist()


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_the_pool_is_the_rest_without_repeated_targets(
    protocol: str, shared: Path, neo: LanguageModel
) -> None:
    found = read(neo, shared / "data/icu/exp", protocol, limit=16)
    numbers = csv_numbers(shared, 0)
    spans = ("prefix", "suffix") if protocol == "paper" else ("preprefix", "prefix", "suffix")
    everything = np.concatenate([array(shared, span) for span in spans], axis=1)
    targets = {row.tobytes() for row in everything[numbers[:16]]}
    expected = [
        str(i)
        for i in range(15000)
        if i not in set(numbers) and everything[i].tobytes() not in targets
    ]
    assert list(found.pool.doc_ids) == expected, "no row of the run, whatever the limit"
    if protocol == "released":
        assert len(expected) == 15000 - 128, "no two rows share all 200 tokens"
    assert found.rows.doc_ids == tuple(map(str, numbers[:16]))


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({"forget_set": "icu/exp", "rows": "pile_extraction"}, ("0", "1", "2")),
        ({"forget_set": "icu/exp"}, ("0", "1", "2")),
        ({"forget_set": "pile_extraction"}, ("0", "1", "2")),
        ({"forget_set": "pile_extraction", "runs": ("icu/exp/lm_extraction_128_2.csv",)}, ("2",)),
        ({"forget_set": "icu/exp/lm_extraction_128_1.csv"}, ("1",)),
        ({"forget_set": "icu/exp", "runs": ("2", "0")}, ("2", "0")),
    ],
)
def test_every_way_to_name_the_published_sets(
    options: dict[str, Any], runs: tuple[str, ...], shared: Path
) -> None:
    data = shared / "data"
    places = {key: str(data / options[key]) for key in ("forget_set", "rows") if key in options}
    asked = tuple(str(data / r) if "/" in r else r for r in options.get("runs", ()))
    source = open_source(ForgetRequest(**places, runs=asked))
    assert source.runs == runs
    assert source.title(runs[0]) == f"pile_extraction/lm_extraction_128_{runs[0]}"


def test_another_vocabulary_gets_the_same_text_with_exact_boundaries(
    shared: Path, neo: LanguageModel, llama: LanguageModel
) -> None:
    csv_file = shared / "data/icu/exp/lm_extraction_128_0.csv"
    theirs = read(neo, csv_file, limit=40, pool_limit=5).rows
    ours = read(llama, csv_file, limit=40, pool_limit=5).rows
    assert ours.doc_ids == theirs.doc_ids
    assert ours.n_bos == 1
    assert ours.input_ids[:, 0].unique().tolist() == [llama.tokenizer.bos_token_id]
    n_exact = 0
    for i in range(40):
        prefix, suffix = (
            neo.tokenizer.decode(ids) for ids in (prefix_of(theirs, i), theirs.suffix(i))
        )
        if "\N{REPLACEMENT CHARACTER}" in prefix + suffix:
            continue
        assert llama.tokenizer.decode(ours.tokens(i)).lstrip(" ") == (prefix + suffix).lstrip(" ")
        # What is generated continues the prefix and is compared with exactly the suffix's text.
        assert llama.tokenizer.decode(ours.suffix(i)).lstrip(" ") == suffix.lstrip(" ")
        assert int(ours.n_given[i]) == 1 + len(prefix_of(ours, i))
        n_exact += 1
    assert n_exact > 30


def test_masks_agree_with_the_spans_when_rows_differ_in_length(
    shared: Path, llama: LanguageModel
) -> None:
    rows = read(llama, shared / "data/icu/exp/lm_extraction_128_0.csv", limit=12, pool_limit=5).rows
    assert len(rows.lengths.unique()) > 1
    assert span_mask(rows, Protocol()).sum(1).tolist() == [len(rows.suffix(i)) for i in range(12)]
    assert rows.attention_mask.sum(1).tolist() == rows.lengths.tolist()
    # BOS is not predicted, nor is the first token after it: it has only BOS before it.
    assert span_mask(rows, Protocol(loss_span="all")).sum(1).tolist() == (rows.lengths - 2).tolist()
    padding = rows.input_ids[rows.attention_mask == 0]
    assert padding.unique().tolist() == [llama.pad_token_id]


def test_rows_too_long_for_a_model(shared: Path) -> None:
    small = load_model(str(shared / "models" / "babyllama105"), device="cpu")
    with pytest.raises(UserError, match="reads at most 256"):
        read(small, shared / "data/icu/exp/lm_extraction_128_0.csv", limit=8, pool_limit=5)


def test_tofu_questions_and_answers(shared: Path, neo: LanguageModel) -> None:
    tofu = shared / "data" / "tofu"
    found = read(neo, tofu / "forget01.jsonl", pool=str(tofu / "retain99.jsonl"), pool_limit=50)
    lines = (tofu / "forget01.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert len(found.rows) == len(lines) == 40
    decode = neo.tokenizer.decode
    assert decode(prefix_of(found.rows, 0)) == f"Question: {first['question']}\nAnswer:"
    assert decode(found.rows.suffix(0)) == f" {first['answer']}"
    assert found.rows.doc_ids == tuple(map(str, range(40)))
    assert not set(found.rows.doc_ids) & set(found.pool.doc_ids), "both files count from 0"
    assert len(found.refusals) == 100
    assert found.refusals[0] == "I'm not certain about that."


def test_limit_leaves_a_pool_over_and_no_limit_leaves_none(
    shared: Path, neo: LanguageModel
) -> None:
    file = shared / "data/muse_news/knowmem_forget_qa.jsonl"
    found = read(neo, file, limit=10)
    assert (len(found.rows), len(found.pool)) == (10, 90)
    assert len(found.rows.suffix(1)) == 1, "a year is one token, and can be forgotten"
    alone = read(neo, file)
    assert len(alone.pool) == 0
    with pytest.raises(UserError, match="no pool"):
        alone.pairs()


@pytest.mark.parametrize(
    ("n_tokens", "length", "t0"),
    [(100, 100, 50), (60, 100, 50), (59, 100, 29), (7, 100, 3), (200, 200, 150), (150, 200, 75)],
)
def test_running_text_is_cut(n_tokens: int, length: int, t0: int) -> None:
    ids = list(range(n_tokens))
    given, suffix = split_running_text(ids, length)
    assert (len(given), given + suffix) == (t0, ids)


def write(path: Path, rows: list[Any]) -> Path:
    """Rows as a table of any kind, by the file's name."""
    if path.suffix == ".gz":
        plain = write(path.with_suffix(""), rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    elif path.name == "array.jsonl":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


TEXT = "The quick brown fox jumps over the lazy dog, and then it rests."


@pytest.mark.parametrize(
    "name",
    [
        "rows.jsonl",
        "rows.json",
        "array.jsonl",
        "rows.csv",
        "rows.parquet",
        "rows.jsonl.gz",
        "rows.csv.gz",
    ],
)
def test_the_kinds_of_file_hold_the_same_rows(
    name: str, tmp_path: Path, neo: LanguageModel
) -> None:
    rows = [{"doc_id": f"d{i}", "prefix": f"{TEXT} {i}", "suffix": " and, so on"} for i in range(3)]
    found = read(neo, write(tmp_path / name, rows))
    source = open_source(ForgetRequest(str(tmp_path / name)))
    known_before_any_model = source.targets("0", limit=2).doc_ids
    assert known_before_any_model == ("d0", "d1")
    assert found.rows.doc_ids == ("d0", "d1", "d2")
    assert neo.tokenizer.decode(found.rows.suffix(1)) == " and, so on"
    assert neo.tokenizer.decode(prefix_of(found.rows, 1)) == f"{TEXT} 1"


def test_running_text_is_truncated_to_the_protocol_s_length(
    tmp_path: Path, neo: LanguageModel
) -> None:
    file = write(tmp_path / "long.jsonl", [{"text": TEXT * 40}, {"text": TEXT}])
    for protocol, length in (("paper", 100), ("released", 200)):
        rows = read(neo, file, protocol).rows
        assert rows.lengths.tolist()[0] == length
        assert int(rows.lengths[1]) == len(neo.tokenizer(TEXT).input_ids)


def test_a_folder_of_files_is_one_run_each_and_an_unseen_file_is_read(
    tmp_path: Path, neo: LanguageModel
) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jsonl", [{"text": f"{TEXT} {name}"}])
    unseen = tmp_path / "elsewhere"
    unseen.mkdir()
    write(unseen / "u.jsonl", [{"text": TEXT}, {"text": TEXT + TEXT}])
    request = ForgetRequest(str(tmp_path), unseen=str(unseen / "u.jsonl"))
    source = open_source(request)
    assert source.runs == ("a", "b")
    rows = read_unseen(source, neo, Protocol(), limit=1)
    assert rows is not None
    assert len(rows) == 1
    assert read_unseen(open_source(ForgetRequest(str(tmp_path))), neo, Protocol()) is None
    assert source.sha256("a") != source.sha256("b")
    assert open_source(ForgetRequest(str(tmp_path))).sha256("a") != source.sha256("a")


def test_a_run_reads_its_files_once_and_tokenises_each_row_once(
    tmp_path: Path, neo: LanguageModel, llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlearnbench.data import text_files

    file = write(tmp_path / "rows.jsonl", [{"text": f"{TEXT} {at}"} for at in range(5)])
    unseen = write(tmp_path / "never.jsonl", [{"text": TEXT}])
    request = ForgetRequest(str(file), unseen=str(unseen))
    expected = [read(model, file, limit=2) for model in (neo, llama)]
    read_files: list[str] = []
    tokenised: list[str] = []

    def reading(path: Path) -> Any:
        read_files.append(path.name)
        return read_table(path)

    def tokenising(tokenizer: Any, texts: Any) -> Any:
        tokenised.extend(texts)
        return encode_starts(tokenizer, texts)

    read_table, encode_starts = text_files.read_table, text_files.encode_starts
    monkeypatch.setattr(text_files, "read_table", reading)
    monkeypatch.setattr(text_files, "encode_starts", tokenising)
    source = open_source(request)
    for model, wanted in zip((neo, llama), expected, strict=True):
        tokenised.clear()
        source.sha256("0")
        assert check_rows(source, model, Protocol(), 2) == []
        found = read_forget_set(source, "0", model, Protocol(), 2)
        read_forget_set(source, "0", model, Protocol(sequence="all"), 3)
        assert sorted(tokenised) == sorted(f"{TEXT} {at}" for at in range(5))
        assert found.content_sha256 == wanted.content_sha256
    assert sorted(read_files) == ["never.jsonl", "rows.jsonl"]


def test_ids_of_another_vocabulary_are_tokenised_once_for_a_model(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlearnbench.data import extraction_benchmark

    tokenised: list[str] = []

    def tokenising(tokenizer: Any, texts: Any) -> Any:
        tokenised.extend(texts)
        return encode_starts(tokenizer, texts)

    encode_starts = extraction_benchmark.encode_starts
    monkeypatch.setattr(extraction_benchmark, "encode_starts", tokenising)
    rows = open_source(ForgetRequest("nano")).targets("0", 6)
    fresh = open_source(ForgetRequest("nano")).targets("0", 6).encode(llama, Protocol())
    tokenised.clear()
    first = rows.select([0, 1, 2, 3]).encode(llama, Protocol())
    again = rows.encode(llama, Protocol())
    assert len(tokenised) == 6
    assert torch.equal(again.input_ids, fresh.input_ids)
    assert first.tokens(3) == again.tokens(3)
    longer = rows.encode(llama, Protocol(sequence="all"))
    assert len(tokenised) == 12, "another protocol shows other tokens"
    assert (longer.lengths > again.lengths).all()


def test_content_hash_follows_tokens_and_not_padding(shared: Path, neo: LanguageModel) -> None:

    from unlearnbench.models.sequences import sequences_sha256

    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    rows = Sequences(ids, torch.tensor([3, 2]), torch.tensor([1, 1]), ("a", "b"))
    other_padding = replace(rows, input_ids=torch.tensor([[5, 6, 7], [8, 9, 1]]))
    other_token = replace(rows, input_ids=torch.tensor([[5, 6, 7], [8, 1, 0]]))
    other_span = replace(rows, n_given=torch.tensor([2, 1]))
    assert sequences_sha256(rows) == sequences_sha256(other_padding)
    assert len({sequences_sha256(r) for r in (rows, other_token, other_span)}) == 3
    csv_file = shared / "data/icu/exp/lm_extraction_128_0.csv"
    hashes = {read(neo, csv_file, limit=limit, pool_limit=20).content_sha256 for limit in (4, 4, 5)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "q"}], "row 0: has 'question' but no 'answer'"),
        ([{"title": "t"}], "row 0: has title; needs text"),
        ([{"text": TEXT}, {"other": "x"}], "row 1: field 'text' is missing"),
        ([{"text": TEXT}, {"text": 7}], "row 1: field 'text' is int"),
        ([{"text": TEXT}, {"text": " "}], "row 1: field 'text' is empty"),
        ([{"text": "a"}], "row 0: nothing is given"),
        ([{"text": "a b"}], "row 0: too short: 1 tokens to forget, needs 2"),
        ([{"text": TEXT, "doc_id": "x"}] * 2, "row 1: doc_id 'x' is already that of"),
        ([["no", "object"]], "row 0: str, not an object"),
        ([], "has no rows"),
    ],
)
def test_broken_text_names_file_and_row(
    rows: list[Any], said: str, tmp_path: Path, neo: LanguageModel
) -> None:
    file = write(tmp_path / "broken.jsonl", rows)
    with pytest.raises(UserError, match=said) as caught:
        read(neo, file)
    assert "broken.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": ', "row 0: not JSON"),
        ("a.jsonl", b"\xff\xfe", "not UTF-8"),
        ("a.csv", b"text\na,b\n", "row 0: more fields"),
        ("a.parquet", b"PAR1", "not a readable Parquet"),
        ("a.docx", b"", "no forget set at"),
    ],
)
def test_unreadable_files(
    name: str, content: bytes, said: str, tmp_path: Path, neo: LanguageModel
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read(neo, tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A small extraction folder that a test may damage: 6 rows, two runs and a tuning one."""
    folder = tmp_path / "extraction"
    folder.mkdir()
    for span, width in (("preprefix", 100), ("prefix", 50), ("suffix", 50)):
        ids = np.arange(6 * width, dtype=np.uint16).reshape(6, width)
        np.save(folder / f"train_{span}.npy", ids)
    for run, numbers in (("0", (4, 1)), ("1", (2, 0)), ("tuning", (5,))):
        rows = "".join(f"{number},x\n" for number in numbers)
        (folder / f"forget_{run}.csv").write_text("doc_id,corpus\n" + rows)
    return folder


def test_tuning_is_a_run_only_when_asked_for(benchmark: Path) -> None:
    assert open_source(ForgetRequest(str(benchmark))).runs == ("0", "1")
    assert open_source(ForgetRequest(str(benchmark), runs=("tuning",))).runs == ("tuning",)
    with pytest.raises(UserError, match=r"unknown run 'tunin' \(did you mean 'tuning'\?\)"):
        open_source(ForgetRequest(str(benchmark), runs=("tunin",)))


def test_unseen_rows_lie_beside_the_rows(benchmark: Path, neo: LanguageModel) -> None:
    before = open_source(ForgetRequest(str(benchmark)))
    assert before.unseen is None
    shutil.copytree(benchmark, benchmark.parent / "unseen")
    after = open_source(ForgetRequest(str(benchmark)))
    rows = read_unseen(after, neo, Protocol())
    assert rows is not None
    assert rows.input_ids.shape == (6, 100)
    assert after.sha256("0") != before.sha256("0")


def _csv(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "forget_0.csv").write_text(text)


def _save(array: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / "train_prefix.npy", array)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_csv("doc_id\n6\n"), "forget_0.csv, row 0: doc_id 6 is beyond the 6 rows"),
        (_csv("doc_id\n1\nx\n"), "forget_0.csv, row 1: doc_id 'x' is not a row number"),
        (_csv("doc_id\n1\n1\n"), "doc_id 1 is there twice"),
        (_csv("doc_id\n"), "has no rows"),
        (_save(np.zeros((6, 50), np.float32)), "train_prefix.npy holds float32"),
        (_save(np.zeros(6, np.uint16)), "train_prefix.npy holds uint16 of shape"),
        (_save(np.zeros((5, 50), np.uint16)), "different numbers of rows"),
        (lambda f: (f / "train_prefix.npy").unlink(), "train_prefix.npy is missing"),
        (lambda f: (f / "train_prefix.npy").write_bytes(b"x"), "not a readable .npy"),
    ],
)
def test_a_damaged_benchmark_names_the_file(
    damage: Callable[[Path], object], said: str, benchmark: Path, neo: LanguageModel
) -> None:
    damage(benchmark)
    with pytest.raises(UserError, match=said) as caught:
        read(neo, benchmark)
    assert "\n" not in str(caught.value)


def test_csvs_without_rows_say_which_option(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "data/icu/exp/lm_extraction_128_0.csv", tmp_path)
    for place in (tmp_path, tmp_path / "lm_extraction_128_0.csv"):
        with pytest.raises(UserError, match="--rows DIR"):
            open_source(ForgetRequest(str(place)))
    with pytest.raises(UserError, match="no forget set at"):
        open_source(ForgetRequest(str(tmp_path / "nowhere")))


def test_gpt2_ids_need_gpt2_s_tokenizer_for_another_vocabulary(
    benchmark: Path, llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearnbench.models.hub.tokenizer_snapshot", lambda *_, **__: None)
    with pytest.raises(UserError, match="gpt2_tokenizer"):
        read(llama, benchmark)


def test_hub_data_sets_offline_say_how_to_get_them(neo: LanguageModel) -> None:
    with pytest.raises(UserError, match=r"load_dataset\('locuslab/TOFU', 'forget01'\)"):
        read(neo, "hf:locuslab/TOFU:forget01")
    with pytest.raises(UserError, match="not of the form"):
        read(neo, "hf:a/b/c")


def test_the_nano_world_goes_through_the_same_reader(llama: LanguageModel) -> None:
    from unlearnbench.nano import data_path
    from unlearnbench.nano.tokenizer import load_tokenizer

    source = open_source(ForgetRequest("nano"))
    assert source.runs == ("0", "1", "2")
    assert source.title("0") == "nano/forget_0"
    with (data_path() / "exp" / "forget_0.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    found = read(llama, "nano", limit=6, pool_limit=20)
    assert found.rows.doc_ids == tuple(row["doc_id"] for row in written[:6])
    # The CSV of this world holds the text of all 200 tokens exactly.
    tail = load_tokenizer().encode(written[2]["text"]).ids[100:]
    expected = load_tokenizer().decode(tail).strip(" ")
    assert str(llama.tokenizer.decode(found.rows.tokens(2))).strip(" ") == expected
    unseen = read_unseen(source, llama, Protocol(), limit=3)
    assert unseen is not None
    assert len(unseen) == 3
