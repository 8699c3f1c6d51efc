"""An experiment: what a run is asked, whether by flags, by a TOML file or in Python."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.safe_text import check_absent
from unlearnbench.registry import ALL
from unlearnbench.settings import parse_value, setting, settings_of


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything one can ask of a run; each field is a flag, a TOML key and part of the record."""

    methods: tuple[str, ...] = setting(
        (),
        "methods to compare, with wrappers: kumpr+sam; all: every one; default: those that 'list "
        "methods' calls default",
    )
    adapter: str | None = setting(
        None, "wrapper to put round every gradient method: lora, or any that `list wrappers` names"
    )
    model: tuple[str, ...] = setting(
        ("nano-neo",),
        "models: an alias, a hub id, a folder (an adapter's too), a .gguf file or a wheel",
    )
    revision: str | None = setting(None, "branch, tag or commit of the model on the hub")
    benchmark: str | None = setting(
        None,
        "a benchmark by name, or a .toml file of one's own: it says what is forgotten, kept and "
        "measured; other options win",
    )
    split: tuple[str, ...] = setting(
        (), "which forget splits of the benchmark; default: those it names"
    )
    template: Literal["auto", "chat", "plain"] = setting(
        "auto",
        "of questions: the tokenizer's chat template or the plain prompt; auto: as the benchmark "
        "says, else the chat template where there is one",
    )
    retrained: tuple[str, ...] = setting(
        (),
        "a model trained without the forget set, that others are compared with: MODEL, or "
        "SPLIT=MODEL; default: the one that the benchmark or the nano model names",
        commas=False,
    )
    forget_set: str | None = setting(
        None, "where the forget sets are: 'nano', a folder, a file; default: that of nano models"
    )
    rows: str | None = setting(
        None, "folder of the extraction benchmark's three .npy files that doc_ids point into"
    )
    pool: str | None = setting(None, "text file to draw analogous sequences from")
    unseen: str | None = setting(None, "text file the models never saw, for --stop calibrated")
    refusals: str | None = setting(
        None, 'file of "don\'t know" answers, one a line, for methods that prefer such an answer'
    )
    pairing: str = setting(
        "nearest",
        "which row of the pool stands beside a row to forget: nearest (eq. 2), random (drawn anew "
        "at each use), or same:FIELD (random among those with the row's value of a field)",
    )
    runs: tuple[str, ...] = setting(
        (), "which forget sets of the source; default: all but 'tuning'"
    )
    sequence: tuple[str, ...] = setting(
        (),
        "forget sets in the order in which they are requested: each is unlearned from the model "
        "that has forgotten those before it, and beside that all so far at once",
    )
    seeds: tuple[int, ...] = setting((42,), "one cell per seed", minimum=0, maximum=2**32 - 1)
    protocol: Literal["paper", "released"] = setting(
        "paper", "follow the paper or its released code where they differ"
    )
    settings: tuple[str, ...] = setting(
        (),
        "METHOD.NAME=VALUE, and so of a WRAPPER, TASK or ATTACK; protocol.NAME=VALUE",
        flag="set",
        commas=False,
    )
    tasks: tuple[str, ...] = setting(
        (), "tasks to measure; default: the built-in ones that need no benchmark"
    )
    attacks: tuple[str, ...] = setting(
        (),
        "attacks on every unlearned model, on the model before unlearning and on the retrained one "
        "alike; default: those that need nothing given (which `unlearnbench attack` makes); all",
    )
    attack_tasks: tuple[str, ...] = setting(
        (),
        "tasks to measure under attack; default: those of --tasks that look at the forget set",
    )
    stop: Literal["auto", "paper", "calibrated", "rows"] = setting(
        "auto",
        "stop line: Jang et al.'s numbers or measured; rows: measured, and no single row known; "
        "auto: calibrated for nano models",
    )
    el_epochs: Literal["auto", "all", "deciding"] = setting(
        "auto",
        "after which epochs EL is measured: all, or those that it can decide, with MA under its "
        "line already (faster); auto: deciding in the nano world",
    )
    references: tuple[str, ...] = setting(
        ("auto",),
        "rows to compare with: before, dedup, retrained, null (retrained with another seed); auto: "
        "those there are; none; shams: before, retrained, null and rows that must not look like "
        "unlearning",
    )
    limit: int | None = setting(None, "use only the first rows of each forget set", minimum=1)
    task_limit: int | None = setting(
        None, "use only the first documents of each task, of a text in one piece windows", minimum=1
    )
    max_epochs: int | None = setting(
        None, "epoch limit of every method; default: the method's own", minimum=1
    )
    learning_rates: str | None = setting(
        None, "file written by 'unlearnbench tune'; default: the one shipped with a nano model"
    )
    device: str = setting("auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", "of the parameters; auto: float32"
    )
    quantise_base: Literal["no", "8bit", "4bit"] = setting(
        "no",
        "read the model in so many bits by bitsandbytes; only adapters beside it are trained "
        "(--adapter lora), on a CUDA GPU",
    )
    threads: int = setting(
        0, "torch's threads in each cell; 0: one for nano models, else all cores", minimum=0
    )
    encoder: str | None = setting(
        None,
        "sentence encoder that finds pairs: hub id, folder or wheel; default: all-MiniLM-L6-v2, or "
        "that of the nano world",
    )
    bert: str | None = setting(
        None,
        "BERT of BERTScore: hub id, folder or wheel; off: no BERTScore; default: "
        "bert-base-uncased, or that of the nano world",
    )
    text: tuple[str, ...] = setting(
        (),
        "NAME=FILE or NAME=hub@COMMIT, a text to measure perplexity on: pile and wikitext are "
        "the table's own, any other is also measured; NAME=off: not that one",
        commas=False,
    )
    data: str | None = setting(
        None,
        "folder of the classification and dialogue sets, and of pile_validation.* and "
        "wikitext_validation.*; default: the hub, or the nano world",
    )
    data_revision: tuple[str, ...] = setting(
        (), "NAME=COMMIT, the state of a set on the hub; default: its newest"
    )
    plugin: tuple[str, ...] = setting((), "a .py file with methods or tasks", commas=False)
    trust_remote_code: bool = setting(False, "run Python code that comes with a model")
    allow_pickle: bool = setting(
        False,
        "read pickled weights (.bin) where there are no safetensors: tensors only, by torch's "
        "own rules",
    )
    batch_size: int | None = setting(
        None,
        "rows per optimisation step of every method, over all processes; default: the method's own",
        minimum=1,
    )
    gradient_accumulation_steps: int = setting(
        1, "parts in which a batch is taken, to save memory; changes no number", minimum=1
    )
    gradient_checkpointing: bool = setting(
        False, "compute activations again instead of keeping them: less memory, a third slower"
    )
    mixed_precision: Literal["no", "bf16"] = setting(
        "no", "bf16: compute in bfloat16 over float32 weights"
    )
    deepspeed: str | None = setting(
        None, "zero2, zero3 or a DeepSpeed configuration file; under a launcher of processes"
    )
    optimizer: Literal["adam", "adamw"] = setting(
        "adam", "adam: the paper's, betas .9 and .98; adamw: betas .9 and .999, with weight decay"
    )
    weight_decay: float = setting(0.0, "of adamw, on weight matrices alone", minimum=0)
    lr_schedule: Literal["constant", "linear", "cosine"] = setting(
        "constant", "of the learning rate, which ends at 0 with the last step; constant: does not"
    )
    warmup_steps: int = setting(
        0, "steps over which the learning rate rises from 0 to the method's", minimum=0
    )
    warmup_epochs: float = setting(0.0, "the same in epochs over all rows", minimum=0)
    max_grad_norm: float | None = setting(
        None, "clip each step's gradient to this global norm; default: nothing is clipped", above=0
    )
    until: Literal["line", "epochs", "steps", "budget"] = setting(
        "line",
        "how a run ends: under the stop line or at the epoch limit; after exactly --max-epochs or "
        "--max-steps, whatever the line says; when --utility-budget is used up, or at the epoch "
        "limit",
    )
    max_steps: int | None = setting(None, "optimisation steps of --until steps", minimum=1)
    utility_budget: float | None = setting(
        None,
        "of --until budget: end when a validation text's loss exceeds so many times its start",
        above=1,
    )
    budget_text: str | None = setting(
        None, "the text of --utility-budget; default: the first of the run's texts"
    )
    budget_every: int | None = setting(
        None,
        "steps after which the budget's text is looked at, beside each epoch's end; default: 10",
        minimum=1,
    )
    save_models: bool = setting(False, "keep every unlearned model whole under OUT/models")
    profile: bool = setting(
        False,
        "write a trace of each cell that is run to OUT/traces/KEY.json.gz, for ui.perfetto.dev or "
        "chrome://tracing: every phase, and the operations at the beginning of each",
    )
    track: tuple[str, ...] = setting(
        (),
        "log each cell that is run, epoch by epoch, to tensorboard, wandb, mlflow or another "
        "tracker that accelerate knows; files lie under OUT/tracking",
    )
    out: str = setting("results", "folder of the results")
    launcher: Literal["local", "ray"] = setting(
        "local", "run cells on this machine, or on a Ray cluster"
    )
    jobs: int | None = setting(
        None,
        "cells at a time, each in a process of its own; 0: in this process; default: two for nano "
        "models if there are cores, else one; with Ray as many as fit",
        minimum=0,
    )
    shard: str | None = setting(
        None, "i/n: run only the i-th of n equal parts of the grid, for job arrays"
    )
    cell_timeout: float | None = setting(
        None, "minutes after which a cell is stopped and counted as failed", above=0
    )
    retries: int = setting(
        2, "how often a cell is run again whose process or machine was lost", minimum=0
    )
    ray_address: str | None = setting(
        None, "a running Ray cluster: auto or HOST:PORT; default: one of its own here"
    )
    gpus_per_cell: float | None = setting(
        None, "GPUs that a cell asks for; default: one where there are any", minimum=0
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any], spelling: str = "--{}") -> "Experiment":
        """The experiment of text or TOML values by field name, each checked.

        What a benchmark says comes first; other values win, and settings are added to its own.
        Raises `UserError` naming the field by its `spelling`.
        """
        values = with_benchmark(values)
        available, see = settings_of(cls), "unlearnbench run --help"
        for name in values:
            if name not in available:
                raise unknown("option", name, available, see)
        labels = {
            name: spelling.format(available[name].flag if spelling.startswith("-") else name)
            for name in values
        }
        check_absent({labels[name]: value for name, value in values.items()})
        parsed = cls(
            **{n: parse_value(available[n], v, f"{labels[n]} ", see) for n, v in values.items()}
        )
        if parsed.benchmark is not None:
            from unlearnbench.data.benchmarks.definition import check_splits, find_benchmark

            check_splits(find_benchmark(parsed.benchmark), parsed.split)
        return parsed

    @classmethod
    def from_toml(cls, path: Path) -> dict[str, Any]:
        """The values a configuration file gives, by field name; raises `UserError` on bad TOML."""
        try:
            return tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            raise UserError(
                f"cannot read {path}: {error.strerror}; give an existing --config"
            ) from error
        except (ValueError, RecursionError) as error:  # not TOML, or digits or nesting without end
            raise UserError(f"{path} is not TOML: {error}") from error

    def to_toml(self) -> str:
        """This experiment, all fields resolved, as a file `--config` takes."""
        import tomli_w

        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return tomli_w.dumps(
            {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}
        )


def with_benchmark(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those of the benchmark that they name, where they say nothing themselves.

    Settings of a method or task that they leave out are left out, too.
    Raises `UserError` for a benchmark that does not exist.
    """
    name = values.get("benchmark")
    if not isinstance(name, str) or not name:
        return dict(values)
    from unlearnbench.data.benchmarks.definition import find_benchmark

    own = find_benchmark(name).definition.run
    listed = [values.get("settings", ()), own.get("settings", ())]
    given, of_benchmark = ([one] if isinstance(one, str) else list(one) for one in listed)
    chosen = _names({**own, **values})
    absent = set() if ALL in chosen else _names(own) - chosen
    added = [o for o in of_benchmark if o not in given and o.partition(".")[0] not in absent]
    return {**own, **values, **({"settings": [*added, *given]} if added or given else {})}


def _names(values: Mapping[str, Any]) -> set[str]:
    """The methods, wrappers and tasks that values name."""
    named = [values.get("methods", ()), values.get("tasks", ())]
    listed = [n for each in named for n in (each.split(",") if isinstance(each, str) else each)]
    return {part.strip() for name in listed for part in str(name).split("+")}
