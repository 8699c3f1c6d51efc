"""Faulty data through the command line: one clear line, the right status, all else intact."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tiny
from evaluation_set_cases import FILES, rows_of
from tiny import cli

from unlearnbench.results.store import Store

TEXT = " ".join(tiny.WORDS[:40])
LONG = " ".join(tiny.WORDS * 2)  # more words than the model reads
ROW = json.dumps({"text": TEXT}) + "\n"


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """The files of a run; the cache and the plugins that runs load are gone afterwards."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    """A folder with a result and the cache that its run filled."""
    out = tmp_path_factory.mktemp("done")
    status, _, told = cli(*asked(world, out, methods="dpo"))
    assert status == 0, told
    assert list((world.folder / "cache" / "embeddings").iterdir())
    return out


@pytest.fixture
def untouched(world, done):
    """The results and the cache from before, which whatever happens must leave as they are."""
    results, cache = contents(done), contents(world.folder / "cache")
    yield done
    assert contents(done) == results
    assert cache.items() <= contents(world.folder / "cache").items()


def asked(world, out, *more, methods="dpo,push", **instead):
    """The command line of a small run, with other values for some of its options."""
    options = world.options(out, "--references", "none", *map(str, more), methods=methods)
    if "kumpr" not in methods:
        at = options.index("kumpr.learning_rate=1e-3")
        del options[at - 1 : at + 1]
    for name, value in instead.items():
        options[options.index("--" + name.replace("_", "-")) + 1] = str(value)
    return options


def contents(folder):
    """Every file under a folder, with its bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(command, *said):
    """Check that a command stops before anything runs, with one line that says so."""
    status, shown, told = cli(*command)
    assert (status, shown) == (2, ""), told
    for part in said:
        assert part in told
    assert told.startswith("unlearnbench: error: ")
    assert told.count("\n") == 1
    return told


