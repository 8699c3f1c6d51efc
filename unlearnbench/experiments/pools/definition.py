"""The definition of a pool file: which models know the forget set, and which cannot."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearnbench import registry
from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.files.named_toml import read_named_toml

FOLDER = Path(__file__).parent
ENDING = "-pools"  # of a shipped file's name, beside the world's
SEE = "unlearnbench show pools"
ATTACKS = ("relearn", "quantise")  # by which metrics are tried, where the file names none


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Part):
    """A model of a pool."""

    model: str = Field(min_length=1, description="as --model: an alias, a hub id or a folder")
    kind: str = Field(
        min_length=1,
        description="what it has read, in one's own words: rows, paraphrases, other people",
    )


class Definition(_Part):
    """A file of `unlearnbench/experiments/pools`, or one of a user's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    title: str = Field(description="of the table")
    summary: str = Field(default="", description="what `unlearnbench list pools` prints")
    build: str = Field(
        default="", description="the command that makes the models, named where one is not there"
    )
    run: dict[str, Any] = Field(
        default_factory=dict,
        description="options of `unlearnbench run`: which forget sets and tasks; its model is the "
        "original whose unlearning the metrics judge (default: the first model with), its "
        "retrained what derived scores are relative to (default: that of the original)",
    )
    robustness: dict[str, Any] | None = Field(
        default=None,
        description="options added to those of [run] for R and Q: methods, attacks (default: "
        "relearn, quantise), settings; its model is the original; without it no R and Q",
    )
    with_: tuple[Member, ...] = Field(
        alias="with",
        min_length=1,
        description="models that have the knowledge, each with model and kind: [[with]]",
    )
    without: tuple[Member, ...] = Field(
        min_length=1, description="models that cannot have it: [[without]]"
    )

    @property
    def original(self) -> str:
        """The model whose unlearning the metrics are to judge."""
        for options in (self.robustness or {}, self.run):
            if "model" in options:  # whatever TOML calls it, it is read as that of a run
                return Experiment.parse({"model": options["model"]}).model[0]
        return self.with_[0].model

    def of_members(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What every member is measured with: options of a run without methods and attacks.

        `options` win over the file's, their settings come after them.
        """
        values = {**_ALWAYS, **self.run, **options}
        settings = [*_listed(self.run), *_listed(options)]
        trained = {**registry.methods(), **registry.wrappers(), **registry.attacks()}
        own = [text for text in settings if text.partition(".")[0] not in trained]
        dropped = ("model", "methods", "references", "retrained", "attacks", "attack_tasks")
        kept = {name: value for name, value in values.items() if name not in dropped}
        return {**kept, "settings": own, "references": ["before"]}

    def of_references(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of the run with the original and the retrained model: R and Q, where they are wanted."""
        values = {**_ALWAYS, **self.run, **(self.robustness or {}), **options}
        settings = [t for part in (self.run, self.robustness or {}, options) for t in _listed(part)]
        if self.robustness is None:
            dropped = ("attacks", "attack_tasks")
            values = {name: value for name, value in values.items() if name not in dropped}
        else:
            values.setdefault("attacks", list(ATTACKS))
        own = {"model": self.original, "settings": settings}
        return {**values, **own, "references": ["before", "retrained"]}


#: No stop line is to be calibrated where nothing is trained.
_ALWAYS = {"stop": "paper"}


def _listed(options: Mapping[str, Any]) -> list[str]:
    settings = options.get("settings", ())
    return [settings] if isinstance(settings, str) else list(settings)


@dataclass(frozen=True)
class Pools:
    """A definition with its name and the text it was read from."""

    name: str
    definition: Definition
    text: str


def shipped() -> dict[str, Path]:
    """The pool files that come with the package, by the name of their world."""
    files = sorted(FOLDER.glob(f"*{ENDING}.toml"))
    return {path.stem.removesuffix(ENDING): path for path in files}


def find_pools(name: str) -> Pools:
    """The shipped pools of that world, or those in that .toml file.

    Raises `UserError` naming the nearest if there is none, or what is wrong with the file.
    """
    path, text = read_named_toml("pool", name, shipped())
    definition = parse_definition(text, str(path))
    for part, options in (("run", definition.run), ("robustness", definition.robustness or {})):
        try:
            Experiment.parse(options)
        except UserError as error:  # it names the option, not the file
            raise UserError(f"{path}: [{part}]: {error}") from error
    return Pools(path.stem.removesuffix(ENDING), definition, text)


def parse_definition(text: str, where: str) -> Definition:
    """The definition that a TOML text holds; `where` is its place in messages.

    Raises `UserError` for a text that holds none, and for a model that is in both pools.
    """
    try:
        definition = Definition.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _misfit(error, where) from error
    except (ValueError, RecursionError) as error:  # not TOML, or a number or nesting without end
        raise UserError(f"{where} is not TOML: {error}") from error
    names = [member.model for member in (*definition.with_, *definition.without)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"{where}: model '{twice[0]}' is named twice; a model either has the knowledge or has "
            f"not, and counts once; see: {SEE}"
        )
    return definition


def _misfit(error: ValidationError, where: str) -> UserError:
    errors = error.errors()  # a key that is misspelt is missing, too
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        is_member = first["loc"][0] in ("with", "without")
        owner = Member if is_member else Definition
        keys = [field.alias or name for name, field in owner.model_fields.items()]
        return unknown(f"key in {where}", str(first["loc"][-1]), keys, SEE)
    if first["type"] in ("missing", "too_short") and key in ("with", "without"):
        return UserError(
            f"{where}: no [[{key}]]: a metric is tested by models with the knowledge and models "
            f"without it; name at least one of each; see: {SEE}"
        )
    return UserError(f"{where}: {key}: {first['msg']}; see: {SEE}")
