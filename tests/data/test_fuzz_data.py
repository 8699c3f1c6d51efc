"""Every reader of data under generated and damaged files: a UserError or the whole content.

A reader may refuse a file, with one line that names it.  What it accepts must be all that the
file holds, as it stands: no row left out, no number taken for text, no NaN, no half character.
"""

import csv
import io
import json
import warnings

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from evaluation_set_cases import FILES, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS
from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file
from unlearnbench.data.evaluation_sets.reading import read_sets
from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest, read_refusals
from unlearnbench.data.validation_texts import read_texts
from unlearnbench.errors import UserError
from unlearnbench.files.cache import read_entry, write_entry
from unlearnbench.protocol import Protocol

WIDTHS = {"preprefix": 100, "prefix": 50, "suffix": 50}
GPT2_SIZE = 50257

# What is put into the middle of a file.
INTRUDERS = [
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",  # a surrogate as if it were a character
    b"\\ud83d",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x0b\x0c\x1c",
    "\x85\u2028".encode(),
    b'"',
    b'""',
    b",",
    b"{",
    b"}",
    b"[]",
    b": NaN",
    b": null, ",
    b"9" * 5000,
    b"1e999",
    b"[" * 20_000,
    b'{"a":' * 5000,
    b"a" * 200_000,
]


def content_of_lines():
    """Words, marks and everything that Unicode has, lone surrogates left out."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def texts():
    plain = st.sampled_from(["kab kad kaf kag", "What is it?", "a, b", 'said "so"', "two\nlines"])
    return plain | content_of_lines()


def values():
    """What may stand in a field: mostly text."""
    odd = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.just("\ud800")
        | st.lists(texts(), max_size=2)
        | st.dictionaries(texts(), texts(), max_size=1)
    )
    return texts() | texts() | texts() | odd


SHAPES = [("text",), ("prefix", "suffix"), ("question", "answer")]
STRANGE = ["Text", " text", "doc_id", "", "extra", "prefix", "\ufefftext"]


# How much is wrong with what is generated: readers must meet good files as well as bad ones.
MOODS = st.sampled_from(["whole", "whole", "one", "wild"])


@st.composite
def tables(draw, cells):
    """Rows of one of the shapes; maybe with one odd cell or field, or with many."""
    shape = draw(st.sampled_from(SHAPES))
    mood = draw(MOODS)
    named = draw(st.booleans())
    rows = []
    for at in range(draw(st.integers(0 if mood == "wild" else 1, 4))):
        good = {name: f"{at} {draw(texts())}" for name in shape}
        row = {name: draw(cells) for name in shape} if mood == "wild" else good
        if named:
            row["doc_id"] = draw(cells) if mood == "wild" else f"d{at}"
        rows.append(row)
    if mood == "one":
        victim = draw(st.sampled_from(rows))
        field = draw(st.sampled_from(list(victim)))
        if draw(st.booleans()):
            victim[field] = draw(cells)
        else:
            victim[draw(st.sampled_from(STRANGE))] = victim.pop(field)
    return rows


@st.composite
def damaged(draw, content):
    """The bytes as they are, or cut, turned, filled, shuffled or written in another encoding."""
    mood = draw(MOODS)
    for _ in range({"whole": 0, "one": 1, "wild": 2}[mood]):
        at = draw(st.integers(0, len(content)))
        to = draw(st.integers(at, min(len(content), at + 40)))
        content = draw(
            st.sampled_from(
                [
                    content[:at],
                    content[:at] + content[to:],
                    content[:to] + content[at:],
                    content[:at] + draw(st.sampled_from(INTRUDERS)) + content[at:],
                    content[:at] + draw(st.binary(max_size=6)) + content[to:],
                    turned(content, at, draw(st.integers(0, 7))),
                    recoded(content, draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32"]))),
                    recoded(content, "latin-1"),
                    b"\xef\xbb\xbf" + content,
                    content.replace(b"\n", b"\r\n"),
                ]
            )
        )
    return content


def turned(content, at, bit):
    changed = bytes(byte ^ (1 << bit) for byte in content[at : at + 1])
    return content[:at] + changed + content[at + 1 :]


def recoded(content, encoding):
    return content.decode(errors="replace").encode(encoding, errors="replace")


def bytes_of(draw, made):
    """Damaged bytes of a well-made file, or any bytes at all."""
    if draw(st.sampled_from(["made"] * 9 + ["any"])) == "any":
        return draw(st.binary(max_size=200))
    return draw(damaged(made))


def accepted(read, name):
    """What a reader makes of a file; None if it refuses it, in one line that names it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return read()
        except UserError as error:
            told = str(error)
    assert "\n" not in told, told
    assert name in told, told
    assert len(told) < 1000, len(told)
    return None