FORGET = [
    ("empty.jsonl", b"", "empty.jsonl has no rows"),
    ("blank.jsonl", b"\n \n\t\n", "blank.jsonl has no rows"),
    ("half.jsonl", ROW.encode() + b'{"text": "ka', "half.jsonl, row 1: not JSON"),
    ("number.jsonl", b"3\n", "row 0: int, not an object"),
    ("list.jsonl", ROW.encode() + b'["text"]\n', "row 1: list, not an object"),
    ("int.jsonl", b'{"text": 3}\n', "row 0: field 'text' is int, not text"),
    ("nan.jsonl", b'{"text": NaN}\n', "row 0: field 'text' is float, not text"),
    ("truth.jsonl", b'{"text": true}\n', "row 0: field 'text' is bool, not text"),
    ("nested.jsonl", b'{"text": {"text": "ka"}}\n', "row 0: field 'text' is dict, not text"),
    ("null.jsonl", b'{"text": null}\n', "row 0: field 'text' is missing"),
    ("lost.jsonl", ROW.encode() + b'{"title": "a"}\n', "row 1: field 'text' is missing"),
    ("white.jsonl", b'{"text": " \\n"}\n', "row 0: field 'text' is empty"),
    ("twice.jsonl", b'{"text": "ka", "text": "lo"}\n', "row 0: field 'text' is there twice"),
    ("deep.jsonl", b'{"text": ' + b"[" * 100_000, "row 0: not JSON (nested too deep)"),
    ("surrogate.jsonl", b'{"text": "ka \\ud83d lo"}\n', "\\ud83d is half a character"),
    ("digits.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n", "row 0: not JSON (Exceeds the limit"),
    ("latin.jsonl", '{"text": "é"}'.encode("latin-1"), "not UTF-8 text: invalid continuation"),
    ("utf16.jsonl", ROW.encode("utf-16"), "not UTF-8 text but UTF-16; save it as UTF-8"),
    ("utf16le.jsonl", ROW.encode("utf-16-le"), "holds a NUL byte at byte 1"),
    ("nul.jsonl", ROW.encode() + b"\0\0\0\0", "holds a NUL byte"),
    ("float.jsonl", b'{"text": "ka", "doc_id": 3.0}\n', "row 0: field 'doc_id' is float"),
    ("id.jsonl", b'{"text": "ka", "doc_id": NaN}\n', "row 0: field 'doc_id' is float"),
    (
        "some.jsonl",
        b'{"text": "ka", "doc_id": "a"}\n{"text": "ka"}\n',
        "row 1: field 'doc_id' is missing; every row needs one, or none",
    ),
    (
        "same.jsonl",
        b'{"text": "ka", "doc_id": "1"}\n{"text": "lo", "doc_id": 1}\n',
        "row 1: doc_id '1' is already that of same.jsonl, row 0",
    ),
    ("one.jsonl", ROW.encode() + b'{"text": "kab"}\n', "one.jsonl, row 1: nothing is given"),
    ("short.jsonl", b'{"text": "kab kad"}\n', "row 0: too short: 1 tokens to forget"),
    (
        "long.jsonl",
        ROW.replace("text", "prefix").replace("}", ', "suffix": "kab"}').encode()
        + json.dumps({"prefix": LONG, "suffix": "kab"}).encode(),
        "long.jsonl, row 1: has 193 tokens for model, which reads at most 128",
    ),
    ("case.csv", f"Text\n{TEXT}\n".encode(), "has Text; needs text", "rename 'Text' to 'text'"),
    ("near.jsonl", b'{"quesiton": "a", "reply": "b"}\n', "rename 'quesiton' to 'question'"),
    ("no.csv", b"title,body\na,b\n", "row 0: has title, body; needs text"),
    ("line.csv", b'"ti\ntle"\na\n', "has ti tle; needs text"),
    ("few.csv", b"text,doc_id\nkab\n", "row 0: 1 fields where the header names 2"),
    ("many.csv", b"text\nkab, kad\n", "row 0: more fields than the header names"),
    ("open.csv", b'text\n"kab\nkad\n', "row 0: not CSV (unexpected end of data)"),
    ("quote.csv", b'text\nkab kad\n"kab"kad\n', "row 1: not CSV"),
    ("twin.csv", b"text,text\nkab,kad\n", "two columns are called 'text'; rename one"),
    ("header.csv", b"text\n", "header.csv has no rows"),
    ("latin.csv", "text\né\n".encode("latin-1"), "latin.csv is not UTF-8", "at byte 5, line 2"),
    ("utf16.csv", "text\nkab\n".encode("utf-16"), "utf16.csv is not UTF-8 text but UTF-16"),
    ("none.parquet", b"text\nkab\n", "none.parquet is not a readable Parquet file"),
    ("empty.parquet", b"", "empty.parquet is not a readable Parquet file"),
    ("all.json", b'[{"text": "kab"}, 3]', "all.json, row 1: int, not an object with fields"),
    ("half.json", b'[{"text": "kab"}', "half.json: not JSON", "or an array of objects"),
    ("cut.jsonl.gz", gzip.compress(b'{"text": "kab"}', mtime=0)[:-9], "cut.jsonl.gz is damaged"),
    ("no.jsonl.gz", b'{"text": "kab"}', "no.jsonl.gz is damaged"),
    ("pool.txt", b"kab\nkad\n", "on each line, and call it pool.jsonl"),
]


@pytest.mark.parametrize(("name", "content", "said"), [(n, c, s) for n, c, *s in FORGET])
def test_a_faulty_forget_set_is_told_before_anything_runs(
    name, content, said, world, untouched, tmp_path
):
    (tmp_path / name).write_bytes(content)
    told = refused(asked(world, untouched, forget_set=tmp_path / name), *said)
    assert name in told


