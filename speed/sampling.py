"""What many samples of each row cost: tokens, and seconds of one CPU core.

    python speed/sampling.py                              # 128 samples of 64 rows, 32 tokens each
    python speed/sampling.py --samples 16 --rows 8 --library 2
    python speed/sampling.py --model FOLDER --top-p 0.9

Prints the tokens that go through the network: ours as the model's meter counts them, padding
included, and those of samples that are generated one by one, each behind its whole prompt.  Then
the processor seconds of drawing, of transformers' generate on some of the rows (scaled to all), and
of comparing the texts with the rows, with their ratios to drawing.  The aim is 60 seconds for
128 samples x 64 rows x 32 tokens of nano-neo.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click
import torch
from tabulate import tabulate

from unlearnbench.api import load_forget_set, load_model
from unlearnbench.attacking.questions import ROW_TOKENS, texts_of
from unlearnbench.attacking.successes import recalls
from unlearnbench.models.generation import plain
from unlearnbench.models.generation.sampling import Sampling, draw_samples
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences

Made = TypeVar("Made")
AIM = 60.0  # seconds
STANDARD = ("nano-neo", 128, 64, ROW_TOKENS)


@dataclass(frozen=True)
class Cost:
    """What samples of all rows took."""

    forward_tokens: int
    apart: int  # forward tokens of samples that are generated one by one
    drawing: float  # seconds
    library: float  # of transformers' generate
    comparing: float

    @property
    def whole(self) -> float:
        """Seconds of an attack: drawing and comparing."""
        return self.drawing + self.comparing


@click.command()
@click.option("--model", default=STANDARD[0], show_default=True)
@click.option("--samples", default=STANDARD[1], show_default=True, help="of each row")
@click.option("--rows", default=STANDARD[2], show_default=True, help="of the nano forget set")
@click.option("--new-tokens", default=STANDARD[3], show_default=True, help="of a sample")
@click.option("--top-p", default=1.0, show_default=True)
@click.option("--library", default=4, show_default=True, help="rows that generate is timed on")
def main(model: str, samples: int, rows: int, new_tokens: int, top_p: float, library: int) -> None:
    """Draw and count.  Prints two tables: tokens, and seconds of one core."""
    torch.set_num_threads(1)
    loaded = load_model(model)
    chosen = load_forget_set("nano", loaded).rows
    chosen = chosen.select(range(min(rows, len(chosen))))
    how = Sampling(samples, new_tokens, top_p=top_p)
    cost = measured(loaded, chosen, how, library)
    print(f"{len(chosen)} rows, {samples} samples of {new_tokens} tokens, {loaded.source.name}")
    print(tabulate(token_lines(cost), ("forward tokens", "", "x ours"), intfmt=",", floatfmt=".2f"))
    print()
    print(tabulate(second_lines(cost), ("seconds of one core", "", "x drawing"), floatfmt=".2f"))
    if (model, samples, len(chosen), new_tokens) == STANDARD:
        said = "met" if cost.whole < AIM else "NOT met"
        print(f"\nThe aim of {AIM:.0f} seconds is {said}: {cost.whole:.1f}")


def measured(model: LanguageModel, rows: Sequences, how: Sampling, n_library: int) -> Cost:
    """The cost of samples of the rows' prefixes."""
    prompts = [
        rows.input_ids[row, :n_given].tolist() for row, n_given in enumerate(rows.n_given.tolist())
    ]
    model.meter.phases.clear()
    drawn, drawing = timed(lambda: dict(draw_samples(model, prompts, how, uniforms(how))))
    spent = model.meter.phases["other"].forward_tokens
    # The last token of a sample is read by nobody; the one that ends it early is left out of it.
    written = [len(ids) - (len(ids) == how.new_tokens) for own in drawn.values() for ids in own]
    apart = how.n * sum(map(len, prompts)) + sum(written)
    some = prompts[:n_library]
    _, library = timed(lambda: [by_library(model, prompt, how) for prompt in some])
    _, comparing = timed(lambda: [compared(model, rows, r, own) for r, own in drawn.items()])
    scale = len(prompts) / max(1, len(some))
    return Cost(spent, apart, drawing, library * scale, comparing)


def uniforms(how: Sampling) -> Callable[[int], torch.Tensor]:
    """A generator for each prompt, as the attack has it."""

    def own(place: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(place)
        return torch.rand((how.n, how.new_tokens), generator=generator, dtype=torch.float64)

    return own


def by_library(model: LanguageModel, prompt: list[int], how: Sampling) -> None:
    """All samples of a prompt in one batch, which is how generate is fastest."""
    plain.sample(model, prompt, how.new_tokens, how.n, how.temperature, how.top_p)


def compared(model: LanguageModel, rows: Sequences, row: int, samples: list[list[int]]) -> None:
    """ROUGE-L of each sample, as the attack has it."""
    answer = texts_of(model, [rows.suffix(row)[:ROW_TOKENS]])[0]
    recalls(texts_of(model, samples), answer, stemmer=True)


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What it gives, and the processor seconds that it takes."""
    started = time.process_time()
    return work(), time.process_time() - started


def token_lines(cost: Cost) -> list[tuple[str, int, float]]:
    """Forward tokens with the ratio to ours."""
    return [
        ("each prompt once", cost.forward_tokens, 1.0),
        ("each prompt with each sample", cost.apart, cost.apart / cost.forward_tokens),
    ]


def second_lines(cost: Cost) -> list[tuple[str, float, float]]:
    """Seconds with the ratio to drawing."""
    return [
        (name, seconds, seconds / cost.drawing)
        for name, seconds in (
            ("drawing", cost.drawing),
            ("transformers' generate", cost.library),
            ("comparing", cost.comparing),
        )
    ]


if __name__ == "__main__":
    main()
