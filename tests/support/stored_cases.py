"""Results with every long part filled, and ways to spoil a result file, for several tests."""

import gzip
import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from unlearnbench.results.files import written
from unlearnbench.results.record import (
    Environment,
    EpochRecord,
    ForgetSetRecord,
    MethodRecord,
    ModelRecord,
    Result,
    RowRecord,
    StopRecord,
    UnlearnTrace,
    key_of,
)
from unlearnbench.results.score import Metric, Score


def full_result(
    seed=0, started_at="2026-01-01T00:00:00+00:00", label="ICU", unknown=math.inf
) -> Result:
    """A method's result with texts, outcomes, outputs and rows; its numbers depend on the seed."""
    identity = {
        "method": {"name": "icu", "settings": {"alpha": 0.5, "caps": [1, None]}},
        "software": {"packages": {f"package-{i}": "1.0" for i in range(9)}},
        "seed": seed,
    }
    doc_ids = ["3", "ä\t7"]
    row = RowRecord(
        doc_id="3",
        el=unknown,
        ma=0.1 + seed,
        bertscore_f1=0.3,
        bleu=5e-324,
        entropy=1 / 3,
        forgotten=True,
        continuation="tab\tline\nend\u2028 é",
    )
    return Result(
        key=key_of(identity),
        identity=identity,
        status="ok",
        role="method",
        group="m",
        label=label,
        model=ModelRecord(
            name="m",
            location="m",
            revision=None,
            weights_sha256="0" * 64,
            architecture="GPTNeoForCausalLM",
            n_parameters=10,
            dtype="float32",
            device="cpu",
        ),
        method=MethodRecord(name="icu", label="ICU", settings={"alpha": 0.5, "caps": [1, None]}),
        forget_set=ForgetSetRecord(
            name="f",
            run="0",
            content_sha256="1" * 64,
            doc_ids=doc_ids,
            prefixes=dict.fromkeys(doc_ids, "before"),
            suffixes=dict.fromkeys(doc_ids, "after"),
        ),
        protocol_name="paper",
        protocol={"perplexity_cap": 1000.0},
        stop=StopRecord(source="paper", el=0.05, ma=unknown),
        seed=seed,
        metrics=[Metric(name="ma", task="t", label="MA (%)", higher_is_better=False)],
        scores={
            "t": {
                "ma": Score(
                    value=0.1 + seed,
                    n=2,
                    higher_is_better=False,
                    documents={"3": 0.1 + seed, "ä\t7": math.inf},
                    outputs={"3": "yes"},
                ),
                "bare": Score(value=unknown, n=0, higher_is_better=True),
            }
        },
        trace=UnlearnTrace(
            outcome="forgotten",
            n_epochs=1,
            epochs=[EpochRecord(epoch=e, metrics={"ma": 0.5}, rows=[row] * e) for e in (0, 1)],
        ),
        continuations={"3": "tab\tline\nend\u2028 é"},
        costs={},
        environment=Environment(python="3", platform="x", packages={}, n_threads=1),
        started_at=started_at,
        seconds=1.0,
    )


class Files(NamedTuple):
    """The two files of a result, with digests that fit."""

    header: bytes
    documents: bytes

    def put(self, cells: Path, name: str) -> Path:
        """Write both into a folder of results; the header's path."""
        digest = hashlib.sha256(self.documents).hexdigest()
        cells.mkdir(parents=True, exist_ok=True)
        (cells / f"{name}.{digest[:12]}.documents.jsonl.gz").write_bytes(self.documents)
        (cells / f"{name}.json").write_bytes(self.header)
        return cells / f"{name}.json"


def parts_of(result: Result) -> tuple[dict[str, Any], list[Any]]:
    """The header of a result without its digests, and the lines of its documents."""
    files = written(result)
    header = json.loads(files.header)
    del header["header_sha256"], header["documents_sha256"]
    return header, [json.loads(line) for line in gzip.decompress(files.documents).split(b"\n")]


def sealed(header: str, lines: list[str]) -> Files:
    """Files of a header's JSON and lines of JSON, which may be of any shape."""
    documents = gzip.compress("\n".join(lines).encode("utf-8", "surrogatepass"), mtime=0)
    return sealed_over(documents, header)


def sealed_over(documents: bytes, header: str | None = None) -> Files:
    """Files with those documents, whatever they are, and digests that fit."""
    if header is None:
        header = json.dumps(parts_of(full_result(seed=9))[0])
    digest = hashlib.sha256(documents).hexdigest()
    inner = header.encode("utf-8", "surrogatepass").strip().removeprefix(b"{").lstrip()
    body = f' "documents_sha256": "{digest}",\n'.encode() + inner
    seal = hashlib.sha256(body).hexdigest()
    return Files(f'{{\n "header_sha256": "{seal}",\n'.encode() + body, documents)


def edited(*place, value, line: int | None = None) -> Files:
    """A result's files with one value changed, of the header or of a line of the documents."""
    raw, lines = parts_of(full_result(seed=9))
    part = raw if line is None else lines[line]
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return sealed(json.dumps(raw), list(map(json.dumps, lines)))


def without(*place, line: int | None = None) -> Files:
    """A result's files that lack a field."""
    raw, lines = parts_of(full_result(seed=9))
    part = raw if line is None else lines[line]
    for step in place[:-1]:
        part = part[step]
    del part[place[-1]]
    return sealed(json.dumps(raw), list(map(json.dumps, lines)))


WHOLE = edited("label", value="ICU")


def instead(content: bytes) -> Files:
    """Something else in a header's place, the documents beside it."""
    return Files(content, WHOLE.documents)