def json_lines(content):
    """The objects of a JSONL file, read in another way: bytes split at line feeds, one by one."""
    lines = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [json.loads(line) for line in lines.split(b"\n") if line.decode().strip()]


def check_text_rows(rows, expected):
    """The source's rows are those fields, all and unchanged."""
    assert len(rows) == len(expected) > 0
    assert len(set(rows.doc_ids)) == len(rows)
    shape = next(s for s in ([*SHAPES[1:], SHAPES[0]]) if all(name in expected[0] for name in s))
    for at, (row, fields) in enumerate(zip(rows.rows, expected, strict=True)):
        own = [fields[name] for name in shape]
        assert all(isinstance(text, str) and text.strip() for text in own)
        if shape == ("question", "answer"):
            own = [f"Question: {own[0]}\nAnswer:", f" {own[1].strip()}"]
        assert [row.prefix, row.suffix][: len(own)] == own
        assert (row.suffix is None) == (shape == ("text",))
        (row.prefix + (row.suffix or "")).encode()
        doc_id = fields.get("doc_id")
        named = doc_id is not None and bool(str(doc_id).strip())
        assert type(doc_id) in ((str, int) if named else (str, type(None)))
        assert row.doc_id == (str(doc_id) if named else str(at))


@pytest.fixture(scope="module")
def model():
    """A tokenizer that reads all of Unicode, and the shape of its model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from unlearnbench.models.language_model import LanguageModel, ModelSource
    from unlearnbench.nano import model_path

    folder = model_path("nano-neo")
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    return LanguageModel(
        network, AutoTokenizer.from_pretrained(folder), ModelSource("nano-neo", "", None, "")
    )


def check_tokens(rows, model, name):
    """Rows of text as tokens: something given, something to forget, no id the model has not."""
    found = accepted(lambda: rows.encode(model, Protocol()), name)
    if found is None:
        return
    assert found.doc_ids == rows.doc_ids
    assert (found.n_given > found.n_bos).all()
    assert (found.lengths > found.n_given).all()
    assert (found.lengths <= model.max_length).all()
    assert 0 <= int(found.input_ids.min()) <= int(found.input_ids.max()) < len(model.tokenizer)


def open_rows(path, **more):
    source = open_source(ForgetRequest(str(path), **more))
    rows = source.targets("0")
    assert source.sha256("0") == source.sha256("0")
    return rows


def forget_jsonl(draw, folder, model):
    rows = draw(tables(values()))
    content = bytes_of(draw, "".join(json.dumps(row) + "\n" for row in rows).encode())
    path = folder / "rows.jsonl"
    path.write_bytes(content)
    found = accepted(lambda: open_rows(path), path.name)
    if found is not None:
        check_text_rows(found, json_lines(content))
        check_tokens(found, model, path.name)
    return found is not None


def forget_csv(draw, folder, model):
    rows = draw(tables(texts() | texts() | st.none() | st.floats()))
    names = list(rows[0]) if rows else ["text"]
    written = io.StringIO(newline="")
    table = csv.writer(written, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    table.writerows([names, *[list(row.values()) for row in rows]])
    content = bytes_of(draw, written.getvalue().encode("utf-8", "replace"))
    path = folder / "rows.csv"
    path.write_bytes(content)
    found = accepted(lambda: open_rows(path), path.name)
    if found is None:
        return False
    # Not strictly, so that records that a reader left out or put together are counted apart.
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    header, *records = [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]
    check_text_rows(found, [dict(zip(header, cells, strict=True)) for cells in records])
    assert text.count('"') % 2 == 0, "no quote is left open"
    check_tokens(found, model, path.name)
    return True


def forget_parquet(draw, folder, model):
    rows = draw(tables(texts() | texts() | texts() | st.none()))
    columns = {name: [row.get(name) for row in rows] for row in rows[:1] for name in row}
    if draw(st.integers(0, 3)) == 0:
        kind = st.sampled_from([st.integers(-9, 9), st.floats(), st.binary(max_size=3)])
        one = draw(kind)
        name = draw(st.sampled_from(["text", "doc_id", "extra"]))
        columns[name] = [draw(one) for _ in rows]
    buffer = io.BytesIO()
    made = pyarrow.table(columns or {"text": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(made, buffer)
    content = bytes_of(draw, buffer.getvalue())
    path = folder / "rows.parquet"
    path.write_bytes(content)
    found = accepted(lambda: open_rows(path), path.name)
    if found is not None:
        check_text_rows(found, pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist())
        check_tokens(found, model, path.name)
    return found is not None


def forget_other_files(draw, folder, model):
    name = draw(st.sampled_from(["pool.txt", "rows.json", "rows", "rows.csv.gz", "rows.JSONL"]))
    path = folder / name
    path.write_bytes(bytes_of(draw, b'{"text": "kab kad"}\nkab kad\n'))
    assert accepted(lambda: open_rows(path), name) is None
    own = folder / "own.jsonl"
    own.write_text(json.dumps({"text": "kab kad"}) + "\n")
    request = ForgetRequest(str(own), pool=str(path))
    assert accepted(lambda: open_source(request).pool("0"), name) is None
    return False


@st.composite
def arrays(draw, width, mood):
    """An array as the benchmark has it, or one of another shape, kind or content."""
    made = np.random.default_rng(draw(st.integers(0, 99))).integers(0, GPT2_SIZE, (3, width))
    kind = np.uint16
    if mood != "whole":
        shape = draw(st.sampled_from([(3, width)] * 4 + [(2, width), (0, width), (3, 50), (3,)]))
        made = np.resize(made, shape)
        kind = draw(st.sampled_from([np.uint16] * 4 + [np.int64, ">u2", np.int32, "f4", bool]))
        if made.size and draw(st.booleans()):
            made.flat[draw(st.integers(0, made.size - 1))] = draw(st.integers(-2, GPT2_SIZE))
    made = made.astype(kind)
    return np.asfortranarray(made) if draw(st.booleans()) else made


def extraction(draw, folder, model):
    place = folder / "extraction"
    place.mkdir(exist_ok=True)
    victim = draw(st.sampled_from([*WIDTHS, *WIDTHS, None, "doc_ids"]))
    mood = draw(MOODS)
    for span, width in WIDTHS.items():
        buffer = io.BytesIO()
        np.save(buffer, draw(arrays(width, mood if span == victim else "whole")))
        content = buffer.getvalue()
        if span == victim and draw(st.booleans()):
            content = bytes_of(draw, content)
        (place / f"train_{span}.npy").write_bytes(content)
    numbers = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    header = "doc_id"
    if victim == "doc_ids":
        odd = st.integers(-1, 4) | texts() | st.floats()
        numbers = [*numbers, *draw(st.lists(odd, max_size=2))]
        header = draw(st.sampled_from(["doc_id"] * 4 + ["row", " doc_id"]))
    table = f"{header},corpus\n" + "".join(f"{number},x\n" for number in numbers)
    content = table.encode("utf-8", "replace")
    content = bytes_of(draw, content) if victim == "doc_ids" else content
    (place / "forget_0.csv").write_bytes(content)
    rows = accepted(lambda: open_rows(place), str(place))
    if rows is None:
        return False
    spans = {span: np.load(place / f"train_{span}.npy") for span in WIDTHS}
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    asked = [row["doc_id"].strip() for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert list(rows.doc_ids) == [str(int(number)) for number in asked]
    assert len(set(rows.doc_ids)) == len(rows) > 0
    for span, array in spans.items():
        assert array.shape == (len(spans["suffix"]), WIDTHS[span])
        assert array.dtype.kind in "ui"
        assert 0 <= array.min() <= array.max() < GPT2_SIZE
        assert np.array_equal(getattr(rows, span), array[[int(number) for number in asked]])
    return True


def evaluation_set(draw, folder, model):
    name = draw(st.sampled_from(CLASSIFICATION_SETS))
    rows = rows_of(name, draw(st.integers(1, 3)))
    for _ in range({"whole": 0, "one": 1, "wild": 2}[draw(MOODS)]):
        row = draw(st.sampled_from(rows))
        field = draw(st.sampled_from(list(row)))
        change = draw(st.integers(0, 3))
        if change == 0:
            del row[field]
            row["extra"] = 1
        else:
            row[field] = draw(values() | st.sampled_from([0, 1, "1", "01", " 1", True, 1.0, "1_0"]))
    content = bytes_of(draw, "".join(json.dumps(row) + "\n" for row in rows).encode())
    path = folder / "sets" / FILES[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = accepted(lambda: read_sets([name], str(folder / "sets"), {}, []), path.name)
    path.unlink()
    if found is not None:
        given = json_lines(content)
        assert len(found[name].rows) == len(given)
        for at, (row, raw) in enumerate(zip(found[name].rows, given, strict=True)):
            assert row["doc_id"] == str(at)
            check_fields({k: v for k, v in row.items() if k != "doc_id"}, raw)
    return found is not None


def check_fields(made, raw):
    """Each field is the file's own; only a label may be digits there and a number here."""
    assert isinstance(raw, dict)
    for name, value in made.items():
        given = raw[name]
        if isinstance(value, list | dict) and isinstance(given, str):
            given = json.loads(given)
        if isinstance(value, dict):
            check_fields(value, given)
        elif type(value) is type(given):
            assert value == given
        else:
            assert {type(value), type(given)} == {int, str}
            assert str(given).lstrip("-").isascii()
            assert int(given) == int(value)
            assert not isinstance(given, str) or given.strip("-0123456789") == ""
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def dialogue(draw, folder, model):
    mood = draw(MOODS)
    turns = st.lists(texts().map("a{}".format), min_size=2, max_size=4)
    rows = draw(st.dictionaries(st.sampled_from("0123"), turns, min_size=1, max_size=3))
    if mood != "whole":
        rows[draw(texts())] = draw(st.lists(values(), max_size=4) | values())
    whole = {"text": rows}
    if mood == "wild":
        whole = draw(st.sampled_from([whole, rows, [rows], {"text": list(rows)}]))
    content = bytes_of(draw, json.dumps(whole).encode())
    path = folder / "dialogue.json"
    path.write_bytes(content)
    found = accepted(lambda: read_dialogue_file(path), path.name)
    if found is None:
        return False
    given = json.loads(content.removeprefix(b"\xef\xbb\xbf"))["text"]
    assert {row["doc_id"]: row["turns"] for row in found} == given
    assert len(found) == len(given) > 0
    for row in found:
        assert len(row["turns"]) >= 2
        assert row["turns"][-1].strip()
        assert all(isinstance(turn, str) for turn in row["turns"])
        "".join(row["turns"]).encode()
    return True


