"""The definition of a benchmark: a TOML file that says what is forgotten, kept and measured."""

import importlib
import tomllib
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from unlearnbench.data.items import SplitRole
from unlearnbench.errors import UserError, unknown
from unlearnbench.files.named_toml import read_named_toml

GROUP = "unlearnbench.benchmarks"  # entry points that name packages with TOML files
SEE = "unlearnbench show benchmark"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class TableSource(_Part):
    """Where the rows of one table are; a folder given by --data comes first."""

    hub: str | None = Field(
        default=None, description="hf:owner/name[:config][:split][@revision], on the hub"
    )
    file: _Names = Field(
        default=(),
        description="what its file in a folder may be called beside its own name, without suffix: "
        "'verbmem/forget'",
    )
    first: int | None = Field(default=None, ge=1, description="so many of its rows alone")
    of: str | None = Field(default=None, description="a slice: another table's name")
    rows: tuple[int, int] | None = Field(
        default=None, description="of a slice: its first row, from 0, and the one after its last"
    )


_Table = Annotated[
    TableSource, BeforeValidator(lambda value: {"hub": value} if isinstance(value, str) else value)
]


class Fields(_Part):
    """What an item's parts are called in the rows of a table."""

    question: str = Field(default="question", description="'' for texts without a question")
    answer: str = Field(default="answer", description="or, of texts, the text")
    paraphrases: str = Field(default="", description="paraphrases of the answer: one, or a list")
    wrong: str = Field(
        default="",
        description="wrong answers, a list; of multiple choice all choices, where the answer "
        "is the right one's number from 0",
    )


class TemplatePart(_Part):
    """How a question and its answer become tokens; what a split leaves open is the benchmark's."""

    kind: Literal["auto", "chat", "plain"] | None = Field(
        default=None,
        description="chat: the tokenizer's own; plain: `prompt`; auto: chat if there is one",
    )
    prompt: str | None = Field(default=None, description="of the plain kind, with {question}")
    separator: str | None = Field(default=None, description="between plain prompt and answer")
    user: str | None = Field(
        default=None, description="of the chat kind, what the user says, with {question}"
    )
    system: str | None = Field(default=None, description="the chat's system message")
    date: str | None = Field(default=None, description="what a chat template takes for today")
    answer_prefix: str | None = Field(default=None, description="words put before the answer")
    example_end: str | None = Field(default=None, description="after each example, plain kind")
    together: bool | None = Field(
        default=None, description="tokenise question and answer as one text, as some peers do"
    )
    ends: bool | None = Field(default=None, description="end-of-sequence is part of the answer")


class ForgetPart(_Part):
    """One forget split: its tables by role, and the models that never saw its rows."""

    forget: str = Field(description="table of what is to be forgotten")
    where: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="of that table rows with these values of fields alone; splits may name them, "
        "as in where = { subject = '{subject}' }",
    )
    retain: str | None = Field(default=None, description="table of what is to be kept")
    holdout: str | None = Field(
        default=None, description="table of what no model saw, for membership scores"
    )
    retrained: str | None = Field(default=None, description="model trained without the forget rows")
    null: str | None = Field(default=None, description="the same with another seed")


class SplitPart(_Part):
    """One split that tasks measure."""

    role: SplitRole = Field(
        description="forget, retain, holdout (what no model saw) or general (what all know)"
    )
    table: str = Field(
        description="its table; {forget}, {retain}, {holdout} stand for those of the forget split"
    )
    measures: tuple[str, ...] = Field(description="what is measured of it: docs/benchmarks.md")
    where: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="rows with these values of fields alone, * for any text; '{subject}' is what "
        "the forget split's own `where` says of a subject, if anything",
    )
    optional: bool = Field(
        default=False, description="left out where the folder of --data has no file of its table"
    )
    fields: dict[str, str] = Field(
        default_factory=dict, description="names of fields that are not the benchmark's"
    )
    lm_eval: str | None = Field(
        default=None,
        description="of multiple choice: lm-eval's task that asks it; {forget} is the forget "
        "split's table, {subject} a row's field of that name",
    )
    template: TemplatePart = Field(default=TemplatePart())
    examples: str | None = Field(default=None, description="table of questions shown before")
    new_tokens: int = Field(default=200, ge=1, description="that a reply may have")
    cut: bool = Field(
        default=False, description="a reply is compared with the answer's first new_tokens alone"
    )
    stop: tuple[str, ...] = Field(default=(), description="texts at which a reply ends")
    first: int | None = Field(default=None, ge=1, description="so many of its rows alone")