@pytest.mark.parametrize(("name", "content", "said"), [(n, c, s) for n, c, *s in FORGET[:24:4]])
@pytest.mark.parametrize("option", ["--pool", "--unseen"])
def test_a_faulty_pool_or_unseen_file_likewise(
    option, name, content, said, world, untouched, tmp_path
):
    (tmp_path / name).write_bytes(content)
    refused(asked(world, untouched, option, tmp_path / name), name, *said)


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_files_that_are_cut_or_hold_no_text(world, untouched, tmp_path):
    whole = parquet(tmp_path / "whole.parquet", text=[TEXT] * 3).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    parquet(tmp_path / "bytes.parquet", text=[TEXT.encode()])
    parquet(tmp_path / "null.parquet", text=[TEXT, None])
    parquet(tmp_path / "nan.parquet", text=[TEXT, TEXT], doc_id=[1.0, float("nan")])
    damaged = whole.replace(TEXT[:4].encode(), b"\xff\xff\xff\xff", 1)
    (tmp_path / "latin.parquet").write_bytes(damaged)
    twins = pyarrow.Table.from_arrays([pyarrow.array([TEXT])] * 2, ["text", "text"])
    pyarrow.parquet.write_table(twins, tmp_path / "twins.parquet")
    for name, said in (
        ("cut", "cut.parquet is not a readable Parquet file"),
        ("latin", "latin.parquet is not a readable Parquet file"),
        ("bytes", "row 0: field 'text' is bytes"),
        ("null", "row 1: field 'text' is missing"),
        ("nan", "row 0: field 'doc_id' is float"),
        ("twins", "two columns are called 'text'"),
    ):
        refused(asked(world, untouched, forget_set=tmp_path / f"{name}.parquet"), said)


def test_a_changed_bit_in_a_parquet_file_with_checksums_is_seen(world, untouched, tmp_path):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"text": [TEXT]}), path, write_page_checksum=True, compression="none"
    )
    path.write_bytes(path.read_bytes().replace(b"kab kad", b"kab kae", 1))
    refused(asked(world, untouched, forget_set=path), "not a readable Parquet file", "CRC")


def test_a_folder_above_a_parquet_file_adds_no_column(world, untouched, tmp_path):
    (tmp_path / "doc_id=7").mkdir()
    path = parquet(tmp_path / "doc_id=7" / "rows.parquet", text=[TEXT])
    status, _, told = cli(*asked(world, untouched, "--dry-run", forget_set=path))
    assert (status, told) == (0, "")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_a_byte_order_mark_is_no_content(name, world, untouched, tmp_path):
    rows = {"rows.jsonl": ROW, "rows.csv": f"text\n{TEXT}\n"}[name].encode()
    hashes = set()
    for folder, mark in (("with", b"\xef\xbb\xbf"), ("without", b"")):
        path = tmp_path / folder / name
        path.parent.mkdir()
        path.write_bytes(mark + rows)
        assert cli(*asked(world, untouched, "--dry-run", forget_set=path))[0] == 0
        hashes.add(digest(path))
    assert len(hashes) == 1


def digest(path):
    from unlearnbench.data.forget_set import open_source
    from unlearnbench.data.forget_source import ForgetRequest

    return open_source(ForgetRequest(str(path))).sha256("0")


def test_what_does_not_apply_is_not_taken_in_silence(world, untouched, benchmark):
    refused(asked(world, untouched, "--rows", world.folder), "--rows", "drop it")
    refused(asked(world, untouched, forget_set=benchmark), "--pool", "drop it")


def test_repeated_rows_are_kept_and_said(world, tmp_path):
    rows = [json.dumps({"text": f"{TEXT} {tiny.WORDS[at % 3]}"}) + "\n" for at in range(5)]
    (tmp_path / "repeats.jsonl").write_text("".join(rows))
    options = asked(world, tmp_path / "out", methods="push", forget_set=tmp_path / "repeats.jsonl")
    status, _, told = cli(*options)
    assert status == 0, told
    assert "'repeats': 2 of 5 rows repeat an earlier one (the first: '3' is '0' again)" in told
    (result,) = Store(tmp_path / "out").load_all()[0]
    assert result.forget_set.doc_ids == ["0", "1", "2", "3", "4"]


def pool_of(path, n_new, n_known, world):
    """A pool of new rows and of rows that are to be forgotten."""
    new = (world.folder / "pool.jsonl").read_text().splitlines(keepends=True)[:n_new]
    known = (world.folder / "forget.jsonl").read_text().splitlines(keepends=True)[:n_known]
    path.write_text("".join([*new, *known]))
    return path


