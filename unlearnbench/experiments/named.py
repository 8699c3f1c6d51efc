"""The definition of a named experiment: what is run, in which variants, and what is shown."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.files.named_toml import read_named_toml

FOLDER = Path(__file__).parent


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Part):
    """The experiment once, with settings of its own on top."""

    settings: tuple[str, ...] = Field(default=(), description="as --set: METHOD.NAME=VALUE")
    label: str | None = Field(
        default=None,
        description="stands behind a method's name in its rows ('w/o L_kl'); without one, "
        "rows that differ are told apart by the settings in which they do",
    )


class Published(_Part):
    """The printed table that an experiment stands beside; what is left open is guessed."""

    table: str | None = Field(default=None, description="table1, alpha-beta, ...")
    source: str | None = Field(default=None, description="the paper's version: v1 or v2")
    params: str | None = Field(default=None, description="the printed size: 125M, 1.3B, 2.7B")


class Definition(_Part):
    """A file of `unlearnbench/experiments`, or one of a user's own."""

    title: str = Field(description="of the report")
    summary: str = Field(default="", description="what `unlearnbench list experiments` prints")
    sections: tuple[str, ...] = Field(
        default=("table",),
        min_length=1,
        description="what its report is made of: unlearnbench list sections",
    )
    axes: tuple[str, ...] = Field(
        default=(), description="the settings that its variants differ in"
    )
    trainings: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="lists of models that are one model trained with several seeds, for the "
        "section variation; those that come with the package are known",
    )
    published: Published = Field(
        default=Published(),
        description="the printed table to lay beside, with its three keys: table, source, params",
    )
    run: dict[str, Any] = Field(description="options of `unlearnbench run`, as in a --config file")
    variants: tuple[Variant, ...] = Field(
        default=(Variant(),),
        min_length=1,
        description="each runs all of [run] with settings of its own",
    )
    afterwards: str = Field(default="", description="what to do next, said when all is run")

    @property
    def variant_names(self) -> list[str]:
        """What tells each variant from the others: its label, or its settings in brackets."""
        settings = [", ".join(t.partition(".")[2] for t in v.settings) for v in self.variants]
        return [
            f"({own})" if variant.label is None and own else variant.label or ""
            for variant, own in zip(self.variants, settings, strict=True)
        ]

    def experiments(self, flags: Mapping[str, Any]) -> list[Experiment]:
        """One experiment per variant; flags win, their settings come after the variant's.

        Raises `UserError` for an option or value that is none.
        """
        options = {**self.run, **flags}
        own, from_flags = Experiment.parse(self.run).settings, Experiment.parse(flags).settings
        return [
            Experiment.parse({**options, "settings": (*own, *variant.settings, *from_flags)})
            for variant in self.variants
        ]


@dataclass(frozen=True)
class Named:
    """A definition with its name and the text it was read from."""

    name: str
    definition: Definition
    text: str


def shipped() -> dict[str, Path]:
    """The files of the experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find_experiment(name: str) -> Named:
    """The experiment of that name, or in that .toml file.

    Raises `UserError` naming the nearest if there is none, or what is wrong with the file.
    """
    path, text = read_named_toml("experiment", name, shipped())
    definition = parse_definition(text, str(path))
    try:
        definition.experiments({})
    except UserError as error:  # it names the option, not the file
        raise UserError(f"{path}: [run]: {error}") from error
    return Named(path.stem, definition, text)


def parse_definition(text: str, where: str) -> Definition:
    """The definition that a TOML text holds; `where` is its place in messages.

    What its [run] says is not looked at: of a run that is over it is history.  Raises `UserError`
    for a text that holds no definition.
    """
    try:
        return Definition.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _misfit(error, where) from error
    except (ValueError, RecursionError) as error:  # not TOML, or a number or nesting without end
        raise UserError(f"{where} is not TOML: {error}") from error


def _misfit(error: ValidationError, where: str) -> UserError:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        owners: dict[str, type[BaseModel]] = {"variants": Variant, "published": Published}
        owner = owners.get(str(first["loc"][0]), Definition)
        return unknown(
            f"key in {where}",
            str(first["loc"][-1]),
            owner.model_fields,
            "unlearnbench show experiment",
        )
    problem = 'not a list, as in ["a", "b"]' if first["type"] == "tuple_type" else first["msg"]
    return UserError(f"{where}: {key}: {problem}; see: unlearnbench show experiment")
