"""How the authors made the printed values, and in what one's own run departs from that.

The protocol's settings are those of SPEC section 3: the lines in which the paper and its released
code differ.  The printed values come from that code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.footnotes import listed, span
from unlearnbench.analysis.table import EPOCHS, PAPER_COLUMNS, S_M, S_Z, SCORE_NAMES, Row
from unlearnbench.protocol import LARGE, RELEASED
from unlearnbench.reporting.published.matching import Beside
from unlearnbench.reporting.published.printed import MEAN

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Findings

N_ROWS, N_SETS = 128, 5
STOP_EL, STOP_MA = 0.0499, 0.5994
CAP = 1000.0  # of perplexity in the printed s_z and s_m; the released code knows of none
LEARNING_RATE = 5e-6  # for every size; the released code takes 2e-6 above 10^9 parameters
BATCH_SIZES = {"125M": 8}
BATCH_SIZE = 4  # of all other sizes
DTYPES = {"1.3B": "bfloat16", "2.7B": "bfloat16"}  # of the others the paper names none
MODELS = {"neo": "GPT-Neo", "tinyllama": "TinyLlama"}
METHODS = ("kumpr", "kl", "dpo", "llmu", "icu")

_CONTINUATIONS = ("bertscore_f1", "entropy", "gpt", "human")
_TASKS = ("cls_avg", "dia_avg", "pile_ppl", "wikitext_ppl")
_LABELS = {c.name: c.label.partition(" (")[0] for c in (*PAPER_COLUMNS, EPOCHS, S_Z, S_M)}


class Touch(NamedTuple):
    """The columns that a setting measures otherwise, and the methods that train otherwise by it.

    Whatever changes training or its end changes every column of that method's row.
    """

    columns: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


TOUCHES: Mapping[str, Touch] = {
    "sequence": Touch(("el10", "ma", *_CONTINUATIONS), METHODS),
    "loss_span": Touch(methods=METHODS),
    "loss_reduction": Touch(methods=METHODS),
    "kl_term": Touch(methods=("kl", "llmu", "icu")),
    "forgotten_rule": Touch(methods=("icu",)),
    "stop_rule": Touch(methods=("dpo",)),
    "ma_threshold": Touch(methods=("kumpr",)),
    "el_positions": Touch(("el10",), METHODS),  # the stop line is an EL, too
    "el_denominator": Touch(("el10",), METHODS),
    "continuation": Touch(_CONTINUATIONS, ("icu",)),  # its refinement reads continuations
    "dpo_loss": Touch(methods=("dpo",)),
    "llmu_mismatch": Touch(methods=("llmu",)),
    "large_model_learning_rate": Touch(methods=METHODS),  # of models over 10^9 parameters
    "neighbour_metric": Touch(),  # ranks neighbours alike
    "pad_tokens": Touch(("el10", "ma"), METHODS),
    "task_prompts": Touch(("cls_avg",)),
    "perplexity_cap": Touch(SCORE_NAMES),
}


@dataclass(frozen=True)
class Departure:
    """Something in which a run is not as the one that made the printed values."""

    name: str  # of a setting, or what it is: 'forget sets'
    own: str
    printed: str
    touches: str  # columns of all rows, labels of rows in all their columns


def departures(beside: Beside, findings: "Findings") -> Iterator[Departure]:
    """Everything in which a group departs, the models first."""
    if beside.stands_in:
        printed = f"{MODELS[beside.model]} {beside.size}"
        yield Departure("model", beside.group.name, printed, "everything")
    yield from _of_protocol(beside)
    yield from _of_data(beside, findings)
    yield from _of_settings(beside)


def _of_protocol(beside: Beside) -> Iterator[Departure]:
    own = beside.group.protocol
    # Without printed scores there is nothing that a cap could touch.
    scored = set(SCORE_NAMES) & set(beside.table.columns)
    cap = CAP if scored else own.get("perplexity_cap")
    is_large = (beside.group.n_parameters or 0) >= LARGE
    for name, printed in {**vars(RELEASED), "perplexity_cap": cap}.items():
        touch = TOUCHES[name]
        if name not in own or own[name] == printed:
            continue
        if name == "large_model_learning_rate" and not is_large:
            continue
        if name == "stop_rule" and own[name] == "or":  # which is what DPO's authors have
            touch = Touch(methods=tuple(m for m in METHODS if m != "dpo"))
        touches = _touched(touch, beside)
        if touches or touch == Touch():  # else it is of methods or columns that do not stand here
            here, there = ("none" if v is None else format_value(v) for v in (own[name], printed))
            yield Departure(name, here, there, touches or "nothing")


def _of_data(beside: Beside, findings: "Findings") -> Iterator[Departure]:
    """Stop line, forget sets, limits, dtype and judge."""
    group, every = beside.group, Touch(methods=METHODS)
    lines = [s for row in _methods(beside) for s in row.stops if s.source != "paper"]
    if lines:
        el, ma = (span(f"{getattr(s, name):.4f}" for s in lines) for name in ("el", "ma"))
        printed = f"EL10 < {STOP_EL}, MA < {STOP_MA}"
        yield Departure("stop line", f"EL10 < {el}, MA < {ma}", printed, _touched(every, beside))
    by_run = any(row.run != MEAN for row in beside.table.rows)
    sets = {run.content_sha256 for row in _methods(beside) for run in row.runs}
    if set(group.n_forget_rows) != {N_ROWS} or not (by_run or len(sets) in (0, N_SETS)):
        own, printed = f"{span(group.n_forget_rows)} rows", f"{N_ROWS} rows"
        if sets and not by_run:
            own, printed = f"{len(sets)} of {own}", f"{N_SETS} of {printed}"
        touch = Touch(("el10", "ma", *_CONTINUATIONS), METHODS)
        yield Departure("forget sets", own, printed, _touched(touch, beside))
    rows = [line.own for line in beside.matched if line.own]
    identities = [result.identity for row in rows for result in findings.results_of(row)]
    recorded = [(identity.get("tasks") or {}).get("limit") for identity in identities]
    if limits := [limit for limit in recorded if limit is not None]:
        touches = _touched(Touch(_TASKS), beside)
        yield Departure("documents per task", f"the first {span(limits)}", "all", touches)
    dtype = DTYPES.get(beside.size)
    if group.dtype not in ("", dtype or "float32"):
        yield Departure("dtype", group.dtype, dtype or "not named", "every column, a little")
    if any("gpt" in row.cells for row in rows):
        yield Departure("judge", "another, or a rule", "GPT-4", "GPT")


def _of_settings(beside: Beside) -> Iterator[Departure]:
    """The methods' hyper-parameters, those of equal value together."""
    rows_of: dict[tuple[str, str, str], dict[str, None]] = {}
    for line in beside.matched:
        if line.own is None or line.printed is None or line.own.role != "method":
            continue
        row, limit = line.own, line.own.settings.get("max_epochs")
        expected = {
            "learning_rate": LEARNING_RATE,
            "batch_size": BATCH_SIZES.get(beside.size, BATCH_SIZE),
            **beside.table.weights_of(row.method),
        }
        facts = []
        for name, value in expected.items():
            if name not in beside.table.varied and row.settings.get(name, value) != value:
                tuned = row.origins.get(name, "").startswith("tuned")
                own = format_value(row.settings[name]) + (" (tuned)" if tuned else "")
                facts.append((name, own, format_value(value)))
        # Plain Adam till the line or the limit, which a schedule leaves.
        facts += [(name, format_value(v), "as by default") for name, v in row.schedule.items()]
        epochs = line.printed.values.get(EPOCHS.name)
        if limit is not None and epochs is not None and limit < float(epochs):
            facts.append(("max_epochs", str(limit), f"ran {epochs}"))
        for fact in facts:
            rows_of.setdefault(fact, {})[row.label] = None
    for fact, labels in sorted(rows_of.items(), key=lambda item: item[0][0]):
        yield Departure(*fact, listed(labels))


def _touched(touch: Touch, beside: Beside) -> str:
    """'EL10, MA; all methods' rows': columns of every row, then rows in every column."""
    rows = dict.fromkeys(row.label for row in _methods(beside) if row.method in touch.methods)
    parts = [listed(_LABELS.get(n, n.capitalize()) for n in touch.columns
                    if n in beside.table.columns)]  # fmt: skip
    every = set(touch.methods) >= set(METHODS)
    parts.append("every method's row" if rows and every else listed(rows))
    return "; ".join(filter(None, parts))


def _methods(beside: Beside) -> list[Row]:
    return [line.own for line in beside.matched if line.own and line.own.role == "method"]