SCORE = ("scores", "t", "ma")
OUTCOMES, TEXTS, EPOCH = 0, 1, 3  # lines of the documents
#: What a file may hold instead of a result, and a part of the reason that must be given.
SPOILT = {
    "empty": (instead(b""), "the file is empty"),
    "zeros": (instead(b"\0" * 4096), "damaged"),
    "white space": (instead(b" \n"), "damaged"),
    "not JSON": (instead(b"key = 1\n"), "damaged"),
    "not UTF-8": (instead(b"\xff\xfe\x00"), "damaged"),
    "not UTF-8 in a text": (instead(WHOLE.header.replace(b'"ICU"', b'"\xe9"', 1)), "damaged"),
    "two results": (instead(WHOLE.header * 2), "damaged: trailing characters"),
    "deeply nested": (instead(b"[" * 100_000), "recursion"),
    "deeply nested part": (edited("identity", value={"a": json.loads("[" * 190 + "]" * 190)}), ""),
    "a list": (instead(b"[1, 2]"), "holds a list"),
    "a number": (instead(b"4"), "holds a number"),
    "NaN": (instead(b"NaN"), "holds a number"),
    "a text": (instead(b'"x"'), "holds a text"),
    "null": (instead(b"null"), "holds null"),
    "true": (instead(b"true"), "holds true"),
    "nothing": (instead(b"{}"), "no schema_version"),
    "JSON of something else": (instead(b'{"name": "package", "version": 1}'), "no schema_version"),
    "older": (edited("schema_version", value=0), "schema version 0 of an older"),
    "newer": (edited("schema_version", value=3), "schema version 3 of a newer"),
    "version of another kind": (edited("schema_version", value="1"), "schema_version is '1'"),
    "version true": (edited("schema_version", value=True), "schema_version is True"),
    "only a version": (instead(b'{"schema_version": 2}'), "its content is not that of its digest"),
    "only an older version": (instead(b'{"schema_version": 1}'), "damaged: 'scores'"),
    "edited": (instead(WHOLE.header.replace(b"ICU", b"KUMPR", 1)), "not that of its digest"),
    "missing field": (without("seed"), "seed: Field required"),
    "missing field in a part": (without("model", "dtype"), "model.dtype: Field required"),
    "missing value": (without(*SCORE, "value"), "scores.t.ma.value: Field required"),
    "missing in the trace": (without(0, "ma", line=EPOCH), "trace.epochs.1.rows.0.ma"),
    "unknown field": (edited("extra", value=1), "extra: Extra inputs"),
    "unknown field of a score": (edited(*SCORE, "extra", value=1), "scores.t.ma.extra"),
    "unknown field of a row": (edited(0, "extra", value=1, line=EPOCH), "rows.0.extra"),
    "a text for a number": (edited("seconds", value="1.0"), "seconds: Input should be"),
    "a text for a score": (edited(*SCORE, "value", value="0.5"), "scores.t.ma.value"),
    "null for a score": (edited(*SCORE, "value", value=None), "scores.t.ma.value"),
    "a text in the outcomes": (edited("t", "ma", "3", value="x", line=OUTCOMES), "documents.3"),
    "a number for a text": (edited(0, "continuation", value=1, line=EPOCH), "rows.0.continuation"),
    "a list for a part": (edited("model", value=[]), "model: Input should be"),
    "unknown status": (edited("status", value="fine"), "status: Input should be"),
    "NaN where none can be": (edited("seed", value=math.nan), "seed: Input should be"),
    "infinity where none can be": (edited(*SCORE, "n", value=math.inf), "scores.t.ma.n"),
    "a huge number": (edited("model", "n_parameters", value=10**400), "model.n_parameters"),
    "a huge score": (edited(*SCORE, "value", value=10**400), "scores.t.ma.value"),
    "endless digits": (instead(b'{"schema_version": ' + b"9" * 5000 + b"}"), "damaged"),
    "another key": (edited("key", value="0" * 64), "the key is not that of its content"),
    "another identity": (edited("identity", "seed", value=8), "the key is not that"),
    "documents that do not decompress": (
        sealed_over(WHOLE.documents[:10] + b"\xff" * 40),
        "do not fit it: Error -3",
    ),
    "no documents": (WHOLE._replace(documents=b""), "its documents cannot be read"),
    "outcomes of another score": (
        edited("u", value={"x": {}}, line=OUTCOMES),
        "do not fit it: 'u'",
    ),
    "no texts": (without("prefixes", line=TEXTS), "do not fit it: 'prefixes'"),
    "a number for a prefix": (edited("prefixes", "3", value=1, line=TEXTS), "prefixes.3"),
}


def make_result(version="1", started_at="2026-01-01T00:00:00+00:00", value=0.5, **identity):
    parts = {"method": {"name": "icu"}, "software": {"packages": version}, **identity}
    return Result(
        key=key_of(parts),
        identity=parts,
        status="ok",
        role="method",
        group="m",
        label="ICU",
        model=ModelRecord(
            name="m",
            location="m",
            revision=None,
            weights_sha256="0" * 64,
            architecture="GPTNeoForCausalLM",
            n_parameters=10,
            dtype="float32",
            device="cpu",
        ),
        method=MethodRecord(name="icu", label="ICU", settings={"alpha": 0.5}),
        forget_set=ForgetSetRecord(name="f", run="0", content_sha256="1" * 64, doc_ids=["3"]),
        protocol_name="paper",
        protocol={},
        stop=StopRecord(source="paper", el=0.05, ma=0.6),
        seed=parts.get("seed", 42),
        metrics=[],
        scores={"t": {"m": Score(value=value, n=1, higher_is_better=True)}},
        costs={},
        environment=Environment(python="3", platform="x", packages={}, n_threads=1),
        started_at=started_at,
        seconds=1.0,
    )
