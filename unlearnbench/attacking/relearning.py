"""Fine-tuning as an attack: windows of a text to train on, and the model after so many steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

import torch

from unlearnbench.attacking.held_out import drawn
from unlearnbench.attacking.recipes import Recipe
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.forget_source import assemble
from unlearnbench.errors import UserError
from unlearnbench.metrics.perplexity import cut_windows
from unlearnbench.models.devices.schedule import Schedule
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.paired import Pair
from unlearnbench.models.scoring import span_mask
from unlearnbench.models.sequences import Sequences
from unlearnbench.models.vocabulary import encode_starts
from unlearnbench.protocol import Protocol
from unlearnbench.unlearning.adapters import Adapters, adapted_layers
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.steps import Steps, recomputing, seeded_generator, shuffled_batches

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.models.language_model import LanguageModel

LossSpan = str  # 'suffix' or 'all', as the protocol's

# Rows of texts.


def text_rows(
    model: "LanguageModel", documents: Sequence[str], length: int, n_rows: int | None, seed: int
) -> Sequences:
    """[N, L] windows of documents that are drawn, at most `n_rows`: each token is predicted.

    A document ends with a window that may be shorter; BOS is one of a window's tokens.
    """
    bos = model.bos_token_id_to_prepend
    n_start = 0 if bos is None else 1
    windows: list[list[int]] = []
    names: list[str] = []
    for place in drawn(len(documents), seed, "documents"):
        if n_rows is not None and len(windows) >= n_rows:
            break
        (ids,) = encode_starts(model.tokenizer, [documents[place]])
        cut = cut_windows(ids, min(length, model.max_length), bos)
        windows += [window[n_start:] for window in cut]
        names += [f"text-{place}:{at}" for at in range(len(cut))]
    parts: list[tuple[list[int], list[int]]] = [([], window) for window in windows[:n_rows]]
    return assemble(model, parts, tuple(names[:n_rows]), names[:n_rows])


# Training.


@dataclass(frozen=True)
class State:
    """Where the training stands; the model is the one that was given."""

    n_steps: int
    n_tokens: int  # labelled ones, that were trained on so far
    loss: float | None  # mean of the steps since the last state, or of the training so far


def fine_tuned(
    model: "LanguageModel",
    rows: Sequences,
    recipe: Recipe,
    loss_span: LossSpan,
    seed: int,
    owner: str,
) -> Iterator[State]:
    """The model after each of the recipe's stops, changed in place; at 0 steps it is untouched.

    Rows come in the same order for every model.  A state is an ordinary network in eval mode,
    without gradients: adapters' products are added to the weights while it is looked at.  With a
    schedule or a warm-up each stop is a training of its own, from the model as it was given.
    Raises `UserError` naming the `owner` of the settings for what cannot be trained.
    """
    check_trainable(model, owner)
    ends = [stop.n_steps for stop in recipe.stops(len(rows))]
    anew = not recipe.is_path and len(ends) > 1
    network = model.network
    start = [p.detach().clone() for p in network.parameters()] if anew else []
    run = _Run(model, rows, recipe, loss_span, seed, ends[-1], owner)
    for n_steps in ends:
        if anew:
            _copy_into(network.parameters(), start)
            run = _Run(model, rows, recipe, loss_span, seed, n_steps, owner)
        yield run.until(n_steps)


def check_trainable(model: "LanguageModel", owner: str) -> None:
    """Raise `UserError` for what answers as two networks: training one would say nothing."""
    if Pair.of(model.network) is not None:
        raise UserError(
            f"{owner}: the model answers as a pair of networks (WHP), which no fine-tuning changes "
            "as one; take --attacks that ask a model, or methods that change weights: --methods "
            "task_vector"
        )


class _Run:
    """One training of a model in place."""

    def __init__(
        self,
        model: "LanguageModel",
        rows: Sequences,
        recipe: Recipe,
        loss_span: LossSpan,
        seed: int,
        n_steps: int,
        owner: str,
    ) -> None:
        self._model, self._recipe, self._seed, self._owner = model, recipe, seed, owner
        protocol = Protocol(loss_span=loss_span, loss_reduction="mean")  # type: ignore[arg-type]
        self._data = _training_set(rows, protocol)
        self._counted = span_mask(rows, protocol).sum(1).tolist()
        self._references = References(model, self._data)
        self._order = seeded_generator(seed, "order of rows")
        self._random = seeded_generator(seed, "draws")
        self._left: list[list[int]] = []  # batches of the running epoch
        self._in_all = n_steps
        self._strategy = _strategy(model.strategy, recipe)
        self._rate = recipe.rate(model.n_parameters)
        self._steps: Steps | None = None
        self._adapters: Adapters | None = None
        self._done, self._n_tokens = 0, 0

    def until(self, n_steps: int) -> State:
        """Train up to so many steps."""
        losses: list[float] = []
        if n_steps > self._done and not self._recipe.trains_nothing:
            with self._training() as steps:
                while self._done < n_steps:
                    losses.append(self._step(steps))
            _check_weights(self._model, self._done, self._owner)
        mean = sum(losses) / len(losses) if losses else None
        return State(n_steps, self._n_tokens, mean)

    def _step(self, steps: Steps) -> float:
        batch = self._next_batch()
        terms = steps.losses(
            _loss, self._data, batch, self._random, self._references, step=self._done
        ).terms
        loss = sum(terms.values())
        if not isfinite(loss):
            raise _diverged(self._owner, f"the loss is {loss}", self._done)
        steps.take()
        self._done += 1
        self._n_tokens += sum(self._counted[row] for row in batch)
        self._model.meter.advance(self._done, self._in_all)
        return loss

    def _next_batch(self) -> list[int]:
        if not self._left:
            rows = range(len(self._data.rows))
            self._left = shuffled_batches(rows, self._recipe.batch_size, self._order)
        return self._left.pop(0)

    @contextmanager
    def _training(self) -> Iterator[Steps]:
        model, before = self._model, self._model.strategy
        model.strategy = self._strategy
        model.network.eval()  # whoever looked at it: there is no dropout
        try:
            with model.training(), recomputing(model), self._adapted():
                if self._steps is None:
                    length = self._recipe.length(self._in_all)
                    self._steps = Steps(model, self._rate, length)
                yield self._steps
        finally:
            model.strategy = before

    @contextmanager
    def _adapted(self) -> Iterator[None]:
        """Adapters, if any, beside the weights; afterwards added to them."""
        recipe, network = self._recipe, self._model.network
        if recipe.weights != "lora":
            yield
            return
        if self._adapters is None:
            names = list(adapted_layers(network))
            self._adapters = Adapters(network, names, recipe.rank, recipe.alpha, self._seed)
        else:
            self._adapters.bring_back()
        try:
            yield
        finally:
            self._adapters.put_aside()


def _loss(batch: UnlearnBatch) -> "dict[str, Tensor]":
    return {"relearned": batch.target_nll}


def _training_set(rows: Sequences, protocol: Protocol) -> ForgetSet:
    """The rows as what gradient methods train on; there are no others beside them."""
    return ForgetSet("relearning", "", rows, rows.select([]), protocol, "", find_pairs=list)


def _strategy(run: Strategy, recipe: Recipe) -> Strategy:
    """How the training goes: of the run's own way only what fits it to memory stays."""
    return replace(
        run,
        gradient_accumulation_steps=recipe.accumulation,
        schedule=Schedule(
            optimizer="adamw",
            weight_decay=recipe.weight_decay,
            lr_schedule=recipe.schedule,
            max_grad_norm=recipe.max_grad_norm or None,
        ),
    )


def _copy_into(parameters: "Iterator[torch.nn.Parameter]", values: "Sequence[Tensor]") -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def _check_weights(model: "LanguageModel", n_steps: int, owner: str) -> None:
    if not all(bool(p.isfinite().all()) for p in model.network.parameters()):
        raise _diverged(owner, "weights are no longer finite", n_steps)


def _diverged(owner: str, what: str, n_steps: int) -> UserError:
    return UserError(
        f"{owner}: {what} after {n_steps} steps; take smaller ones: --set {owner}.learning_rate=…"
    )
