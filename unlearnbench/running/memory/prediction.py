"""What a cell takes of memory at most, phase by phase, from its model's configuration alone.

The first part are pure functions, which take a network's dimensions and give bytes by what they
are for.  What a process really took is in docs/memory.md; they are meant to be within 30% of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unlearnbench.models.quantised import spared_bytes
from unlearnbench.registry import find
from unlearnbench.running.token_bounds import n_rows, row_length

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.devices.strategy import Strategy

WEIGHTS = "weights"
GRADIENTS = "gradients"
OPTIMISER = "optimiser states"
ACTIVATIONS = "activations"
LOGITS = "logits"
REFERENCE = "frozen reference"
WRAPPERS = "wrappers of the method"
CACHES = "keys and values"
SECOND = "second network"
SCORER = "BERTScore's network"
LIBRARIES = "libraries"

Parts = dict[str, int]  # bytes by what they are for

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}  # of a number
_FLOAT = 4  # logits are made float32 before a loss or a search looks at them
_AUTOCAST = 0.6  # of float32's activations: products in 16 bits, norms and residuals in 32
# Tensors of a feed-forward layer's inner width that are kept for its gradients, by activation.
# "gelu_new" is computed in steps, but for GPT-Neo, where it is fused (models/gpt_neo.py).
_KEPT_OF_INNER = {"relu": 1, "gelu_new": 5}
_EXAMINED_ROWS = 64  # in one pass
_N_GRAM = 10  # of EL; no continuation starts later
# Resident bytes of a process that has imported torch, transformers, trl and the scorers and has
# taken one step; measured with torch 2.13 for CPUs on Linux.
LIBRARIES_BYTES = 600 * 10**6
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Shape:
    """What of a network decides its memory."""

    n_parameters: int  # tied ones once
    vocabulary: int  # V
    width: int  # d, of a hidden state
    n_layers: int  # L
    kept: int  # numbers that a layer keeps of a token for its gradients
    key_width: int  # numbers in a token's keys in one layer, all heads together
    context: int  # tokens

    @classmethod
    def of(cls, config: Any, n_parameters: int) -> "Shape":
        """That of a transformers configuration; raises `AttributeError` where it says too little.

        A layer keeps some eight tensors of width d (inputs of two norms and what comes out,
        queries, keys, values and what attention mixes of them) and two of the inner width f; one
        with a gate keeps ten and four; of a mixture, of every expert that a token goes through.
        Attention is taken to be a fused kernel's, and a network without heads to have one.
        """
        config = config.get_text_config()
        d, n_heads = config.hidden_size, getattr(config, "num_attention_heads", 1)
        names = ("moe_intermediate_size", "intermediate_size", "n_inner", "ffn_dim")
        inner = next((n for name in names if (n := getattr(config, name, None))), 4 * d)
        inner *= getattr(config, "num_experts_per_tok", None) or 1
        key_width = (getattr(config, "num_key_value_heads", None) or n_heads) * (
            getattr(config, "head_dim", None) or d // n_heads
        )
        embeddings = config.vocab_size * d * (1 if config.tie_word_embeddings else 2)
        per_layer = (n_parameters - embeddings) / config.num_hidden_layers
        has_gate = per_layer - 2 * d * (d + key_width) > 2.5 * d * inner  # three products, not two
        named = getattr(config, "hidden_act", getattr(config, "activation_function", ""))
        activation = "fused" if config.model_type == "gpt_neo" else str(named)
        return cls(
            n_parameters,
            config.vocab_size,
            d,
            config.num_hidden_layers,
            10 * d + 4 * inner if has_gate else 8 * d + _KEPT_OF_INNER.get(activation, 2) * inner,
            key_width,
            int(getattr(config, "max_position_embeddings", 1 << 30)),
        )

    @property
    def n_linear(self) -> int:
        """Weights without embeddings and head."""
        return self.n_parameters - 2 * self.vocabulary * self.width

    def cached(self, dtype: str) -> int:
        """Bytes of a token's keys and values in all layers."""
        return 2 * self.n_layers * self.key_width * BYTES[dtype]