def test_a_pool_that_is_the_forget_set_is_refused(world, untouched, tmp_path):
    pool = pool_of(tmp_path / "pool.jsonl", 0, 8, world)
    refused(asked(world, untouched, pool=pool), "all 8 rows of its pool are rows to forget")
    pool = pool_of(tmp_path / "some.jsonl", 0, 3, world)
    refused(asked(world, untouched, pool=pool), "all 3 rows of its pool are rows to forget")


def test_a_pool_whose_rows_are_too_long_is_refused(world, untouched, tmp_path):
    (tmp_path / "pool.jsonl").write_text(json.dumps({"prefix": LONG, "suffix": "kab"}) + "\n")
    refused(
        asked(world, untouched, pool=tmp_path / "pool.jsonl"),
        "all rows of its pool are longer than the 128 tokens that model reads",
    )


def test_a_pool_smaller_than_the_forget_set_works_and_is_said(world, tmp_path):
    pool = pool_of(tmp_path / "pool.jsonl", 3, 2, world)
    status, _, told = cli(*asked(world, tmp_path / "out", methods="dpo", pool=pool))
    assert status == 0, told
    assert "2 of the 5 rows of its pool are rows to forget and left out" in told
    assert "3 rows in the pool for 8 to forget, so some share a pair" in told
    (result,) = Store(tmp_path / "out").load_all()[0]
    assert len(result.forget_set.pair_doc_ids) == 8
    assert set(result.forget_set.pair_doc_ids) <= {"pool:pool0", "pool:pool1", "pool:pool2"}


def without_pool(world, out, forget_set, *more, methods="dpo,push"):
    options = asked(world, out, *more, methods=methods, forget_set=forget_set)
    at = options.index("--pool")
    return options[:at] + options[at + 2 :]


def test_a_method_that_needs_a_pool_is_refused_without_one(world, untouched, tmp_path):
    rows = world.folder / "forget.jsonl"
    refused(
        without_pool(world, untouched, rows),
        "method 'dpo' needs retain items, and forget set 'forget' has no pool",
        "--pool FILE, or leave rows over with --limit M",
    )
    assert cli(*without_pool(world, untouched, rows, "--limit", "6", "--dry-run"))[0] == 0
    (tmp_path / "no.txt").write_text("kab lob\n")
    refusals = ("--refusals", str(tmp_path / "no.txt"), "--dry-run")
    assert cli(*without_pool(world, untouched, rows, *refusals))[0] == 0
    assert cli(*without_pool(world, tmp_path / "out", rows, methods="push"))[0] == 0


def test_unseen_rows_that_the_model_saw_are_refused(world, untouched, tmp_path):
    unseen = pool_of(tmp_path / "unseen.jsonl", 3, 1, world)
    refused(
        asked(world, untouched, "--stop", "calibrated", "--unseen", unseen),
        "unseen row 'forget0' is row 'forget0' of forget set 'forget'",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no answer"),
        (b"\n  \n", "holds no answer"),
        ("Não sei\n".encode("latin-1"), "not UTF-8"),
        (b"I do not know\0\n", "NUL byte"),
        (None, "cannot read"),
    ],
)
def test_a_faulty_file_of_refusals(content, said, world, untouched, tmp_path):
    path = tmp_path / "refusals.txt"
    if content is not None:
        path.write_bytes(content)
    refused(asked(world, untouched, "--refusals", path), "refusals.txt", said)


@pytest.fixture
def benchmark(world, tmp_path):
    """A small extraction folder in the tiny model's own ids: 6 rows, one run of two."""
    folder = tmp_path / "extraction"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(world.folder / "model" / name, folder)
    dice = np.random.default_rng(5)
    for span, width in (("preprefix", 100), ("prefix", 50), ("suffix", 50)):
        save(folder, span, dice.integers(1, 96, (6, width)).astype(np.uint16))
    (folder / "forget_0.csv").write_text("doc_id,corpus,text\n4,x,a\n1,x,b\n")
    return folder


