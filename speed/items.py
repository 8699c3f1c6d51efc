"""Tokens of TOFU's whole evaluation of one model: each text once, and one pass per metric.

    python speed/items.py                   # items cut from nano rows, nano-llama
    python speed/items.py --tofu FOLDER     # TOFU's own rows
    python speed/items.py --tofu FOLDER --template chat --model FOLDER

Prints for each part of the evaluation the tokens that go through the network: ours as the model's
meter counts them, padding included, and those of an evaluation in which every metric reads its own
texts in a pass of its own, as OpenUnlearning's does, without padding and with that of batches of 16
in the rows' order.  Nothing is timed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Literal

import click
from tabulate import tabulate

from unlearnbench.api import load_forget_set, load_model
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.metrics.items import Part, encode_items, encode_questions
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
# Of each split: file, what is measured, and which of an item's texts the peer's metrics read, one
# pass for each.  Its answers: probability, extraction strength, exact memorisation and four attacks
# for the forget set; four attacks for the holdout; the probability for the rest.
TRUTH = ("probability", "paraphrase", "wrong", "rouge")
NORMALISED = ("probability", "probability_normalised", "wrong", "rouge")
SPLITS = {
    "forget": (
        "forget10_perturbed.jsonl",
        (*TRUTH, "extraction_strength", "exact_memorisation", "membership"),
        {"answer": 7, "paraphrases": 1, "wrong": 1},
    ),
    "retain": ("retain_perturbed.jsonl", TRUTH, {"answer": 1, "paraphrases": 1, "wrong": 1}),
    "real_authors": ("real_authors_perturbed.jsonl", NORMALISED, {"answer": 1, "wrong": 1}),
    "world_facts": ("world_facts_perturbed.jsonl", NORMALISED, {"answer": 1, "wrong": 1}),
    "holdout": ("holdout10.json", ("membership",), {"answer": 4}),
}
ROLES: dict[str, Any] = {"forget": "forget", "retain": "retain", "holdout": "holdout"}


@dataclass(frozen=True)
class Count:
    """Forward tokens of one part of the evaluation."""

    part: str
    ours: int
    peer: int  # without padding
    padded: int  # with it

    def row(self) -> tuple[str, int, int, float, int, float]:
        """With the ratios to ours."""
        ratios = self.peer / self.ours, self.padded / self.ours
        return self.part, self.ours, self.peer, ratios[0], self.padded, ratios[1]


@click.command()
@click.option("--tofu", type=FOLDER, help="folder with TOFU's rows")
@click.option("--items", default=16, show_default=True, help="of each split")
@click.option("--model", default="nano-llama", show_default=True)
@click.option("--template", type=click.Choice(["plain", "chat"]), default="plain")
@click.option("--new-tokens", default=50, show_default=True, help="of a reply")
def main(
    tofu: Path | None, items: int, model: str, template: Literal["plain", "chat"], new_tokens: int
) -> None:
    """Count both ways.  Prints a table of tokens, in which ours are 1."""
    loaded = load_model(model)
    how = Template(template, date="10 Apr 2025")
    rows = tofu_rows(tofu, items) if tofu else nano_rows(loaded, items)
    splits = [split_of(name, own, how, new_tokens) for name, own in rows.items()]
    counts = compared(loaded, splits)
    head = ("", "each text once", "one pass per metric", "x ours", "in batches of 16", "x ours")
    print(f"Forward tokens, {items} items of each split, {loaded.source.name}")
    print(tabulate([count.row() for count in counts], head, floatfmt=".2f", intfmt=","))


def compared(model: LanguageModel, splits: Sequence[Split]) -> list[Count]:
    """The tokens of teacher-forced metrics, of replies, and of both."""
    context = TaskContext(None, {}, splits=tuple(splits))  # type: ignore[arg-type]  # no rows
    forced, _ = _spent(model, context, "answers", "membership")
    written, n_written = _spent(model, context, "replies")
    prompts = [
        [len(ids) for ids in encode_questions(model, split)]
        for split in splits
        if split.asks("rouge")
    ]
    # The last token of a reply is read by nobody.  Replies of a batch are taken to end together.
    after = n_written - sum(map(len, prompts))
    replies = sum(map(sum, prompts)) + after, sum(map(padded, prompts)) + after
    passes = [each for split in splits for each in passes_apart(model, split)]
    apart = sum(map(sum, passes)), sum(map(padded, passes))
    return [
        Count("teacher-forced", forced, *apart),
        Count("replies", written, *replies),
        Count("all", forced + written, *map(sum, zip(apart, replies, strict=True))),
    ]


def passes_apart(model: LanguageModel, split: Split) -> Iterator[list[int]]:
    """Lengths of the texts of each pass over a split's items, as often as metrics read them."""
    passes: dict[Part, int] = SPLITS[split.name][2]  # type: ignore[assignment]
    for part, n_passes in passes.items():
        encoded = encode_items(model, split, (part,))
        # The answer comes first.  The network is shown the last token as well.
        of_part = [own if part == "answer" else own[1:] for own in encoded]
        lengths = [[text.n_tokens + 1 for text in own] for own in of_part]
        for texts in zip_longest(*lengths):  # the first wrong answer of every item, the second, ...
            yield from [[length for length in texts if length is not None]] * n_passes


def padded(lengths: Sequence[int], batch_size: int = 16) -> int:
    """Tokens of texts that are padded to the longest one of their batch."""
    batches = [lengths[at : at + batch_size] for at in range(0, len(lengths), batch_size)]
    return sum(max(batch) * len(batch) for batch in batches)


def _spent(model: LanguageModel, context: TaskContext, *tasks: str) -> tuple[int, int]:
    """Forward and generated tokens of these tasks."""
    model.meter.phases.clear()
    for name in tasks:
        find("tasks", name)().measure(model, context)
    costs = model.meter.phases.values()
    return sum(c.forward_tokens for c in costs), sum(c.generated_tokens for c in costs)


def split_of(
    name: str, rows: Sequence[dict[str, Any]], template: Template, new_tokens: int
) -> Split:
    """The split of rows as TOFU's files have them."""
    items = tuple(
        Item(
            str(number),
            row["question"],
            row["answer"],
            (row["paraphrased_answer"],) if "paraphrased_answer" in row else (),
            tuple(row.get("perturbed_answer", ())),
        )
        for number, row in enumerate(rows)
    )
    measures = frozenset(SPLITS[name][1])
    return Split(name, ROLES.get(name, "general"), items, template, measures, new_tokens)


def tofu_rows(folder: Path, n: int) -> dict[str, list[dict[str, Any]]]:
    """The first rows of each file."""
    return {name: list(islice(_rows(folder / file), n)) for name, (file, *_) in SPLITS.items()}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    yield from json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())


def nano_rows(model: LanguageModel, n: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of TOFU's form and about its lengths, cut from nano-forget rows."""
    rows = load_forget_set("nano", model).rows
    pieces = []
    for row in range(len(rows)):
        ids = rows.tokens(row)
        pieces.append([model.decode(ids[at : at + 20]).strip() for at in range(0, 80, 20)])
    made = [
        {
            "question": question,
            "answer": answer,
            "paraphrased_answer": paraphrase,
            "perturbed_answer": [pieces[(row + k) % len(pieces)][1] for k in range(1, 6)],
        }
        for row, (question, answer, paraphrase, _) in enumerate(pieces)
    ]
    step = len(made) // len(SPLITS)
    return {name: made[k * step :][: min(n, step)] for k, name in enumerate(SPLITS)}


if __name__ == "__main__":
    main()
