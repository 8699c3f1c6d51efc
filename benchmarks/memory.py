"""Peak memory of one ICU epoch, predicted and measured, by model shape and way to train it.

    python benchmarks/memory.py --data ../shared/data/pile_extraction --rows 32

Each line is a fresh process that loads a model with random weights from files, takes one ICU
epoch over the forget set through unlearnbench's own code, and tells its resident peak while it
did.  Examination is memorisation accuracy alone: a random model misses every token, and each
miss would be decoded.  Last comes the released algorithm, written again from its description:
a second model, scores at every position, and stored float32 probabilities of all pairs.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

GPT_NEO = {
    "model_type": "gpt_neo",
    "vocab_size": 50257,
    "max_position_embeddings": 2048,
    "window_size": 256,
}
SHAPES: dict[str, dict[str, Any] | None] = {
    "nano-neo": None,  # comes with unlearnbench
    "nano-llama": None,
    "gpt-neo-46m": {
        "hidden_size": 512,
        "num_layers": 6,
        "num_heads": 8,
        "attention_types": [[["global", "local"], 3]],
    },
    "gpt-neo-125m": {
        "hidden_size": 768,
        "num_layers": 12,
        "num_heads": 12,
        "attention_types": [[["global", "local"], 6]],
    },
    "gpt-neo-1.3b": {
        "hidden_size": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "attention_types": [[["global", "local"], 12]],
    },
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "checkpointing": {"gradient_checkpointing": True},
    "accumulation 4": {"gradient_accumulation_steps": 4},
    "checkpointing, accumulation 4": {
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 4,
    },
    "bf16 autocast": {"mixed_precision": "bf16"},
    "bfloat16": {"dtype": "bfloat16"},
}
N_POOL = 256
GIB = 2**30


@dataclass(frozen=True)
class Run:
    """One line of the table."""

    options: dict[str, Any]
    threads: int
    n_pairs: int = 0  # of the released algorithm; 0: unlearnbench's ICU


@click.command()
@click.option("--shapes", default="nano-neo,nano-llama,gpt-neo-46m,gpt-neo-125m", show_default=True)
@click.option("--ways", default=",".join(WAYS).replace("checkpointing, a", "checkpointing+a"))
@click.option("--data", type=click.Path(path_type=Path), help="folder of the extraction arrays")
@click.option("--rows", default=32, show_default=True, help="sequences to forget")
@click.option("--released-rows", default=0, show_default=True, help="pairs stored; 0: leave it out")
@click.option("--threads", default=1, show_default=True)
@click.option("--child", hidden=True)
def main(
    shapes: str,
    ways: str,
    data: Path | None,
    rows: int,
    released_rows: int,
    threads: int,
    child: str | None,
) -> None:
    """Print the table, line by line as it is measured."""
    if child:
        measure(Run(**json.loads(child)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        arrays = write_arrays(Path(scratch), data, rows)
        found = []
        for shape in shapes.split(","):
            folder = shape if SHAPES[shape] is None else str(write_model(Path(scratch), shape))
            for way in ways.split(","):
                name = way.replace("+", ", ")
                options = {**options_of(folder, arrays, rows), **WAYS[name]}
                found.append(compared(shape, name, Run(options, threads)))
                print(tabulate(found[-1:], tablefmt="plain"), file=sys.stderr, flush=True)
            if released_rows and SHAPES[shape] is not None:
                options = {**options_of(folder, arrays, rows), "protocol": "released"}
                found.append(released(shape, Run(options, threads, released_rows)))
        header = (
            "shape",
            "way",
            "predicted, GB",
            "measured, GB",
            "ratio",
            "seconds",
            "largest parts",
        )
        print(tabulate(found, header, floatfmt=".2f"))


def options_of(model: str, arrays: Path, rows: int) -> dict[str, Any]:
    """The experiment of one line."""
    own = (
        {}
        if model.startswith("nano-")
        else {"forget_set": str(arrays / "exp" / "rows_0.csv"), "rows": str(arrays)}
    )
    return {
        "model": [model],
        "methods": ["icu"],
        "references": ["none"],
        "tasks": ["forgetting"],
        "encoder": "nano",
        "bert": "nano",
        "max_epochs": 1,
        "stop": "paper",
        "device": "cpu",
        "runs": ["0"],
        "limit": rows,
        **own,
    }


def compared(shape: str, way: str, run: Run) -> tuple[Any, ...]:
    """One line of the table."""
    from unlearnbench.memory import in_words
    from unlearnbench.memory.machine import available
    from unlearnbench.memory.prediction import predict

    need = predict(planned(run))
    predicted = max(need.of("load"), need.of("unlearn"))
    if (free := available("cpu").n_bytes) < 1.2 * predicted:
        words = f"not run: {in_words(free)} is free"
        return shape, way, predicted / 1e9, "", "", "", words
    told = in_a_process(run)
    phase = next(p for p in need.phases if p.total == predicted)
    parts = sorted(phase.parts.items(), key=lambda part: -part[1])[:4]
    words = ", ".join(f"{name} {in_words(n)}" for name, n in parts)
    measured = told["bytes"]
    return shape, way, predicted / 1e9, measured / 1e9, predicted / measured, told["seconds"], words


def released(shape: str, run: Run) -> tuple[Any, ...]:
    """The released algorithm's line: measured with some pairs' probabilities, the rest computed."""
    from unlearnbench.memory.machine import available

    each = 200 * 50257 * 4
    # Two models, Adam, and scores at every position: some twelve times the weights.
    if (
        available("cpu").n_bytes
        < 12 * 4 * planned(run).model.n_parameters + run.n_pairs * each + 6e9
    ):
        return shape, "released algorithm", "", "", "", "", "not run: too little is free"
    told = in_a_process(run)
    whole = told["bytes"] + (128 - run.n_pairs) * each
    words = (
        f"measured with {run.n_pairs} of 128 pairs: {told['bytes'] / 1e9:.2f} GB; "
        f"probabilities of all: {128 * each / GIB:.2f} GiB"
    )
    return shape, "released algorithm", "", whole / 1e9, "", told["seconds"], words


def in_a_process(run: Run) -> dict[str, float]:
    """What a fresh process measured of itself."""
    command = [sys.executable, __file__, "--child", json.dumps(vars(run))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr[-2000:])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def planned(run: Run) -> Any:
    """The cell of a run; nothing is loaded."""
    from unlearnbench.experiment import Experiment
    from unlearnbench.grid import make_plan

    return make_plan(Experiment.parse(run.options), download=False).cells[0]


def measure(run: Run) -> None:
    """In the child: run it and print bytes and seconds."""
    import time

    import torch

    from unlearnbench.memory.allocator import keep_small
    from unlearnbench.meter import peak_memory_bytes

    torch.set_num_threads(run.threads)
    cell = planned(run)
    keep_small(cell)
    started = time.perf_counter()
    if run.n_pairs:
        epoch_as_released(cell, run.n_pairs)
        found = peak_memory_bytes()
    else:
        found = epoch(cell)
    print(json.dumps({"bytes": found, "seconds": time.perf_counter() - started}))


def epoch(cell: Any) -> int:
    """One ICU epoch over the forget set; bytes at the peak."""
    from unlearnbench.examine import Examiner, StopLine
    from unlearnbench.meter import peak_memory_bytes
    from unlearnbench.metrics.extraction import memorisation_accuracy
    from unlearnbench.metrics.text import BertScore
    from unlearnbench.registry import find
    from unlearnbench.trace import RowRecord

    class Quick(Examiner):
        """MA alone, and never under the stop line."""

        def examine(self, model: Any, rows: Any, ma_line: float | None = None) -> list[Any]:  # noqa: ARG002
            import torch

            with model.meter.phase("examine"), torch.no_grad():
                ma = memorisation_accuracy(model, rows, self.protocol, self.batch_size)
            rest = {"el": 1, "bertscore_f1": 1, "bleu": 1, "entropy": 1}
            named = zip(rows.doc_ids, ma, strict=True)
            return [
                RowRecord(doc_id=d, ma=m, **rest, forgotten=False, continuation="")
                for d, m in named
            ]

    bertscore = BertScore(cell.data.bert)
    bertscore.f1(["a text"], ["another text"])  # as after any examination
    model = cell.model.load()
    model.strategy = cell.model.strategy
    examiner = Quick(cell.protocol, StopLine(-1.0, -1.0), bertscore)
    forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, examiner)
    find("methods", cell.method)(**cell.settings).unlearn(model, forget_set)
    return (
        max(cost.peak_memory_bytes for cost in model.meter.phases.values()) or peak_memory_bytes()
    )


def epoch_as_released(cell: Any, n_pairs: int) -> None:
    """Two steps with everything kept that the released algorithm keeps, for so many pairs."""
    import copy

    import torch
    import torch.nn.functional as F

    network = cell.model.load().network
    frozen = copy.deepcopy(network)
    size, vocabulary = 8, network.config.vocab_size
    draw = torch.Generator().manual_seed(0)
    batches = torch.randint(vocabulary, (n_pairs // size, size, 200), generator=draw)
    with torch.no_grad():
        stored = [F.softmax(frozen(ids, use_cache=False).logits, dim=-1) for ids in batches]
    adam = torch.optim.Adam(network.parameters(), lr=5e-6, betas=(0.9, 0.98))
    for ids, probabilities in list(zip(batches, stored, strict=True))[:2]:
        target = network(ids, labels=ids, use_cache=False)
        pair = network(ids, labels=ids, use_cache=False)
        log_q = torch.log(F.softmax(pair.logits, dim=-1) + 1e-12)
        kept = -(probabilities * log_q).sum(-1).mean()
        adam.zero_grad()
        (-target.loss + 0.5 * pair.loss + kept).backward()
        adam.step()


def write_model(folder: Path, shape: str) -> Path:
    """A model of that shape with random weights, and a tokenizer of as many words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    place = folder / shape
    if place.is_dir():
        return place
    options = {**GPT_NEO, **(SHAPES[shape] or {}), "bos_token_id": 50256, "eos_token_id": 50256}
    config = AutoConfig.for_model(options.pop("model_type"), **options)
    large = shape == "gpt-neo-1.3b"  # its file in float32 is 5 GB
    torch.manual_seed(0)
    dtype = torch.bfloat16 if large else torch.float32
    AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(place)
    words = {f"t{i}": i for i in range(options["vocab_size"] - 1)} | {"<|endoftext|>": 50256}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    made.save_pretrained(place)
    return place


def write_arrays(folder: Path, data: Path | None, rows: int) -> Path:
    """The extraction benchmark's arrays, cut to what is needed; random ids where there are none."""
    import numpy as np

    dice = np.random.default_rng(0)
    for name, width in (("preprefix", 100), ("prefix", 50), ("suffix", 50)):
        n = max(rows, 128) + N_POOL
        if data is not None:
            part = np.load(data / f"train_{name}.npy")[:n]
        else:
            part = dice.integers(50000, size=(n, width)).astype(np.uint16)
        np.save(folder / f"train_{name}.npy", part)
    # The ids are the models' own, so that nothing is tokenised again.
    from tokenizers import Tokenizer, models

    words = {f"t{i}": i for i in range(50256)} | {"<|endoftext|>": 50256}
    Tokenizer(models.WordLevel(words, unk_token="t0")).save(str(folder / "tokenizer.json"))
    (folder / "exp").mkdir()
    ids = "".join(f"{i}\n" for i in range(max(rows, 128)))
    (folder / "exp" / "rows_0.csv").write_text("doc_id\n" + ids)
    return folder


if __name__ == "__main__":
    main()