def save(folder, span, array):
    np.save(folder / f"train_{span}.npy", array)


def load(folder, span):
    return np.load(folder / f"train_{span}.npy")


def changed(span, change):
    """A damage: one array of the folder replaced by what `change` makes of it."""
    return lambda folder: save(folder, span, change(load(folder, span)))


def _with(array, value, row=3, dtype=np.int64):
    array = array.astype(dtype)
    array[row, 7] = value
    return array


def cut(folder):
    path = folder / "train_suffix.npy"
    path.write_bytes(path.read_bytes()[:-20])


def longer(folder):
    path = folder / "train_suffix.npy"
    path.write_bytes(path.read_bytes() + bytes(20))


def as_npz(folder):
    with (folder / "train_prefix.npy").open("wb") as file:
        np.savez(file, load(folder, "suffix"))


def pickled(folder):
    np.save(folder / "train_prefix.npy", np.array([[1], [2, 3]], dtype=object), allow_pickle=True)


def doc_ids(content):
    return lambda folder: (folder / "forget_0.csv").write_bytes(content)


def a_folder_in_the_way(folder):
    (folder / "train_prefix.npy").unlink()
    (folder / "train_prefix.npy").mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed("prefix", lambda a: a[:, :49]), "has 49 tokens per row where the benchmark's"),
        (
            lambda f: shutil.copy(f / "train_preprefix.npy", f / "train_prefix.npy"),
            "train_prefix.npy has 100 tokens per row",
        ),
        (changed("suffix", lambda a: a[:5]), "different numbers of rows"),
        (changed("suffix", lambda a: a[:0]), "train_suffix.npy"),
        (changed("suffix", lambda a: a[None]), "of shape [1, 6, 50]"),
        (changed("suffix", lambda a: a.astype(np.float64)), "holds float64"),
        (changed("suffix", lambda a: a.astype(bool)), "holds bool"),
        (changed("suffix", lambda a: _with(a, 97)), "row 3: token id 97 is not one of the 97"),
        (changed("prefix", lambda a: _with(a, -1)), "train_prefix.npy, row 3: token id -1"),
        (cut, "train_suffix.npy is not a readable .npy file"),
        (longer, "train_suffix.npy goes on after its array"),
        (as_npz, "train_prefix.npy is not a readable .npy file"),
        (pickled, "train_prefix.npy is not a readable .npy file"),
        (a_folder_in_the_way, "train_prefix.npy is not a readable .npy file"),
        (lambda f: (f / "train_prefix.npy").write_bytes(b""), "not a readable .npy"),
        (doc_ids(b"doc_id\n4\n4\n"), "row 1: doc_id 4 is there twice (also in row 0)"),
        (doc_ids(b"doc_id\n4\n\n6\n"), "row 1: doc_id 6 is beyond the 6 rows"),
        (doc_ids(b"doc_id\n-1\n"), "row 0: doc_id '-1' is not a row number"),
        (doc_ids(b"doc_id\n4.0\n"), "row 0: doc_id '4.0' is not a row number"),
        (doc_ids("doc_id\n٤\n".encode()), "is not a row number"),
        (doc_ids(b"doc_id\n" + b"9" * 5000), "is not a row number"),
        (doc_ids(b"doc_id\nnan\n"), "row 0: doc_id 'nan' is not a row number"),
        (doc_ids(b"doc_id,text\n4\n"), "row 0: 1 fields where the header names 2"),
        (doc_ids(b'doc_id,text\n4,"a\n1,b\n'), "row 0: not CSV (unexpected end of data)"),
        (doc_ids("doc_id,text\n4,é\n".encode("latin-1")), "forget_0.csv is not UTF-8"),
        (doc_ids("doc_id\n4\n".encode("utf-16")), "no CSV with doc_ids"),
        (doc_ids(b"row\n4\n"), "no CSV with doc_ids"),
        (doc_ids(b""), "no CSV with doc_ids"),
        (doc_ids(b"doc_id\n"), "forget_0.csv has no rows"),
        (lambda f: (f / "tokenizer.json").write_bytes(b"{"), "cannot read the tokenizer in"),
    ],
)
def test_a_faulty_extraction_folder(damage, said, world, untouched, benchmark):
    damage(benchmark)
    refused(without_pool(world, untouched, benchmark), said)