@dataclass(frozen=True)
class Step:
    """What of a cell decides how much an optimisation step takes, the network apart."""

    n_rows: int  # M, sequences to forget
    length: int  # T, tokens of each
    n_scored: int  # of them that the loss counts
    n_compared: int  # of them where the KL term compares with the frozen reference; 0: none
    batch_size: int  # rows per step, over all processes
    n_sequences: int  # that the loss scores for each row
    n_trained: int | None = None  # numbers; None: all parameters
    n_copies: int = 0  # lists of as many numbers that wrappers keep beside gradients


def held(shape: Shape, step: Step, dtype: str) -> Parts:
    """What stays from step to step: Adam keeps two numbers per parameter in its precision.

    A frozen reference is its head's inputs [M * n_compared, d] and a copy of the head.
    """
    size = BYTES[dtype]
    weights = size * shape.n_parameters
    kept = step.n_rows * step.n_compared + shape.vocabulary if step.n_compared else 0
    trained = weights if step.n_trained is None else size * step.n_trained
    parts = {WEIGHTS: weights, GRADIENTS: trained, OPTIMISER: 2 * trained}
    if step.n_trained is not None:
        parts[WEIGHTS] += trained  # an adapter is beside the weights
    if step.n_copies:
        parts[WRAPPERS] = step.n_copies * trained
    return parts | ({REFERENCE: size * kept * shape.width} if kept else {})


