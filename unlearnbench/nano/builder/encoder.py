"""The small BERT behind BERTScore and pairing.

Tiny masked language models give every text pair a BERTScore near 0.8, so that no threshold
can tell a good continuation from a wrong one. A second objective spreads the token vectors:
a token must find itself again in a shifted, damaged view of its text, among all tokens of
the batch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from unlearnbench.nano.builder.recipes import Schedule
from unlearnbench.nano.builder.train import TrainingLog
from unlearnbench.nano.tokenizer import CONTEXT
from unlearnbench.nano.world.dice import Dice

if TYPE_CHECKING:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertForMaskedLM

SPECIAL_TOKENS = {
    f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")
}
PAD, UNK, CLS, SEP, MASK = range(5)


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe(Schedule):
    """Hyper-parameters of the encoder."""

    name: str = "encoder"
    seed: int = 4
    vocabulary: int = 2048
    width: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 384
    positions: int = CONTEXT
    steps: int = 700
    texts: int = 24
    span: int = 64
    largest_shift: int = 24
    masked_share: float = 0.2
    contrast_weight: float = 1.0
    temperature: float = 0.07
    dropout: float = 0.1
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    final_share: float = 0.02


def train_encoder_tokenizer(texts: list[str], size: int) -> "BertWordPieceTokenizer":
    """Train the encoder's lower-cased word-piece tokenizer, which adds [CLS] and [SEP]."""
    from tokenizers import BertWordPieceTokenizer, processors

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=0,
        initial_alphabet=sorted(chr(code) for code in range(33, 127)),
        special_tokens=list(SPECIAL_TOKENS.values()),
        show_progress=False,
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return tokenizer


def new_encoder(recipe: EncoderRecipe, vocabulary: int) -> "BertForMaskedLM":
    """An untrained encoder with its masked-token head, seeded."""
    from transformers import BertConfig, BertForMaskedLM
    from transformers.models.bert.modeling_bert import BertPooler

    torch.manual_seed(recipe.seed)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=recipe.feed_forward,
            max_position_embeddings=recipe.positions,
            pad_token_id=PAD,
            hidden_dropout_prob=recipe.dropout,
            attention_probs_dropout_prob=recipe.dropout,
        )
    )
    # Nobody uses the plain encoder's pooler, but without one its weights load with a warning.
    model.bert.pooler = BertPooler(model.config)
    return model


def views(
    ids: list[list[int]], recipe: EncoderRecipe, dice: Dice
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Two undamaged views [texts, span + 2] of random texts, the second shifted."""
    shift = dice.whole(0, recipe.largest_shift)
    first, second = [], []
    for _ in range(recipe.texts):
        text = dice.pick(ids)
        start = dice.whole(0, len(text) - recipe.span - recipe.largest_shift)
        first.append([CLS, *text[start : start + recipe.span], SEP])
        second.append([CLS, *text[start + shift : start + shift + recipe.span], SEP])
    return torch.tensor(first), torch.tensor(second), shift


def damage(ids: torch.Tensor, share: float, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask or replace a share of the tokens; return the damaged ids and where they are."""
    hit = (torch.rand(ids.shape) < share) & (ids >= len(SPECIAL_TOKENS))
    replaced = torch.where(
        torch.rand(ids.shape) < 0.8, MASK, torch.randint(len(SPECIAL_TOKENS), vocabulary, ids.shape)
    )
    return torch.where(hit, replaced, ids), hit


def contrast(
    first: torch.Tensor, second: torch.Tensor, shift: int, keep: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The loss of finding each kept token of `first` among all tokens of `second`.

    Hidden states are [texts, length, width]; token i of the second view is token i + shift
    of the first.
    """
    end = first.shape[1] - 1
    left, right = first[:, 1 + shift : end], second[:, 1 : end - shift]
    kept = keep[:, 1 + shift : end].flatten()
    left = F.normalize(left.flatten(0, 1)[kept], dim=-1)
    right = F.normalize(right.flatten(0, 1), dim=-1)
    return F.cross_entropy(left @ right.T / temperature, kept.nonzero().flatten())


def _losses(
    model: "BertForMaskedLM", ids: list[list[int]], recipe: EncoderRecipe, dice: Dice
) -> tuple[torch.Tensor, torch.Tensor]:
    whole, other, shift = views(ids, recipe, dice)
    vocabulary = model.config.vocab_size
    first_ids, hit = damage(whole, recipe.masked_share, vocabulary)
    second_ids, _ = damage(other, recipe.masked_share, vocabulary)
    hidden = model.bert(torch.cat((first_ids, second_ids))).last_hidden_state
    first, second = hidden.chunk(2)
    masked = F.cross_entropy(model.cls(first[hit]), whole[hit])
    # A seventh of the tokens is enough to contrast, and keeps the similarity matrix small.
    keep = torch.rand(whole.shape) < 0.3
    return masked, contrast(first, second, shift, keep, recipe.temperature)


def train_encoder(
    recipe: EncoderRecipe, texts: list[str], tokenizer: "BertWordPieceTokenizer"
) -> "tuple[BertForMaskedLM, str]":
    """Train the encoder on texts; returns its log, too, a line of JSON every few steps."""
    least = recipe.span + recipe.largest_shift
    ids = [code.ids[1:-1] for code in tokenizer.encode_batch(texts)]
    ids = [text for text in ids if len(text) > least]
    model = new_encoder(recipe, tokenizer.get_vocab_size()).train()
    stepper = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    dice, log = Dice(recipe.seed, "encoder"), TrainingLog(recipe.name, recipe.steps)
    for step in log.steps():
        stepper.param_groups[0]["lr"] = recipe.learning_rate * recipe.rate_share(step)
        masked, contrasted = _losses(model, ids, recipe, dice)
        (masked + recipe.contrast_weight * contrasted).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        stepper.step()
        stepper.zero_grad()
        log.note(step=step, masked_nll=masked.item(), contrast_nll=contrasted.item())
    return model.eval(), log.text