def test_a_whole_extraction_folder_runs_in_the_same_world(world, tmp_path, benchmark):
    status, _, told = cli(*without_pool(world, tmp_path / "out", benchmark, methods="push"))
    assert status == 0, told
    (result,) = Store(tmp_path / "out").load_all()[0]
    assert result.forget_set.doc_ids == ["4", "1"]


def test_a_run_that_has_no_doc_id_column_is_told_its_columns(world, untouched, benchmark):
    (benchmark / "other.csv").write_text("row,text\n4,a\n")
    options = without_pool(world, untouched, benchmark, "--runs", benchmark / "other.csv")
    refused(options, "other.csv, row 0: no column 'doc_id' (it has 'row', 'text')")


def test_gpt2_ids_beyond_its_vocabulary(world, untouched, benchmark):
    (benchmark / "tokenizer.json").unlink()
    save(benchmark, "suffix", _with(load(benchmark, "suffix"), 50257, row=5))
    refused(
        without_pool(world, untouched, benchmark),
        "train_suffix.npy, row 5: token id 50257 is not one of the 50257 of GPT-2",
    )


def test_ids_of_another_kind_of_vocabulary_for_a_model_of_a_third(world, untouched, benchmark):
    words = json.loads((benchmark / "tokenizer.json").read_text())
    words["model"]["vocab"]["kaz"] = len(words["model"]["vocab"])
    (benchmark / "tokenizer.json").write_text(json.dumps(words))
    refused(without_pool(world, untouched, benchmark), "give the rows as text")


def test_files_that_change_under_a_run_fail_its_cells_and_nothing_else(world, done, tmp_path):
    from unlearnbench.experiments.data_choice import _open
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import make_plan

    rows = Path(shutil.copy(world.folder / "forget.jsonl", tmp_path / "rows.jsonl"))
    values = {"model": str(world.folder / "model"), "forget_set": str(rows), "methods": "kumpr"}
    values |= {"encoder": str(world.folder / "bert"), "bert": str(world.folder / "bert")}
    values |= {"tasks": "forgetting", "references": "none", "device": "cpu"}
    (cell,) = make_plan(Experiment.parse(values)).cells
    rows.write_text(rows.read_text().replace("kab", "kad"))
    _open.cache_clear()  # as in a worker process, which opens the files anew
    from unlearnbench.running.cell_run import run_cell

    result = run_cell(cell)
    assert result.status == "failed"
    assert "have changed since this run began; run the same command again" in result.error


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pile.txt", b"", "is empty"),
        ("pile.txt", b" \n\n", "is empty"),
        ("pile.txt", "kab é".encode("latin-1"), "not UTF-8 text: unexpected end"),
        ("pile.txt", "kab".encode("utf-16"), "but UTF-16"),
        ("pile.txt", b"kab\0kad", "holds a NUL byte at byte 3"),
        ("pile.jsonl", b'{"text": 3}\n', "row 0: needs a field 'text'"),
        ("pile.jsonl", b'{"text": NaN}\n', "row 0: needs a field 'text'"),
        ("pile.jsonl", b'{"text": "\\udc00"}\n', "half a character"),
        ("pile.csv", b"body\nkab\n", "row 0: needs a field 'text'"),
        ("pile.csv", b'text\n"kab\n', "not CSV"),
        ("pile.csv", b'text\n" "\n', "holds no text"),
        ("pile.parquet", b"PAR1PAR1", "not a readable Parquet file"),
        ("pile.doc", b"kab", "not one of"),
    ],
)
def test_a_faulty_text(name, content, said, world, untouched, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(asked(world, untouched, "--text", f"pile={tmp_path / name}"), name, said)


def test_blank_and_repeated_documents_are_said(world, untouched, tmp_path):
    rows = [{"text": text} for text in ("kab kad", " ", "kab kad")]
    (tmp_path / "pile.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = asked(
        world, untouched, "--text", f"pile={tmp_path / 'pile.jsonl'}", "--dry-run", methods="push"
    )
    status, _, told = cli(*options)
    assert status == 0, told
    assert "pile.jsonl: 1 of its 3 documents are blank and left out" in told
    assert "pile.jsonl: 1 of 2 rows repeats an earlier one" in told


def sets(world, out, folder, task="classification"):
    options = asked(world, out, "--data", folder, methods="push")
    options[options.index("--tasks") + 1] = task
    return options


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no rows"),
        (b'{"premise": 3}\n', "row 0: field 'premise'"),
        (b"[[]]\n", "row 0: list, not an object"),
        (b"{}\n", "row 0: field 'premise' is missing"),
        (b'{"premise": "\xe9"}\n', "not UTF-8"),
        (b'{"premise": "\\ud800"}\n', "half a character"),
        (b'{"premise": ' + b"[" * 100_000, "nested too deep"),
        ({"label": True}, "field 'label' should be a valid integer (it is True)"),
        ({"label": 1.0}, "field 'label' should be a valid integer (it is 1.0)"),
        ({"label": "1.0"}, "field 'label' should be a valid integer (it is '1.0')"),
        ({"label": "٠"}, "field 'label' should be a valid integer"),
        ({"label": float("nan")}, "field 'label' should be a valid integer (it is nan)"),
        ({"label": 10**30}, "field 'label'"),
        ({"choice1": 5}, "field 'choice1' should be a valid string (it is 5)"),
        ({"premise": ["a"]}, "field 'premise' should be a valid string"),
    ],
)
def test_a_faulty_evaluation_set(content, said, world, untouched, tmp_path):
    if isinstance(content, dict):
        content = json.dumps({**rows_of("copa")[0], **content}).encode()
    path = tmp_path / FILES["copa"]
    path.write_bytes(content)
    refused(sets(world, untouched, tmp_path), FILES["copa"], said)