def text_file(draw, folder, model):
    kind = draw(st.sampled_from([".txt", ".jsonl", ".csv"]))
    cells = draw(st.sampled_from([texts(), texts(), values()]))
    documents = draw(st.lists(cells, min_size=1, max_size=4))
    if kind == ".jsonl":
        made = "".join(json.dumps({"text": text}) + "\n" for text in documents)
    else:
        made = "text\n" * (kind == ".csv") + "\n\n".join(map(str, documents))
    content = bytes_of(draw, made.encode("utf-8", "replace"))
    path = folder / f"text{kind}"
    path.write_bytes(content)
    found = accepted(lambda: read_texts({"own": str(path)}), path.name)
    if found is None:
        return False
    assert found["own"]
    assert all(text.strip() for text in found["own"])
    "".join(found["own"]).encode()
    plain = content.removeprefix(b"\xef\xbb\xbf").decode()
    if kind == ".txt":
        assert found["own"] == (plain.replace("\r\n", "\n").replace("\r", "\n"),)
    elif kind == ".jsonl":
        given = [row["text"] for row in json_lines(content)]
        assert list(found["own"]) == [text for text in given if text.strip()]
    return True


def refusals(draw, folder, model):
    lines = draw(st.lists(texts(), max_size=4))
    content = bytes_of(draw, "\n".join(lines).encode())
    path = folder / "refusals.txt"
    path.write_bytes(content)
    found = accepted(lambda: read_refusals(str(path), None), path.name)
    if found is not None:
        plain = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")
        given = [line.decode().strip() for line in plain.split(b"\n")]
        assert list(found) == [line for line in given if line]
        assert found
    return found is not None


