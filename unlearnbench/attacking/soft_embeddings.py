"""Free embeddings in front of what a model reads: tokens beyond its vocabulary, with gradients.

The input embedding is replaced by one that has rows for a few ids more.  Whatever reads tokens
(prefill, branches, caches, scores) then reads these as any others, as part of a row's context.
Nothing else of the network changes: a tied output head keeps the weight it has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnbench.errors import UserError
from unlearnbench.models.paired import Pair
from unlearnbench.models.scoring import score_tokens, span_mask
from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


class SoftEmbedding(nn.Module):
    """An input embedding with k more tokens, whose vectors are free and of 32 bits."""

    soft: Tensor

    def __init__(self, base: nn.Module, soft: Tensor, first_id: int) -> None:
        """`soft` [k, d] are the vectors of the ids from `first_id` on."""
        super().__init__()
        self.base, self.first_id = base, first_id
        # No parameter: they are not the model's, whose gradients others may look at.
        self.register_buffer("soft", soft)

    @property
    def ids(self) -> range:
        """The ids of the free vectors."""
        return range(self.first_id, self.first_id + len(self.soft))

    @property
    def weight(self) -> Any:
        """The vocabulary's own vectors, as the library asks an embedding for them."""
        return self.base.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        """[..., d] of ids [...]."""
        embedded: Tensor = self.base(input_ids.clamp(max=self.first_id - 1))
        is_soft = input_ids >= self.first_id
        free = F.embedding((input_ids - self.first_id).clamp(min=0), self.soft)
        return torch.where(is_soft[..., None], free.to(embedded.dtype), embedded)


@contextmanager
def soft_tokens(model: "LanguageModel", n_tokens: int, seed: int) -> Iterator[SoftEmbedding]:
    """Within, the model reads `n_tokens` ids more, at first as random words of its vocabulary.

    Raises `UserError` for a network that looks at token ids elsewhere than in its embedding.
    """
    network: Any = model.network
    if Pair.of(network) is not None:
        raise UserError(
            "soft-prompt: the model is a pair of networks that are decoded as one, and embeddings "
            "of one mean nothing to the other; take another attack: --attacks prompts"
        )
    base = network.get_input_embeddings()
    n_words = network.config.get_text_config().vocab_size
    words = torch.randint(n_words, (n_tokens,), generator=seeded_generator(seed, "soft prompt"))
    with torch.no_grad():
        # What the layer makes of them: some scale their embeddings.
        start = base(words.to(model.device)).detach().float().clone()
    embedding = SoftEmbedding(base, start, base.weight.shape[0])
    trainable = [p for p in network.parameters() if p.requires_grad]
    network.set_input_embeddings(embedding)
    network.requires_grad_(False)  # nothing is kept for gradients that nobody asks for
    try:
        _check_read_as_embeddings(model, embedding)
        yield embedding
    finally:
        network.set_input_embeddings(base)
        for parameter in trainable:
            parameter.requires_grad_(True)


@torch.no_grad()
def _check_read_as_embeddings(model: "LanguageModel", embedding: SoftEmbedding) -> None:
    """Raise `UserError` where the new ids are not read as the vectors that stand for them."""
    ids = torch.tensor([[embedding.ids[0], 0, embedding.ids[-1]]], device=model.device)
    ids = ids[:, : model.max_length]
    with model.not_counted():
        try:
            by_id = model.network(input_ids=ids, use_cache=False).logits
            by_vector = model.network(inputs_embeds=embedding(ids), use_cache=False).logits
        except (IndexError, ValueError, TypeError, RuntimeError) as error:
            raise _not_by_embeddings(model) from error
    if not torch.allclose(by_id, by_vector, rtol=1e-3, atol=1e-3):
        raise _not_by_embeddings(model)


def _not_by_embeddings(model: "LanguageModel") -> UserError:
    return UserError(
        f"soft-prompt: {type(model.network).__name__} looks at token ids elsewhere than in its "
        "input embedding, so no free embedding can stand for one; take another attack: --attacks "
        "prompts"
    )


def train_soft_tokens(
    model: "LanguageModel",
    embedding: SoftEmbedding,
    rows: "Sequences",
    protocol: "Protocol",
    *,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    seed: int,
) -> Iterator[float]:
    """Epoch by epoch, without an end: what the rows' labelled tokens cost, mean nats in the epoch.

    `rows` have the free tokens in their context already.  Adam on the free vectors alone; the
    tokens are those of the protocol's losses.
    """
    soft = embedding.soft.requires_grad_(True)
    optimizer = torch.optim.Adam([soft], lr=learning_rate, weight_decay=weight_decay)
    order = seeded_generator(seed, "order of rows")
    while True:
        total, n_tokens = 0.0, 0
        for batch in shuffled_batches(range(len(rows)), batch_size, order):
            part = rows.select(batch)
            mask = labelled(part, protocol)
            with torch.enable_grad():
                nll = score_tokens(model, part, mask).nll("mean")
                (soft.grad,) = torch.autograd.grad(nll, [soft])
            optimizer.step()
            count = int(mask.sum())
            total, n_tokens = total + float(nll.detach()) * count, n_tokens + count
        yield total / max(1, n_tokens)


def labelled(rows: "Sequences", protocol: "Protocol") -> Tensor:
    """[N, L] bool, the tokens that the model is to be made to say; never padding."""
    return span_mask(rows, protocol) & rows.attention_mask.bool()
