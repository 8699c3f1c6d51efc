"""EL and MA of real rows: shared continuations against one `generate` per start position.

    python benchmarks/extraction.py --shared FOLDER --rows 16

Prints, for both protocols, forward tokens, generated tokens and seconds of each way, their
ratios, and the largest difference of a row's score.  Token counts do not depend on the machine.
"""

import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from unlearnbench.metrics.extraction import ExtractionScores, extraction_scores
from unlearnbench.metrics.ngrams import last_starts, overlaps
from unlearnbench.model import LanguageModel, ModelSource
from unlearnbench.protocol import Protocol
from unlearnbench.sequences import Sequences

N = 10


@click.command()
@click.option(
    "--shared",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=lambda: os.environ.get("UNLEARNBENCH_SHARED"),
    required=True,
    help="folder with data/pile_extraction, data/icu and models/pile-neo",
)
@click.option("--rows", "n_rows", default=16, show_default=True, help="forget rows to measure")
@click.option("--threads", default=1, show_default=True)
def main(shared: Path, n_rows: int, threads: int) -> None:
    """Compare the two ways on pile-neo and its forget set."""
    torch.set_num_threads(threads)
    folder = shared / "models" / "pile-neo"
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = LanguageModel(
        network, AutoTokenizer.from_pretrained(folder), ModelSource("pile-neo", "", None, "")
    )
    names: tuple[Literal["paper", "released"], ...] = ("paper", "released")
    for name in names:
        protocol = Protocol.named(name)
        width = 100 if protocol.sequence == "prefix+suffix" else 200
        compare(model, read_rows(shared / "data", n_rows, width), protocol, name)


def compare(model: LanguageModel, rows: Sequences, protocol: Protocol, name: str) -> None:
    """Print one protocol's table."""
    ours = measured(model, lambda: extraction_scores(model, rows, protocol, N))
    plain = measured(model, lambda: one_generate_per_start(model, rows, protocol))
    columns = ("forward tokens", "generated tokens", "seconds")
    ratios = [p / max(o, 1e-9) for o, p in zip(ours[1:], plain[1:], strict=True)]
    scores, plain_scores = ours[0], plain[0]
    print(f"\n{name}: {len(rows)} rows of {rows.input_ids.shape[1]} tokens, ", end="")
    print(f"EL{N} {np.mean(scores.el):.4f}, MA {np.mean(scores.ma):.4f}")
    table = [("one generate per start", *plain[1:]), ("shared continuations", *ours[1:])]
    print(tabulate([*table, ("ratio", *ratios)], ("", *columns), floatfmt=",.1f", intfmt=","))
    print(f"largest difference of a row: EL {largest(scores.el, plain_scores.el):.1e}, ", end="")
    print(f"MA {largest(scores.ma, plain_scores.ma):.1e}")


def measured(
    model: LanguageModel, run: Callable[[], ExtractionScores]
) -> tuple[ExtractionScores, int, int, float]:
    """The scores with forward tokens, generated tokens and seconds."""
    model.meter.phases.clear()
    started = time.perf_counter()
    with model.meter.phase("run"):
        scores = run()
    cost = model.meter.phases["run"]
    seconds = time.perf_counter() - started
    return scores, cost.forward_tokens, cost.generated_tokens, seconds


def one_generate_per_start(
    model: LanguageModel, rows: Sequences, protocol: Protocol
) -> ExtractionScores:
    """EL and MA as the released code gets them: `generate` per start, one token per MA position."""
    width, t0 = rows.input_ids.shape[1], int(rows.n_given[0])
    hits = sum(
        (generate(model, rows.input_ids[:, :t], 1)[:, 0] == rows.input_ids[:, t]).double()
        for t in range(1, width)
    )
    every = protocol.el_positions == "every"
    starts = range(1, width - N + 1) if every else range(t0, width)
    sums = np.zeros(len(rows))
    for t in starts:
        written = generate(model, rows.input_ids[:, :t], width - t).tolist()
        sums += [overlap(rows.tokens(r), t, ids, model, protocol) for r, ids in enumerate(written)]
    divisor = width - N if every else width - t0 - N + 1
    ma = torch.as_tensor(hits) / (width - 1)
    return ExtractionScores((sums / divisor).tolist(), ma.tolist())


def overlap(
    row: list[int], t: int, written: list[int], model: LanguageModel, protocol: Protocol
) -> float:
    """One start's overlap, the continuation cut after its end of sequence."""
    if model.eos_token_id in written:
        written = written[: written.index(model.eos_token_id) + 1]
    known = last_starts(row, N)
    return overlaps(written, [t], known, N, len(row), protocol.el_denominator)[0]


def generate(model: LanguageModel, prompts: torch.Tensor, new_tokens: int) -> torch.Tensor:
    """Greedy tokens of prompts of one length, padded after their end."""
    network: Any = model.network
    network.generation_config = GenerationConfig()
    written: torch.Tensor = network.generate(
        input_ids=prompts,
        attention_mask=torch.ones_like(prompts),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=model.eos_token_id,
            pad_token_id=model.pad_token_id,
        ),
    )
    model.meter.count_generated(written[:, prompts.shape[1] :].numel())
    return written[:, prompts.shape[1] :]


def read_rows(data: Path, n_rows: int, width: int) -> Sequences:
    """The first rows of the published forget set 0, their last `width` tokens."""
    with (data / "icu" / "exp" / "lm_extraction_128_0.csv").open(newline="") as file:
        doc_ids = [row["doc_id"] for row in csv.DictReader(file)][:n_rows]
    parts = [
        np.load(data / "pile_extraction" / f"train_{part}.npy")[[int(d) for d in doc_ids]]
        for part in ("preprefix", "prefix", "suffix")
    ]
    ids = torch.from_numpy(np.concatenate(parts, axis=1)[:, -width:].astype(np.int64))
    lengths = torch.full((len(doc_ids),), width)
    return Sequences(ids, lengths, lengths - 50, tuple(doc_ids))


def largest(ours: list[float], plain: list[float]) -> float:
    """The largest difference between two lists of scores."""
    return max(abs(a - b) for a, b in zip(ours, plain, strict=True))


if __name__ == "__main__":
    main()
