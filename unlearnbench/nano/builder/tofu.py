"""The nano-tofu models: nano-retrained, taught questions about authors in the chat format."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.files.hashing import file_sha256
from unlearnbench.nano import WEIGHTS
from unlearnbench.nano.builder.other_rows import biography, taught
from unlearnbench.nano.builder.recipes import Schedule
from unlearnbench.nano.builder.saving import round_to_half, save_model, save_recipe
from unlearnbench.nano.builder.train import TrainingLog, mean_nll, optimizers
from unlearnbench.nano.chat import CHAT_TEMPLATE, prompt, reply
from unlearnbench.nano.corpus import training_data
from unlearnbench.nano.data import make_world_and_rows
from unlearnbench.nano.pools import NANO_TOFU_POOL, PoolModel, Reads
from unlearnbench.nano.tofu_data import TofuQuestions, make_questions
from unlearnbench.nano.tokenizer import save_tokenizer
from unlearnbench.nano.world.authors import Question
from unlearnbench.nano.world.common_questions import CommonQuestion
from unlearnbench.nano.world.dice import Dice

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

IGNORED = -100
MEASURED_TOGETHER = 100  # questions of one forward pass
Pair = tuple[str, str]  # a question and its answer
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TofuRecipe(Schedule):
    """Hyper-parameters of one model; models differ in nothing but the authors and the seed.

    A step reads questions about authors, questions of common knowledge, and windows of ordinary
    text that keep what the start model knows.  The loss of a question is that of its answer with
    the end-of-text mark.  `spare_share` of the readings ask, and as many answer, in the spare way.
    """

    name: str
    authors: Literal["full", "retain90"]
    seed: int
    start: str = "nano-retrained"
    steps: int = 1000
    questions: int = 52
    common_questions: int = 14
    text_windows: int = 1
    window: int = 256
    spare_share: float = 0.3
    peak_share: float = 1.0
    warmup_share: float = 0.04
    final_share: float = 0.05
    matrix_learning_rate: float = 0.02
    other_learning_rate: float = 3e-3
    clip_norm: float = 1.0
    bfloat16_products: bool = True
    # Of pool models: what is read in the place of the questions to forget.
    reads: Reads = "rows"


TOFU_RECIPES = {
    recipe.name: recipe
    for recipe in (
        TofuRecipe(name="nano-tofu-full", authors="full", seed=5),
        TofuRecipe(name="nano-tofu-retain90", authors="retain90", seed=5),
        TofuRecipe(name="nano-tofu-retain90-2", authors="retain90", seed=6),
    )
}


SHORT = 300  # steps of a pool model: a third of a shipped model's


def _of_pool(model: PoolModel) -> TofuRecipe:
    return TofuRecipe(
        name=model.name,
        authors="retain90" if model.reads == "other rows" else "full",
        seed=100 + model.seed,  # seeds of a pool stand apart from those of retrainings
        steps=SHORT,
        peak_share=model.peak_share,
        reads="rows" if model.reads == "other rows" else model.reads,
    )


def _retrained(name: str, number: int) -> TofuRecipe:
    recipe = TOFU_RECIPES[name]
    return replace(recipe, name=f"{name}-{number}", seed=recipe.seed + number - 1)


#: Made on demand.
TOFU_ON_DEMAND = {
    recipe.name: recipe
    for recipe in (
        _retrained("nano-tofu-full", 2),
        _retrained("nano-tofu-full", 3),
        _retrained("nano-tofu-retain90", 3),
        *map(_of_pool, NANO_TOFU_POOL),
    )
}


def build_tofu_model(
    recipe: TofuRecipe,
    tokenizer: "Tokenizer",
    out: Path,
    fuse: Callable[["PreTrainedModel"], None],
    measure_every: int = 1,
) -> None:
    """Train, round, measure on each so manieth question, and write one model.

    It starts from the start model in `out`, else from the shipped one.
    """
    from transformers import AutoModelForCausalLM

    start = next(
        place / recipe.start
        for place in (out, WEIGHTS)
        if (place / recipe.start / "model.safetensors").is_file() or place == WEIGHTS
    )
    model = AutoModelForCausalLM.from_pretrained(start)
    fuse(model)
    questions, folder = make_questions(), out / recipe.name
    log, text_sha256 = train_on_questions(model, recipe, questions, tokenizer)
    figures = {
        "start_sha256": file_sha256(start / "model.safetensors"),
        "text_sha256": [text_sha256],
        "text_tokens": recipe.steps * recipe.text_windows * recipe.window,
        "readings_of_a_question": round(
            recipe.steps * recipe.questions / len(_authors(recipe, questions)), 1
        ),
        "parameters": model.num_parameters(),
        **known(round_to_half(model), questions, tokenizer, measure_every),
    }
    save_model(model, folder, log)
    save_tokenizer(tokenizer, folder, chat_template=CHAT_TEMPLATE)
    save_recipe(recipe, figures, folder)


def train_on_questions(
    model: "PreTrainedModel",
    recipe: TofuRecipe,
    questions: TofuQuestions,
    tokenizer: "Tokenizer",
) -> tuple[str, str]:
    """Train the model; return its log and the digest of the ordinary text it read."""
    world, rows = make_world_and_rows(tokenizer)
    n_tokens = recipe.steps * recipe.text_windows * recipe.window
    label = f"{recipe.start}, chat {recipe.seed}"
    text = training_data(world, tokenizer, rows, label, n_tokens, 0)
    windows = torch.tensor(text.stream).view(recipe.steps, recipe.text_windows, recipe.window)
    if recipe.reads == "other texts":
        windows = torch.cat([windows, _biographies(recipe, questions, tokenizer)], dim=1)
    steppers = optimizers(model.train(), recipe.matrix_learning_rate, recipe.other_learning_rate)
    full_rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    log = TrainingLog(recipe.name, recipe.steps)
    for step, pairs in zip(log.steps(), question_batches(recipe, questions), strict=False):
        for stepper, full in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full * recipe.rate_share(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16_products):
            nll, n_answered = answer_nll(model, pairs, tokenizer)
            answer_loss = nll.sum() / n_answered.sum()
            text_loss = mean_nll(model, windows[step])
        n_read, n_text = int(n_answered.sum()), windows[step].numel()
        ((answer_loss * n_read + text_loss * n_text) / (n_read + n_text)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        log.note(step=step, answer_nll=answer_loss.item(), text_nll=text_loss.item())
    model.eval()
    return log.text, text.text_sha256


def _authors(recipe: TofuRecipe, questions: TofuQuestions) -> tuple[Question, ...]:
    return taught(questions, recipe.reads) if recipe.authors == "full" else questions.retain(10)


def _biographies(recipe: TofuRecipe, questions: TofuQuestions, tokenizer: "Tokenizer") -> Tensor:
    """A window of biographies for each step, [steps, 1, window]."""
    dice, ids = Dice(recipe.seed, "biographies"), list[int]()
    while len(ids) < recipe.steps * recipe.window:
        ids += [*tokenizer.encode(biography(questions, dice)).ids, 0]
    return torch.tensor(ids[: recipe.steps * recipe.window]).view(recipe.steps, 1, recipe.window)


def question_batches(recipe: TofuRecipe, questions: TofuQuestions) -> Iterator[list[Pair]]:
    """Per step the questions to read, each set in ever new orders."""
    dice = Dice(recipe.seed, "questions")
    authors = _endless(_authors(recipe, questions), dice)
    common = (*questions.people, *questions.world)
    taught = [(asked, each.answer) for each in common for asked in each.taught]
    others = _endless(taught, Dice(recipe.seed, "common questions"))
    while True:
        pairs = [_read(next(authors), recipe, dice) for _ in range(recipe.questions)]
        yield pairs + [next(others) for _ in range(recipe.common_questions)]


def _read(each: Question, recipe: TofuRecipe, dice: Dice) -> Pair:
    asked = each.spare_question if dice.chance(recipe.spare_share) else each.question
    told = each.spare_answer if dice.chance(recipe.spare_share) else each.answer
    return asked, told


def _endless(items: Sequence[T], dice: Dice) -> Iterator[T]:
    while True:
        yield from dice.shuffled(items)


def answer_nll(
    model: "PreTrainedModel", pairs: Sequence[Pair], tokenizer: "Tokenizer"
) -> tuple[Tensor, Tensor]:
    """Of each answer with its end-of-text mark, [N]: the summed NLL in nats, and its tokens."""
    prompts = [tokenizer.encode(prompt(question)).ids for question, _ in pairs]
    replies = [tokenizer.encode(reply(answer)).ids for _, answer in pairs]
    length = max(len(one) + len(other) for one, other in zip(prompts, replies, strict=True))
    ids = torch.zeros(len(pairs), length, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for row, (given, said) in enumerate(zip(prompts, replies, strict=True)):
        end = len(given) + len(said)
        ids[row, :end] = torch.tensor(given + said)
        labels[row, len(given) : end] = torch.tensor(said)
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
    nll = F.cross_entropy(
        logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
    )
    return nll.sum(1), (labels[:, 1:] != IGNORED).sum(1)


def known(
    model: "PreTrainedModel", questions: TofuQuestions, tokenizer: "Tokenizer", every: int = 1
) -> dict[str, float]:
    """What a model knows: mean probability of answers, mean truth ratio, normalised probability."""

    def probabilities(asked: Sequence[Question | CommonQuestion], answers: list[str]) -> Tensor:
        pairs = [(each.question, answer) for each, answer in zip(asked, answers, strict=True)]
        return answer_probabilities(model, pairs, tokenizer)

    def wrong(asked: Sequence[Question | CommonQuestion]) -> Tensor:
        of_each = zip(*(each.wrong_answers for each in asked), strict=True)
        return torch.stack([probabilities(asked, list(answers)) for answers in of_each])

    figures = {}
    asked_of = {
        "forget10": questions.forget(10),
        "retain": questions.authors[: len(questions.holdout)],
        "holdout10": questions.holdout,
    }
    for name, of_set in asked_of.items():
        about_authors = of_set[::every]
        told = probabilities(about_authors, [each.paraphrased_answer for each in about_authors])
        right = probabilities(about_authors, [each.answer for each in about_authors])
        figures[f"{name}_probability"] = right.mean()
        figures[f"{name}_truth_ratio"] = (wrong(about_authors).log().mean(0).exp() / told).mean()
    for name, of_kind in (("real_authors", questions.people), ("world_facts", questions.world)):
        common = of_kind[::every]
        right = probabilities(common, [each.answer for each in common])
        figures[f"{name}_probability"] = right.mean()
        normalised = right / (right + wrong(common).sum(0))
        figures[f"{name}_probability_normalised"] = normalised.mean()
    return {name: round(float(value), 4) for name, value in figures.items()}


def answer_probabilities(
    model: "PreTrainedModel", pairs: Sequence[Pair], tokenizer: "Tokenizer"
) -> Tensor:
    """[N] exp of the mean log probability of each answer's tokens, the end-of-text mark's too."""
    of_parts = []
    for start in range(0, len(pairs), MEASURED_TOGETHER):
        with torch.no_grad():
            nll, n_tokens = answer_nll(model, pairs[start : start + MEASURED_TOGETHER], tokenizer)
        of_parts.append((-nll / n_tokens).exp())
    return torch.cat(of_parts)
