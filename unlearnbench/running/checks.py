"""What a method must leave as it was given: checked before anything is measured."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.models.quantised import is_quantised
from unlearnbench.models.sequences import sequences_sha256
from unlearnbench.results.record import UnlearnTrace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel

Shapes = Mapping[str, str]  # of parameters and buffers, by name: 'float32 [97, 32]'


@dataclass(frozen=True)
class MethodInputs:
    """What a method is given and may not change: all but the values of the weights."""

    network: "PreTrainedModel"
    shapes: Shapes
    tokenizer_sha256: str
    rows_sha256: str

    @classmethod
    def of(cls, model: "LanguageModel", forget_set: "ForgetSet") -> "MethodInputs":
        """What is about to be given to a method."""
        shapes, tokenizer = shapes_of(model.network), tokenizer_sha256(model.tokenizer)
        return cls(model.network, shapes, tokenizer, _rows_sha256(forget_set))


def check_unlearned(
    trace: object, model: "LanguageModel", forget_set: "ForgetSet", inputs: MethodInputs
) -> UnlearnTrace:
    """The trace, if model and forget set can be measured after it.

    A trace that says 'collapsed' may leave any weights: nothing is measured on them.
    Raises `UserError` for what a plugin did wrong, with what it should have done.
    """
    checked = _checked_trace(trace, forget_set.rows.doc_ids)
    if model.network is not inputs.network:
        raise UserError(
            "the method replaced model.network; change the weights of the one that it is given"
        )
    before, after = inputs.shapes, shapes_of(model.network)
    if changed := next((n for n in (*before, *after) if before.get(n) != after.get(n)), None):
        raise UserError(
            f"the method changed the network itself: {changed} is {after.get(changed, 'gone')}, "
            f"and was {before.get(changed, 'not there')}; of the weights only the values may change"
        )
    if tokenizer_sha256(model.tokenizer) != inputs.tokenizer_sha256:
        raise UserError(
            "the method changed the tokenizer, so the data's token ids mean something else; "
            "let it work on a copy: copy.deepcopy(model.tokenizer)"
        )
    if _rows_sha256(forget_set) != inputs.rows_sha256:
        raise UserError(
            "the method changed the rows of its forget set; let it work on a copy of the tensors"
        )
    if checked.outcome != "collapsed" and (name := not_finite(model.network)):
        raise UserError(f"the method left NaN or infinite weights: {name}")
    return checked


def shapes_of(network: "PreTrainedModel") -> Shapes:
    """Type and shape of every parameter and buffer that a saved model has, by name.

    An adapter that stays beside a quantised base is none of them, nor is what unpacks the base.
    """
    named: Mapping[str, Any] = network.state_dict()
    if is_quantised(network):
        other = (".lora_", ".weight.")  # WEIGHT.absmax and the like
        own = {n: tensor for n, tensor in named.items() if not any(part in n for part in other)}
        named = {name.replace(".base_layer.", "."): tensor for name, tensor in own.items()}
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        for name, tensor in named.items()
    }


def not_finite(network: "PreTrainedModel") -> str:
    """The first parameter with a NaN or infinite number; empty if there is none."""
    wrong = (n for n, p in network.named_parameters() if not bool(p.isfinite().all()))
    return next(wrong, "")


def tokenizer_sha256(tokenizer: Any) -> str:
    """Over everything that decides which ids a text becomes, and back."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = tokenizer.get_vocab() if backend is None else json.loads(backend.to_str())
    # How the last call wanted its rows cut and padded; every call says so anew.
    for of_one_call in ("padding", "truncation"):
        state.pop(of_one_call, None)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    special.pop("pad_token", None)  # padding is no text: whichever token it is
    return text_sha256(type(tokenizer).__name__, json.dumps([state, special], sort_keys=True))


def _rows_sha256(forget_set: "ForgetSet") -> str:
    rows = forget_set.rows
    return text_sha256(sequences_sha256(rows, forget_set.pool), *rows.doc_ids)


def _checked_trace(trace: object, doc_ids: Collection[str]) -> UnlearnTrace:
    if not isinstance(trace, UnlearnTrace):
        raise UserError(
            f"the method's unlearn() returned {type(trace).__name__}, not an UnlearnTrace; "
            "see docs/methods.md"
        )
    last = trace.epochs[-1].epoch if trace.epochs else trace.n_epochs
    if trace.n_epochs < last or last < 0:
        raise UserError(
            f"the method's trace says {trace.n_epochs} epochs, and the last in it is {last}"
        )
    for before, epoch in pairwise(trace.epochs):
        if epoch.epoch <= before.epoch:
            raise UserError(f"the method's trace has epoch {epoch.epoch} after {before.epoch}")
    for epoch in trace.epochs:
        ids = [row.doc_id for row in epoch.rows]
        if len(set(ids)) < len(ids) or not set(ids) <= set(doc_ids):
            raise UserError(
                f"the method's trace has, in epoch {epoch.epoch}, a doc_id twice or one that is "
                "none of the forget set's"
            )
    return trace
