"""The schemas of the nine classification sets: the fields of the real data, and what they allow."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import parsed


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


def _parsed(value: Any) -> Any:
    """A list or an object that stands in a CSV cell as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parsed(value)
    except ValueError:
        return value  # the field's own type says what is wrong with it


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _text_as_number(value: Any) -> Any:
    # What a CSV cell holds, or a published label that is written as text.
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value


_WHOLE = re.compile("-?[0-9]{1,18}")
Text = Annotated[str, AfterValidator(_not_blank)]
Either = Annotated[int, BeforeValidator(_text_as_number), Field(ge=0, le=1)]  # place, of two


class Row(BaseModel):
    """A row whose fields are what they are: no number is taken for text, no truth for 1."""

    model_config = ConfigDict(strict=True)


class HellaSwag(Row):
    activity_label: str
    ctx_a: str
    ctx_b: str
    ctx: Text
    endings: Annotated[list[str], BeforeValidator(_parsed), Field(min_length=4, max_length=4)]
    label: Annotated[int, BeforeValidator(_text_as_number), Field(ge=0, le=3)]


class Lambada(Row):
    text: Text

    @field_validator("text")
    @classmethod
    def _ends_on_a_word(cls, text: str) -> str:
        before, _, last = text.rpartition(" ")
        if not before.strip() or not last:
            raise ValueError("needs two words or more with one space before the last")
        return text


class WinoGrande(Row):
    sentence: Text
    option1: Text
    option2: Text
    answer: Annotated[Literal["1", "2"], BeforeValidator(_number_as_text)]

    @field_validator("sentence")
    @classmethod
    def _has_a_gap(cls, sentence: str) -> str:
        if "_" not in sentence:
            raise ValueError("has no '_' where an option goes")
        return sentence


class Copa(Row):
    premise: Text
    choice1: Text
    choice2: Text
    question: Literal["cause", "effect"]
    label: Either


class Choices(Row):
    text: Annotated[list[Text], Field(min_length=2)]
    label: list[str]

    @field_validator("label")
    @classmethod
    def _one_per_text(cls, label: list[str], info: ValidationInfo) -> list[str]:
        n_texts = len(info.data.get("text", label))
        if len(label) != n_texts or len(set(label)) != n_texts:
            raise ValueError(f"needs {n_texts} different labels, one per text")
        return label


class Arc(Row):
    question: Text
    choices: Annotated[Choices, BeforeValidator(_parsed)]
    answerKey: str

    @field_validator("answerKey")
    @classmethod
    def _is_a_label(cls, key: str, info: ValidationInfo) -> str:
        choices = info.data.get("choices")
        if choices is not None and key not in choices.label:
            labels = ", ".join(map(repr, choices.label))
            raise ValueError(f"{key!r:.60} is not among the labels {labels:.100}")
        return key


class Piqa(Row):
    goal: Text
    sol1: Text
    sol2: Text
    label: Either


class MathQa(Row):
    Problem: Text
    options: Text
    correct: Literal["a", "b", "c", "d", "e"]

    @field_validator("options")
    @classmethod
    def _has_five(cls, options: str) -> str:
        if missing := [letter for letter in "abcde" if f"{letter} ) " not in options]:
            raise ValueError(f"has no option '{missing[0]} ) ...'")
        return options


class PubMedQa(Row):
    QUESTION: Text
    CONTEXTS: Annotated[list[str], BeforeValidator(_parsed), Field(min_length=1)]
    final_decision: Literal["yes", "no", "maybe"]


SCHEMAS: dict[str, type[BaseModel]] = {
    "hellaswag": HellaSwag,
    "lambada": Lambada,
    "winogrande": WinoGrande,
    "copa": Copa,
    "arc_easy": Arc,
    "arc_challenge": Arc,
    "piqa": Piqa,
    "mathqa": MathQa,
    "pubmedqa": PubMedQa,
}


def check_rows(name: str, rows: Iterable[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """Each row's fields that the set's task needs, and its number as `doc_id`.

    Other fields are dropped, so that a set has one digest wherever it was read from.
    Raises `UserError` naming `where`, the row and the field of the first wrong one.
    """
    schema = SCHEMAS[name]
    checked = []
    for at, row in enumerate(rows):
        try:
            checked.append({"doc_id": str(at), **schema.model_validate(row).model_dump()})
        except ValidationError as error:
            raise UserError(f"{where}, row {at}: {_first_fault(error)}") from None
    return checked


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    field = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"field '{field}' is missing; every row needs it"
    said = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"field '{field}' {said} (it is {fault['input']!r:.60})"
