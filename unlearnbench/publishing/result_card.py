"""The model card of a model that a run kept: what its result says, and what it does not."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.sequences import is_in_turn, requests_of
from unlearnbench.analysis.table import Column, Group, Note, Row, Table
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import without_folders
from unlearnbench.models.adapter_folder import is_adapter
from unlearnbench.models.source import weights_sha256
from unlearnbench.publishing.card_head import (
    NOT_CLAIMED,
    bullets,
    card_head,
    hub_id_of,
    synthetic_warning,
)
from unlearnbench.reading import results_of_run
from unlearnbench.registry import find
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Document, Findings, Listing
from unlearnbench.results.numbers import to_hand_out
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_TEMPLATE = """{head}
# {title}

{warning}{statement}

{tables}

{attacked}

## How it was made

{made}

{source}## How to make it again

```
{command}
```

The run may have had more options than these. A folder or file stands here by its own name; give its
path. All that can change a number is in the following; a cell with the same key (`{key}`) is
the same.

<details>

```json
{identity}
```

</details>

## Not claimed

{not_claimed}
"""
_HUB_DATA = re.compile(r"[A-Za-z0-9][\w.-]*/[\w-][\w.-]*")
_NO_ATTACK = (
    "It was not attacked: what relearning, quantisation or sampling brings back is not known "
    "(`unlearnbench attack`)."
)
_NO_RETRAINED = (
    "how near it came to a model that was retrained without the rows; none was measured beside it"
)
_ABILITIES = "abilities other than those that the table above measures"


def result_card(
    folder: Path,
    result: Result,
    references: Sequence[Result] = (),
    attacked: Sequence[Result] = (),
) -> str:
    """README.md with the hub's YAML head; no text of a row is in it.

    `folder` is the model's, `references` are results of the model before and of a retrained one,
    `attacked` those of all of them under attack.
    """
    of_table = [to_hand_out(one) for one in (*references, result, *attacked)]
    findings = results_of_run(folder, of_table).findings
    roles = {one.role for one in references}
    not_claimed = (*([] if "retrained" in roles else [_NO_RETRAINED]), *NOT_CLAIMED, _ABILITIES)
    name = f"{result.model.name.rpartition('/')[2]}-{result.method.name.replace('+', '-')}"
    base = result.model.name if hub_id_of(result.model.name) else result.model.location
    return _TEMPLATE.format(
        head=card_head(
            name,
            base,
            list(evaluations(result)),
            datasets=_datasets(result),
            is_adapter=is_adapter(folder),
        ),
        title=name,
        warning=synthetic_warning(result.model.is_synthetic),
        statement=statement(result, findings.table),
        tables=_markdown(findings, scores(findings, result)),
        attacked=_attacked(findings, bool(attacked)),
        made=bullets(
            [*_made(result), f"Model after: the same digest, `{weights_sha256(folder)}`."]
        ),
        source=_source(result.method.name),
        command=command(result),
        key=result.key,
        identity=json.dumps(without_folders(result.identity), indent=1, ensure_ascii=False),
        not_claimed=bullets(not_claimed),
    )


def statement(result: Result, table: Table) -> str:
    """Whether the stop line was reached, with the numbers; it claims no more."""
    assert result.trace is not None
    columns, end = printing.row_columns(table), result.trace.epochs[-1].metrics
    stop, n = result.stop, len(result.forget_set.doc_ids)
    line = f" {stop.rule} ".join(
        printing.threshold(columns[name], value)
        for name, value in (("el10", stop.el), ("ma", stop.ma))
    )
    basis = (
        "Jang et al.'s numbers"
        if stop.source == "paper"
        else f"measured on {stop.n_unseen} rows that the model before unlearning never saw"
    )
    measured = {"el10": end.get("el"), "ma": end.get("ma")}
    values = ", ".join(
        f"{printing.header(columns[name])} {printing.stored(columns[name], value)}"
        for name, value in measured.items()
        if value is not None
    )
    verdict = (
        "**It reached the stop line**"
        if result.trace.outcome == "forgotten"
        else "**It did not reach the stop line, so by this measure the rows are not forgotten**"
    )
    epochs = f"{result.trace.n_epochs} epoch{'' if result.trace.n_epochs == 1 else 's'}"
    return (
        f"`{result.model.name}` after unlearning {n} row{'' if n == 1 else 's'} of the forget set "
        f"`{result.forget_set.name}` with {result.method.label}, {epochs}. {verdict} ({line}; "
        f"{basis}). Means over the rows at the end: {values}. This is no proof that nothing of the "
        "rows can be had from the model."
    )


def evaluations(result: Result) -> "Iterator[EvalResult]":
    """Each score as the hub lists evaluations, in printed units; what is not finite is left out."""
    from huggingface_hub import EvalResult

    for metric in result.metrics:
        score = result.scores.get(metric.task, {}).get(metric.name)
        if score is None or not math.isfinite(score.value):
            continue
        is_of_rows = metric.documents == "rows"
        yield EvalResult(
            task_type="text-generation",
            # The library puts all of a type under the name of the first.
            dataset_type="forget-set" if is_of_rows else metric.task,
            dataset_name=result.forget_set.name if is_of_rows else metric.task,
            metric_type=metric.name,
            metric_name=metric.label,
            metric_args={"n": score.n},
            metric_value=score.value * metric.scale,
        )


def scores(findings: Findings, result: Result) -> Listing:
    """Every measured metric: the model before, this one, and a retrained one if there is one."""
    table = findings.table
    group = next(g for g in table.groups for row in g.rows if _is_of(row, result))
    own = next(row for row in group.rows if _is_of(row, result))
    roles = (("before", "before"), ("retrained", "retrained without the rows"))
    rows = [(title, row) for role, title in roles for row in group.rows if row.role == role]
    rows.insert(1 if rows and rows[0][0] == "before" else 0, ("after", own))
    columns = [c for c in (*table.metric_columns, *table.other_columns) if c.name in own.cells]
    has_interval = [any(group.interval(row, c) != "–" for c in columns) for _, row in rows]
    heads, lines = [""], [[printing.header(column)] for column in columns]
    for (title, row), has in zip(rows, has_interval, strict=True):
        heads += [title, *(["95% interval"] if has else [])]
        for line, column in zip(lines, columns, strict=True):
            line += _values(group, row, column, has)
    capped = group.cap is not None and any(column.capped for column in columns)
    cap = f" A perplexity above {group.cap:g} is printed >{group.cap:g}." if capped else ""
    over = " Intervals: over documents." if any(has_interval) else ""
    note = Note("scores", f"↑ higher is better, ↓ lower.{over}{cap}")
    return Listing(
        "scores", "Scores", tuple(heads), tuple(tuple(line) for line in lines), 1, (note,)
    )


def command(result: Result) -> str:
    """The run that asks for this cell, as far as its record says."""
    words = ["unlearnbench", "run", "--model", result.model.name]
    if result.model.revision and hub_id_of(result.model.name):
        words += ["--revision", result.model.revision]
    if result.benchmark is not None:
        words += ["--benchmark", result.benchmark.name, "--split", result.benchmark.split]
    else:
        source = result.forget_set.name  # 'nano/forget_0': with the file of the run
        words += ["--forget-set", source.rpartition("/")[0] or source]
        words += (
            ["--sequence", ",".join(requests_of(result))]
            if is_in_turn(result)
            else ["--runs", result.forget_set.run]
        )
    limit = (result.identity.get("forget_set") or {}).get("limit")
    words += ["--limit", f"{limit}"] if limit is not None else []
    words += ["--methods", result.method.name, "--seeds", f"{result.seed}"]
    words += ["--protocol", result.protocol_name] if result.protocol_name != "paper" else []
    for name, value in _chosen(result):
        words += ["--set", f"{name}={value}"]
    return shlex.join([*words, "--save-models"])


def _chosen(result: Result) -> Iterator[tuple[str, str]]:
    """The settings that are no defaults, as --set names them."""
    from unlearnbench.experiments.wrapped import setting_place

    try:
        method = find("methods", result.method.name)
    except UserError:  # a plugin that is not here
        method = None
    for name in result.method.origins:
        place = setting_place(method, name) if method else f"{result.method.name}.{name}"
        yield place, _value(result.method.settings.get(name))


def _made(result: Result) -> Iterator[str]:
    model, method, rows = result.model, result.method, result.forget_set
    settings = ", ".join(f"{n} = {_value(v)}" for n, v in method.settings.items() if n != "seed")
    revision = f", revision `{model.revision}`" if model.revision else ""
    yield (
        f"Model before: `{model.name}`{revision}, {model.architecture}, {model.n_parameters:,} "
        f"parameters, SHA-256 of weights, configuration and tokenizer `{model.weights_sha256}`."
    )
    yield f"Method: {method.label}, seed {result.seed}; {settings}."
    chosen = [f"{name} from {origin}" for name, origin in method.origins.items()]
    if chosen:
        yield f"Settings that are no defaults: {', '.join(map(_value, chosen))}."
    yield (
        f"Forget set: `{rows.name}`, run {rows.run}, {len(rows.doc_ids)} rows, digest "
        f"`{rows.content_sha256}`. The rows are not published here."
    )
    if (benchmark := result.benchmark) is not None:
        licence = f"; licence of its data: {benchmark.licence}" if benchmark.licence else ""
        yield f"Benchmark: {benchmark.title}, split {benchmark.split}{licence}."
    yield f"Protocol: {result.protocol_name}; {model.dtype} on {model.device}."
    packages = result.environment.packages
    named = [f"{name} {packages[name]}" for name in ("torch", "transformers") if name in packages]
    version = packages.get("unlearnbench", "")
    yield f"Software: {', '.join([f'unlearnbench {version}'.strip(), *named])}."


def _source(method: str) -> str:
    try:
        plugin: Any = find("methods", method)
    except UserError:
        return ""
    source, citation = getattr(plugin, "source", ""), getattr(plugin, "citation", "")
    parts = [f"Source of the method: {source}"] if source else []
    parts += [f"```bibtex\n{citation.strip()}\n```"] if citation else []
    return "".join(f"{part}\n\n" for part in parts)


def _attacked(findings: Findings, was_attacked: bool) -> str:
    if not was_attacked:
        return _NO_ATTACK
    from unlearnbench.reporting.sections import section

    made = (block for block in section("attacks")(findings) if type(block) is Listing)
    return _markdown(findings, *made) or _NO_ATTACK


def _markdown(findings: Findings, *blocks: Listing) -> str:
    page: str = find("reports", "markdown")().render(Document("", blocks, findings))
    return re.sub("^###", "##", page.strip(), flags=re.M)


def _values(group: Group, row: Row, column: Column, has_interval: bool) -> list[str]:
    value = group.text(row, column)
    return [value, group.interval(row, column)] if has_interval else [value]


def _is_of(row: Row, result: Result) -> bool:
    return any(run.key == result.key for run in row.runs)


def _datasets(result: Result) -> list[str]:
    """The hub's data sets among what a benchmark's splits were read from."""
    splits = result.benchmark.splits.values() if result.benchmark else ()
    sources = dict.fromkeys(split.source.removeprefix("hf:").partition(":")[0] for split in splits)
    return [source for source in sources if _HUB_DATA.fullmatch(source)]


def _value(value: Any) -> str:
    shown = without_folders(value)
    return ",".join(map(str, shown)) if isinstance(shown, list | tuple) else format_value(shown)