class Definition(_Part):
    """A file of `benchmarks/`, or one of a user's own."""

    title: str = Field(description="of the report")
    summary: str = Field(description="what `unlearnbench list benchmarks` prints")
    source: str = Field(default="", description="the paper")
    licence: str = Field(default="", description="of its data")
    world: str | None = Field(default=None, description="synthetic world that its tables are of")
    default: tuple[str, ...] = Field(
        default=(), description="forget splits of a run that names none; default: all"
    )
    run: dict[str, Any] = Field(
        default_factory=dict, description="options of `unlearnbench run`, as in a --config file"
    )
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="settings by method; those under 'all' are for every method that has them",
    )
    fields: Fields = Field(default=Fields(), description="names of fields in the tables")
    template: TemplatePart = Field(default=TemplatePart(), description="of every split")
    chunk_tokens: int | None = Field(
        default=None,
        ge=2,
        description="texts to forget and to keep are cut into rows of so many tokens, BOS included",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=2,
        description="texts to forget and to keep end after so many tokens, BOS included",
    )
    tables: dict[str, _Table] = Field(
        default_factory=dict, description="by name: a hub data set, or a slice of another"
    )
    forget: dict[str, ForgetPart] = Field(
        default_factory=dict,
        description="the forget splits, by name; without any the forget sets are those of `run`",
    )
    splits: dict[str, SplitPart] = Field(
        default_factory=dict, description="what tasks measure, by the name metrics begin with"
    )
    columns: tuple[str, ...] = Field(default=(), description="of its table, in order")
    published: str | None = Field(default=None, description="board to lay beside: tofu, muse, uds")


@dataclass(frozen=True)
class Benchmark:
    """A definition with its name and the text it was read from."""

    name: str
    definition: Definition = field(hash=False)
    text: str


def shipped() -> dict[str, Path]:
    """The files of the benchmarks that come with installed packages, by name, ours first."""
    files: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.toml")):
            other = files.setdefault(path.stem, path)
            if other != path:
                raise UserError(
                    f"two benchmarks are called '{path.stem}': {other} and {path}; rename one"
                )
    return files


def _folders() -> Iterator[Path]:
    from importlib.metadata import entry_points

    modules = dict.fromkeys(["unlearnbench.benchmarks"])
    modules |= dict.fromkeys(point.module for point in entry_points(group=GROUP))
    for module in modules:
        try:
            file = importlib.import_module(module).__file__
        except Exception as error:  # somebody else's package may be broken
            warnings.warn(f"benchmarks of '{module}' are left out: {error}", stacklevel=2)
            continue
        if file is not None:
            yield Path(file).parent