def test_a_question_asked_twice_is_kept_and_said(tmp_path):
    from unlearnbench.data.evaluation_sets.reading import read_sets

    rows = rows_of("copa", 3)
    lines = [json.dumps(row) + "\n" for row in [*rows, {**rows[1], "idx": 9}]]
    (tmp_path / FILES["copa"]).write_text("".join(lines))
    warnings = []
    found = read_sets(["copa"], str(tmp_path), {}, warnings)
    assert len(found["copa"].rows) == 4
    assert warnings == [
        "copa: 1 of 4 rows repeats an earlier one (the first: '3' is '1' again); each is kept "
        "and counts on its own"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"text": {"0": ["kab", "\\ud800"]}}', "half a character"),
        (b'{"text": {"0": ["kab", NaN]}}', "turn 1 is float, not text"),
        (b'{"text": {" ": ["kab", "kad"]}}', "a row has no name"),
        (b'{"text": {"0": ["kab", "kad"]}}\0', "NUL byte"),
        (b'{"text": {}, "text": {"0": ["kab", "kad"]}}', "is there twice"),
        ('{"text": {"0": ["kab", "é"]}}'.encode("utf-16"), "UTF-16"),
    ],
)
def test_a_faulty_dialogue_file(content, said, world, untouched, tmp_path):
    (tmp_path / "blended_skill_talk.json").write_bytes(content)
    refused(sets(world, untouched, tmp_path, "dialogue"), "blended_skill_talk.json", said)


@pytest.mark.parametrize(("pairing", "is_told"), [("nearest", True), ("random", False)])
def test_only_nearest_pairs_ask_for_an_encoder(pairing, is_told, world, tmp_path):
    given = world.options(tmp_path / "out", "--pairing", pairing, "--dry-run", methods="kumpr")
    at = given.index("--encoder")
    status, _, told = cli(*given[:at], *given[at + 2 :])
    assert status == 0, told
    assert ("sentence encoder 'sentence-transformers/all-MiniLM-L6-v2'" in told) is is_told
