"""Making everything that is shipped: tokenizer, manifests, language models, encoder.

A model's folder is in the Hugging Face layout: float16 weights, configuration, and the recipe.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch

from unlearnbench.errors import unknown
from unlearnbench.nano import data, tofu_data
from unlearnbench.nano.builder.encoder import (
    SPECIAL_TOKENS,
    EncoderRecipe,
    train_encoder,
    train_encoder_tokenizer,
)
from unlearnbench.nano.builder.other_rows import rewritten
from unlearnbench.nano.builder.recipes import RECIPES, Recipe, Stage
from unlearnbench.nano.builder.saving import round_to_half, save_model, save_recipe
from unlearnbench.nano.builder.tofu import TOFU_RECIPES, TofuRecipe, build_tofu_model
from unlearnbench.nano.builder.train import (
    new_model,
    spare_rows_needed,
    stage_label,
    train_stage,
)
from unlearnbench.nano.cached_data import MANIFEST
from unlearnbench.nano.corpus import (
    tokenizer_texts,
    training_data,
    unseen_rows,
    validation_texts,
    write_any,
)
from unlearnbench.nano.rows import FORGET_NAMES, FORGET_ROWS, ROW_LENGTH
from unlearnbench.nano.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.private_texts import PRIVATE_KINDS, persona, private_document
from unlearnbench.nano.world.world import make_world

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

ENCODER = "encoder"
MODELS = (*RECIPES, ENCODER, *TOFU_RECIPES)  # in the order of building: the last start from another
Part = TypeVar("Part", Stage, EncoderRecipe, TofuRecipe)
ENCODER_DOCUMENTS = 12_000
ROWS_MEASURED, ROWS_MEASURED_IN_TRIAL = 64, 2  # of each set


@dataclass(frozen=True)
class Harness:
    """What a build takes from the packages that stand above this one."""

    fuse: Callable[["PreTrainedModel"], None]  # has a network compute with fused operations
    #: Of the model in a folder: figures of rows of token ids and of texts, each by its name.
    measure: Callable[
        [Path, dict[str, list[tuple[int, ...]]], dict[str, list[str]]], dict[str, float]
    ]


def build(models: Sequence[str], out: Path, scale: float, harness: Harness) -> None:
    """Train the named models, all if none is named, and write them with the manifests to `out`.

    `scale` shortens the training, for a trial.  Progress goes to stderr.
    """
    names = list(models or MODELS)
    for name in names:
        if name not in MODELS:
            raise unknown("nano model", name, MODELS, "unlearnbench nano build --help")
    first_stages: FirstStages = {}
    with one_seeded_thread():
        tokenizer = prepare(out)
        for name in names:
            if name == ENCODER:
                build_encoder(EncoderRecipe(), out, scale)
            elif name in TOFU_RECIPES:
                recipe = scaled(TOFU_RECIPES[name], scale)
                measure_every = 1 if scale >= 1 else 40
                build_tofu_model(recipe, tokenizer, out, harness.fuse, measure_every)
            else:
                build_language_model(RECIPES[name], tokenizer, out, scale, first_stages, harness)


def prepare(out: Path) -> "Tokenizer":
    """Make the tokenizer if `out` has none yet, and the manifests; return the tokenizer."""
    folder = out / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        save_tokenizer(train_tokenizer(tokenizer_texts(make_world(), data.SEED)), folder)
    tokenizer = load_tokenizer(folder)
    for write, name in (
        (partial(data.write_data, tokenizer=tokenizer), MANIFEST),
        (tofu_data.write_data, tofu_data.SHIPPED_MANIFEST),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            write(Path(scratch))
            shutil.copyfile(Path(scratch) / MANIFEST, out / name)
    return tokenizer


class StageRun(NamedTuple):
    """What remains of a stage."""

    weights: dict[str, torch.Tensor]
    text_sha256: str
    log: str


# By everything that decides the outcome of a first stage: models of the same beginnings share it.
FirstStages = dict[tuple[object, ...], StageRun]


def build_language_model(
    recipe: Recipe,
    tokenizer: "Tokenizer",
    out: Path,
    scale: float,
    first_stages: FirstStages,
    harness: Harness,
) -> None:
    """Train, round, measure and write one language model; a first stage is trained only once."""
    stages = tuple(scaled(stage, scale) for stage in recipe.stages)
    recipe = dataclasses.replace(recipe, stages=stages)
    model = new_model(recipe, tokenizer.get_vocab_size())
    harness.fuse(model)
    begun = (recipe.architecture, recipe.seed, recipe.forget == "once", stages[0])
    if begun not in first_stages:
        first_stages[begun] = run_stage(model, recipe, 0, tokenizer)
    model.load_state_dict(first_stages[begun].weights)
    later = [run_stage(model, recipe, number, tokenizer) for number in range(1, len(stages))]
    runs = [first_stages[begun], *later]
    folder = out / recipe.name
    save_model(model, folder, "".join(run.log for run in runs))
    save_tokenizer(tokenizer, folder)
    n_measured = ROWS_MEASURED if scale >= 1 else ROWS_MEASURED_IN_TRIAL
    figures = {
        "text_sha256": [run.text_sha256 for run in runs],
        "text_tokens": sum(recipe.text_tokens(stage) for stage in stages),
        "rows_read": sum(stage.steps * stage.rows for stage in stages),
        "forget_row_exposures": recipe.exposures(len(FORGET_NAMES) * FORGET_ROWS),
        "parameters": model.num_parameters(),
        **harness.measure(folder, *_measured(tokenizer, n_measured)),
    }
    save_recipe(recipe, figures, folder)


def _measured(
    tokenizer: "Tokenizer", n_rows: int
) -> tuple[dict[str, list[tuple[int, ...]]], dict[str, list[str]]]:
    """The last 100 tokens of so many rows of each set, and the validation texts, by their names."""
    world, rows = data.make_world_and_rows(tokenizer)
    sets = {
        f"forget_{name}": [rows.extraction[number].ids for number in numbers]
        for name, numbers in rows.forget.items()
    }
    sets["unseen"] = [row.ids for row in rows.unseen]
    sets["unseen_text"] = unseen_rows(world, tokenizer, rows)
    sets["pool"] = [rows.extraction[number].ids for number in rows.pool()]
    halves = {name: [ids[ROW_LENGTH // 2 :] for ids in of[:n_rows]] for name, of in sets.items()}
    return halves, validation_texts(world, data.SEED)


def run_stage(
    model: "PreTrainedModel", recipe: Recipe, number: int, tokenizer: "Tokenizer"
) -> StageRun:
    """Train one stage and round the weights, so that a stage can start from a shipped model.

    Pool rows, and forget rows where the recipe reads them once, are strewn over the first
    stage's text.
    """
    stage = recipe.stages[number]
    world, rows = data.make_world_and_rows(tokenizer)
    read_once: Sequence[int] = ()
    if number == 0:
        read_once = range(len(rows.extraction)) if recipe.forget == "once" else rows.pool()
    label = stage_label("training", number, recipe.last_seed)
    n_tokens, n_spare = recipe.text_tokens(stage), spare_rows_needed(recipe, stage)
    texts = training_data(world, tokenizer, rows, label, n_tokens, n_spare, read_once)
    taught = rewritten(rows, world, tokenizer, recipe.reads)
    log = train_stage(model, recipe, number, taught, texts)
    weights = {name: tensor.clone() for name, tensor in round_to_half(model).state_dict().items()}
    return StageRun(weights, texts.text_sha256, log)


def build_encoder(recipe: EncoderRecipe, out: Path, scale: float) -> None:
    """Train and write the encoder."""
    recipe = scaled(recipe, scale)
    texts = encoder_texts(max(200, int(ENCODER_DOCUMENTS * min(1.0, scale))))
    tokenizer = train_encoder_tokenizer(texts, recipe.vocabulary)
    model, log = train_encoder(recipe, texts, tokenizer)
    folder = out / recipe.name
    save_model(model.bert, folder, log)
    save_tokenizer(tokenizer, folder, SPECIAL_TOKENS)
    save_recipe(recipe, {"parameters": model.bert.num_parameters()}, folder)


def encoder_texts(count: int) -> list[str]:
    """Documents of every kind, a third of them private and as long as rows."""
    world, dice = make_world(), Dice(data.SEED, "encoder texts")
    texts = [write_any(world, dice) for _ in range(count * 2 // 3)]
    for number in range(count // 3):
        facts = persona(world, dice)
        texts.append(private_document(PRIVATE_KINDS[number % len(PRIVATE_KINDS)], facts, dice, 20))
    return texts


def scaled(part: Part, scale: float) -> Part:
    """The part with a share of its steps."""
    return dataclasses.replace(part, steps=max(3, int(part.steps * scale)))


@contextmanager
def one_seeded_thread() -> Iterator[None]:
    """Use one thread, faster for small models; leave the global generators as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