def cache_entry(draw, folder, model):
    path = folder / "entry"
    content = draw(st.binary(max_size=60))
    write_entry(path, content)
    stored = path.read_bytes()
    path.write_bytes(draw(damaged(stored)))
    whole = path.read_bytes() == stored
    assert read_entry(path) == (content if whole else None)
    return whole


READERS = {
    check.__name__: check
    for check in (
        forget_jsonl,
        forget_csv,
        forget_parquet,
        forget_other_files,
        extraction,
        evaluation_set,
        dialogue,
        text_file,
        refusals,
        cache_entry,
    )
}


def fuzz(reader, folder, model, n_examples, derandomize):
    """Run one reader's check; that it saw files of both kinds is part of it."""
    taken = []

    @settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data):
        taken.append(READERS[reader](data.draw, folder, model))

    check()
    n_taken = sum(taken)
    print(f"{reader}: {n_taken} of {len(taken)} files taken")
    assert 0 < n_taken < len(taken) or (n_taken == 0 and reader == "forget_other_files")


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_in_one_line_or_takes_all(reader, tmp_path, model):
    fuzz(reader, tmp_path, model, 60, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_in_one_line_or_takes_all_of_thousands(reader, tmp_path, model):
    fuzz(reader, tmp_path, model, 4000, derandomize=False)