def training(shape: Shape, step: Step, strategy: "Strategy", dtype: str, on_gpu: bool) -> Parts:
    """The most that a step takes once Adam's states are there, ZeRO's sharing left out.

    Three moments are compared.  When the loss is known, all activations and the logits are
    there, and gradients only of earlier parts.  When the gradients are, those of one pass are
    complete while the others' activations wait: a parameter's gradient is added up last.  On a
    GPU Adam needs as much again as the weights for a moment.
    """
    share = -(-min(step.batch_size, step.n_rows) // strategy.n_processes)
    n_parts = min(share, strategy.gradient_accumulation_steps)
    rows = -(-share // n_parts)
    always = held(shape, step, dtype)
    weights = always.pop(GRADIENTS)
    head = BYTES[dtype] * shape.vocabulary * shape.width  # gradient of a head or of embeddings
    head *= step.n_trained is None  # which an adapter leaves alone
    one, layer = _activations(shape, rows * step.length, strategy, dtype)
    earlier = weights if n_parts > 1 else 0
    moments: list[Parts] = [
        {
            GRADIENTS: earlier,
            ACTIVATIONS: step.n_sequences * one + head,
            LOGITS: _loss_logits(shape, rows, step),
        },
        {
            GRADIENTS: earlier + weights,
            ACTIVATIONS: (step.n_sequences - 1) * one + layer + 2 * head,
        },
        {GRADIENTS: weights, OPTIMISER: weights if on_gpu else 0},
    ]
    return added(always, max(moments, key=lambda parts: sum(parts.values())))


def _activations(shape: Shape, n_tokens: int, strategy: "Strategy", dtype: str) -> tuple[int, int]:
    """Bytes that a pass keeps for its gradients, and those of one layer while it is gone through.

    Checkpointed layers keep their inputs alone.  Autocast keeps a copy of each weight, too.
    """
    autocast = strategy.mixed_precision != "no"
    factor = BYTES[dtype] * (_AUTOCAST if autocast else 1)
    layer = int(factor * n_tokens * shape.kept)
    if strategy.gradient_checkpointing:
        return BYTES[dtype] * n_tokens * shape.n_layers * shape.width, layer
    return shape.n_layers * layer + (2 * shape.n_parameters if autocast else 0), layer


def _loss_logits(shape: Shape, rows: int, step: Step) -> int:
    """Scores, their logarithm and the gradients of both; the KL term has the reference's as well.

    Many positions are gone through in pieces, of which one is there at a time.
    """
    from unlearnbench.models.scoring import _BYTES_AT_ONCE

    scores = _FLOAT * rows * max(step.n_scored, step.n_compared) * shape.vocabulary
    if not step.n_compared:
        return 4 * min(scores, _BYTES_AT_ONCE)
    return 7 * _BYTES_AT_ONCE if scores > _BYTES_AT_ONCE else 12 * scores


def examination(shape: Shape, length: int, dtype: str) -> Parts:
    """A teacher-forced pass over some rows, or what is decoded from every start in them."""
    from unlearnbench.models.generation.branches import _MEMORY_BYTES

    scores = _FLOAT * shape.vocabulary  # of one position
    one = length * shape.cached(dtype)
    rows = max(1, min(_EXAMINED_ROWS, _MEMORY_BYTES // (length * scores)))
    most = max(_EXAMINED_ROWS, _MEMORY_BYTES // (one + scores))
    branches = min(most, rows * max(length - _N_GRAM, 1))
    forced = {CACHES: rows * one, LOGITS: rows * length * scores}
    decoded = {CACHES: (rows + branches) * one, LOGITS: branches * scores}
    return max(forced, decoded, key=lambda parts: sum(parts.values()))


def texts(shape: Shape, n_rows: int, n_kept: int, length: int, n_scored: int, dtype: str) -> Parts:
    """A task's pass over `n_rows` texts of `length` tokens, the last `n_scored` of them scored.

    The keys and values of up to `n_kept` more texts are kept for later ones, as many as have room.
    """
    from unlearnbench.models.generation.room import _KEPT_BYTES

    one = length * shape.cached(dtype)
    scores = _FLOAT * n_rows * n_scored * shape.vocabulary
    return {CACHES: n_rows * one + min(n_kept * one, _KEPT_BYTES), LOGITS: 2 * scores}


def shared_by_zero(parts: Parts, stage: int, n_processes: int) -> Parts:
    """A process's part of what ZeRO shares out: in stage 1 states, 2 gradients, 3 weights too.

    DeepSpeed keeps a flat copy of its share of the weights beside Adam's states.
    """
    shared = (OPTIMISER, GRADIENTS, WEIGHTS)[:stage]
    own = {name: n // n_processes if name in shared else n for name, n in parts.items()}
    return added(own, {OPTIMISER: parts[WEIGHTS] // n_processes})


def added(*several: Parts) -> Parts:
    """The sum of several, part by part."""
    total: Counter[str] = Counter()
    for parts in several:
        total.update(parts)
    return {name: n for name, n in total.items() if n}


# ---- of a cell


@dataclass(frozen=True)
class MemoryNeed:
    """What a cell takes at most in one process: of the GPU's memory, or of the machine's."""

    phases: Mapping[str, Parts]  # load, examine, unlearn, measure

    @property
    def peak(self) -> str:
        """The phase that takes most; the first of equal ones."""
        return max(self.phases, key=self.of)

    @property
    def parts(self) -> Parts:
        """What the peak is made of."""
        return self.phases[self.peak]

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.of(self.peak)

    def of(self, phase: str) -> int:
        """Bytes of one phase; 0 if there is none of that name."""
        return sum(self.phases.get(phase, {}).values())


def in_words(n_bytes: float) -> str:
    """Bytes as a person says them: '3.2 GB'."""
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.3g} {units[0]}"


def predict(cell: "Cell", strategy: "Strategy | None" = None, dtype: str = "") -> MemoryNeed:
    """The memory one process of a cell takes at its peak, phase by phase.

    `strategy` and `dtype` ask how it would be trained another way.  On a GPU the allocator's bytes
    are predicted, without the CUDA context; on the CPU, the process's resident bytes, libraries
    included.  Raises `UserError` where the model or BERTScore's network is not here, and
    `AttributeError` where a configuration does not name its dimensions as transformers does.
    """
    strategy, dtype = strategy or cell.model.strategy, dtype or cell.model.dtype
    on_gpu = not cell.model.device.startswith("cpu")
    shape = _shape(cell.model)
    common = {
        SCORER: _scorer_bytes(cell),
        LIBRARIES: 0 if on_gpu else LIBRARIES_BYTES,
        WEIGHTS: -spared_bytes(cell.model.quantise_base, shape.n_linear, BYTES[dtype]),
    }
    kept: Parts = {WEIGHTS: BYTES[dtype] * shape.n_parameters}
    phases = {"load": kept}
    if cell.is_trained:
        step = _step(cell)
        trained = training(shape, step, strategy, dtype, on_gpu)
        second = _second_network(cell, kept)  # whole in every process
        phases["unlearn"] = added(_sharded(trained, strategy), second)
        kept = added(_sharded(held(shape, step, dtype), strategy), second)
    examined = examination(shape, row_length(cell), dtype)
    phases["examine"] = added(kept, examined)
    needs = [examined, *_tasks(cell, shape, dtype)]
    largest = max(needs, key=lambda parts: sum(parts.values()))
    still_there = {name: kept[name] for name in (WEIGHTS, SECOND) if name in kept}
    if cell.retrained is not None:  # loaded beside the measured model
        beside = BYTES[cell.retrained.dtype] * cell.retrained.n_parameters
        still_there = added(still_there, {SECOND: beside})
    phases["measure"] = added(still_there, largest)
    return MemoryNeed({name: added(own, common) for name, own in phases.items()})


def _second_network(cell: "Cell", weights: Parts) -> Parts:
    """What a method keeps of the original or of another network, whole, beside the trained one."""
    method: Any = find("methods", cell.method)
    return {SECOND: weights[WEIGHTS]} if method.keeps_second_model else {}


def _step(cell: "Cell") -> Step:
    """The benchmark's rows: the last 50 tokens are the suffix."""
    method: Any = find("methods", cell.method)
    protocol, length = cell.protocol, row_length(cell)
    n_scored = 50 if protocol.loss_span == "suffix" else length - 1
    compared = length if protocol.kl_term == "cross_entropy" else n_scored
    return Step(
        n_rows(cell),
        length,
        n_scored,
        compared if method(**cell.settings).keeps_original_outputs else 0,
        int(cell.settings["batch_size"]),
        method.sequences_per_row,
        *_of_wrappers(cell, method),
    )


def _of_wrappers(cell: "Cell", method: Any) -> tuple[int | None, int]:
    """The numbers that are trained, if not all, and how many more lists of them there are."""
    from unlearnbench.experiments.data_choice import without_weights
    from unlearnbench.unlearning.wrapper import made_wrappers

    if not getattr(method, "wrapper_kinds", ()):
        return None, 0
    wrappers, network = made_wrappers(method(**cell.settings)), without_weights(cell.model).network
    n_trained = [n for w in wrappers if (n := w.n_trained(network)) is not None]
    n_copies = sum(w.n_copies for w in wrappers if w.changes_gradients)
    return (n_trained[0] if n_trained else None), n_copies


def _sharded(parts: Parts, strategy: "Strategy") -> Parts:
    from unlearnbench.models.devices.deepspeed import configuration

    if strategy.deepspeed is None:
        return parts
    stage = configuration(strategy.deepspeed)["zero_optimization"]["stage"]
    return shared_by_zero(parts, stage, strategy.n_processes)


def _tasks(cell: "Cell", shape: Shape, dtype: str) -> Iterable[Parts]:
    """What each task takes that reads evaluation sets; a token is taken to be four characters.

    The windows of a perplexity are bounded and take less than an examination.
    """
    for name, settings in cell.tasks.items():
        task = find("tasks", name)(**settings)
        sets = [cell.data.sets[needed] for needed in task.needs if needed in cell.data.sets]
        rows = [row for read in sets for row in read.rows]
        length = max(map(_characters, rows), default=0) // _CHARACTERS_PER_TOKEN
        length = min(length, shape.context)
        batch = int(getattr(task, "batch_size", 8))
        writes = hasattr(task, "new_tokens")  # token by token; else answers of half a text at most
        n_kept, n_scored = (batch, 1) if writes else (len(rows), -(-length // 2))
        yield texts(shape, batch, n_kept, length, n_scored, dtype)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0


@lru_cache(maxsize=32)
def _shape(model: "ModelChoice") -> Shape:
    from unlearnbench.models.configuration import read_configuration
    from unlearnbench.models.source import absent, find_folder

    revision = model.source.revision
    folder = find_folder(model.requested, revision, download=False, allow_pickle=model.allow_pickle)
    if folder is None:
        raise absent(model.requested, revision)
    return Shape.of(read_configuration(folder, model.trust_remote_code), model.n_parameters)


def _scorer_bytes(cell: "Cell") -> int:
    """The weights of the BERT that scores a cell's continuations, always as its file has them."""
    from unlearnbench.metrics.bertscore_model import NO_BERT, bert_folder
    from unlearnbench.models.weight_files import weight_files

    if cell.data.bert == NO_BERT:
        return 0
    return sum(path.stat().st_size for path in weight_files(bert_folder(cell.data.bert)))
