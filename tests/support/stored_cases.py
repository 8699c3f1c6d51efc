"""Results with every long part filled, and ways to spoil a result file, for several tests."""

import json
import math

from unlearnbench.results.identity import key_of
from unlearnbench.results.record import (
    Environment,
    ForgetSetRecord,
    MethodRecord,
    ModelRecord,
    Result,
    StopRecord,
)
from unlearnbench.results.score import Metric, Score
from unlearnbench.results.trace import EpochRecord, RowRecord, UnlearnTrace


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
        costs={},
        environment=Environment(python="3", platform="x", packages={}, n_threads=1),
        started_at=started_at,
        seconds=1.0,
    )


def edited(*place, value) -> bytes:
    """A result file with one value of it changed."""
    raw = json.loads(full_result(seed=9).model_dump_json())
    part = raw
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return json.dumps(raw).encode()


def without(*place) -> bytes:
    """A result file that lacks a field."""
    raw = json.loads(edited("label", value="ICU"))
    part = raw
    for step in place[:-1]:
        part = part[step]
    del part[place[-1]]
    return json.dumps(raw).encode()


WHOLE = edited("label", value="ICU")
SCORE = ("scores", "t", "ma")
ROW = ("trace", "epochs", 1, "rows", 0)
#: What a file may hold instead of a result, and a part of the reason that must be given.
SPOILT = {
    "empty": (b"", "the file is empty"),
    "zeros": (b"\0" * 4096, "damaged"),
    "white space": (b" \n", "damaged"),
    "not JSON": (b"key = 1\n", "damaged"),
    "not UTF-8": (b"\xff\xfe\x00", "damaged"),
    "not UTF-8 in a text": (WHOLE.replace(b'"ICU"', b'"\xe9"', 1), "damaged"),
    "two results": (WHOLE + WHOLE, "damaged: trailing characters"),
    "deeply nested": (b"[" * 100_000, "recursion"),
    "deeply nested part": (edited("identity", value={"a": json.loads("[" * 190 + "]" * 190)}), ""),
    "a list": (b"[1, 2]", "holds a list"),
    "a number": (b"4", "holds a number"),
    "NaN": (b"NaN", "holds a number"),
    "a text": (b'"x"', "holds a text"),
    "null": (b"null", "holds null"),
    "true": (b"true", "holds true"),
    "nothing": (b"{}", "no schema_version"),
    "JSON of something else": (b'{"name": "package", "version": 1}', "no schema_version"),
    "older": (edited("schema_version", value=0), "schema version 0 of an older"),
    "newer": (edited("schema_version", value=2), "schema version 2 of a newer"),
    "version of another kind": (edited("schema_version", value="1"), "schema_version is '1'"),
    "version true": (edited("schema_version", value=True), "schema_version is True"),
    "only a version": (b'{"schema_version": 1}', "not a result: key"),
    "missing field": (without("seed"), "seed: Field required"),
    "missing field in a part": (without("model", "dtype"), "model.dtype: Field required"),
    "missing value": (without(*SCORE, "value"), "scores.t.ma.value: Field required"),
    "missing in the trace": (without(*ROW, "ma"), "trace.epochs.1.rows.0.ma"),
    "unknown field": (edited("extra", value=1), "extra: Extra inputs"),
    "unknown field of a score": (edited(*SCORE, "extra", value=1), "scores.t.ma.extra"),
    "unknown field of a row": (edited(*ROW, "extra", value=1), "rows.0.extra"),
    "a text for a number": (edited("seconds", value="1.0"), "seconds: Input should be"),
    "a text for a score": (edited(*SCORE, "value", value="0.5"), "scores.t.ma.value"),
    "null for a score": (edited(*SCORE, "value", value=None), "scores.t.ma.value"),
    "a text in the outcomes": (edited(*SCORE, "documents", "3", value="x"), "documents.3"),
    "a number for a text": (edited(*ROW, "continuation", value=1), "rows.0.continuation"),
    "a list for a part": (edited("model", value=[]), "model: Input should be"),
    "unknown status": (edited("status", value="fine"), "status: Input should be"),
    "NaN where none can be": (edited("seed", value=math.nan), "seed: Input should be"),
    "infinity where none can be": (edited(*SCORE, "n", value=math.inf), "scores.t.ma.n"),
    "a huge number": (edited("model", "n_parameters", value=10**400), "64 bits"),
    "a huge score": (edited(*SCORE, "value", value=10**400), "scores.t.ma.value"),
    "a huge count": (edited(*SCORE, "n", value=2**63), "64 bits"),
    "endless digits": (b'{"schema_version": ' + b"9" * 5000 + b"}", "damaged"),
    "a cap that is none": (edited("protocol", "perplexity_cap", value=[1]), "perplexity_cap"),
    "another key": (edited("key", value="0" * 64), "the key is not that of its content"),
    "another identity": (edited("identity", "seed", value=8), "the key is not that"),
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