def is_benchmark(name: str | Path) -> bool:
    """Whether this names a benchmark, and not some other source of forget sets."""
    if not isinstance(name, str | Path):
        return False  # and no source at all, as whoever opens it will say
    path = shipped().get(str(name)) or Path(name)
    return path.suffix == ".toml" and bool(find_benchmark(str(name)).definition.forget)


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name, or in that .toml file.

    Raises `UserError` naming the nearest if there is none, or what is wrong with the file.
    """
    path, text = read_named_toml("benchmark", name, shipped())
    return Benchmark(path.stem, parse_definition(text, path.name), text)


def check_splits(benchmark: Benchmark, asked: Sequence[str]) -> None:
    """Raise `UserError` for a forget split that a benchmark of such splits does not have."""
    known = benchmark.definition.forget
    for split in asked if known else ():
        if split not in known:
            of = f"forget split of benchmark {benchmark.name}"
            raise unknown(of, split, known, f"unlearnbench show {benchmark.name}")


def parse_definition(text: str, where: str) -> Definition:
    """The definition that a TOML text holds; raises `UserError` for a text that holds none."""
    try:
        definition = Definition.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _misfit(error, where) from error
    except (ValueError, RecursionError) as error:  # not TOML, or a number or nesting without end
        raise UserError(f"{where} is not TOML: {error}") from error
    _check_names(definition, where)
    return definition


def _check_names(definition: Definition, where: str) -> None:
    """Raise `UserError` for a table that is named and not there, or a slice without its rows."""

    def check(kind: str, name: str | None, known: Collection[str]) -> None:
        if name is not None and name not in known:
            raise unknown(kind, name, known, SEE)

    tables = definition.tables
    for name, table in tables.items():
        if (table.of is None) != (table.rows is None):
            raise UserError(
                f"{where}: tables.{name}: a slice needs both 'of' and 'rows'; see: {SEE}"
            )
        if table.rows is not None and not 0 <= table.rows[0] < table.rows[1]:
            raise UserError(
                f"{where}: tables.{name}.rows: {list(table.rows)} holds no row; a slice is its "
                "first row, from 0, and the one after its last"
            )
        check(f"table in {where}, tables.{name}.of", table.of, tables)
    _check_split_names(definition.splits, where)
    for split in definition.default:
        check(f"forget split in {where}", split, definition.forget)
    chosen = {name for part in definition.forget.values() for name in part.where}
    for own, each in definition.splits.items():
        for name in filter(None, map(_named_value, each.where.values())):
            check(f"field in {where}, splits.{own}.where: no forget split has a", name, chosen)
    for name, part in definition.forget.items():
        for role in (part.forget, part.retain, part.holdout):
            check(f"table in {where}, forget.{name}", role, tables)
        for own, each in definition.splits.items():
            place = f"{where}, splits.{own}"
            for key in each.fields:
                check(f"key in {place}.fields", key, Fields.model_fields)
            for named in filter(None, (each.table, each.examples)):
                check(f"table in {place}", table_of(named, part, place), tables)


def _check_split_names(splits: Collection[str], where: str) -> None:
    """Raise `UserError` for a split whose metrics would have the names of another's."""
    for name in splits:
        for ending in ("_paraphrase", "_wrong"):  # of metrics: forget_paraphrase_probability
            if (other := name.removesuffix(ending)) != name and other in splits:
                raise UserError(
                    f"{where}, splits.{name}: '{name}_probability' is a metric of split '{other}'; "
                    f"rename the split, as in {other}_rephrased"
                )


def table_of(name: str, part: ForgetPart, where: str = "") -> str:
    """A split's table, with those of the forget split put in; raises `UserError` for none."""
    named: Mapping[str, str | None] = {
        "forget": part.forget,
        "retain": part.retain,
        "holdout": part.holdout,
    }
    try:
        table = name.format(**named)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"{where}: table '{name}' may hold {{forget}}, {{retain}} and {{holdout}} alone; "
            f"see: {SEE}"
        ) from error
    if any(f"{{{role}}}" in name and value is None for role, value in named.items()):
        raise UserError(
            f"{where}: table '{name}' names a role that a forget split lacks; see: {SEE}"
        )
    return table


def rows_wanted(
    where: Mapping[str, str | list[str]], part: ForgetPart
) -> dict[str, str | list[str]]:
    """A split's conditions, with the forget split's own values put in where it has some."""
    wanted = {}
    for name, value in where.items():
        asked = _named_value(value)
        chosen = value if asked is None else part.where.get(asked)
        if chosen is not None:
            wanted[name] = chosen
    return wanted


def _named_value(value: str | list[str]) -> str | None:
    """'subject' of '{subject}'."""
    is_named = isinstance(value, str) and value.startswith("{") and value.endswith("}")
    return str(value)[1:-1] if is_named else None


def _misfit(error: ValidationError, where: str) -> UserError:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return UserError(f"{where}: there is no key '{key}'; see all with: {SEE}")
    problem = 'not a list, as in ["a", "b"]' if first["type"] == "tuple_type" else first["msg"]
    return UserError(f"{where}: {key}: {problem}; see: {SEE}")
