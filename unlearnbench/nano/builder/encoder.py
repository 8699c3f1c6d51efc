"""The small BERT behind BERTScore and pairing.

Tiny masked language models give every text pair a BERTScore near 0.8, so that no threshold
can tell a good continuation from a wrong one. A second objective spreads the token vectors:
a token must find itself again in a shifted, damaged view of its text, among all tokens of
the batch.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from unlearnbench.nano.builder.train import Report
from unlearnbench.nano.world.dice import Dice

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertForMaskedLM

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)


@dataclass(frozen=True)
class EncoderRecipe:
    """Hyper-parameters of the encoder."""

    name: str = "encoder"
    seed: int = 4
    vocabulary: int = 2048
    width: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 384
    positions: int = 512
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


def train_encoder_tokenizer(texts: Iterator[str], size: int) -> "Tokenizer":
    """Train the encoder's lower-cased word-piece tokenizer, which adds [CLS] and [SEP]."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(SPECIALS),
        show_progress=False,
        initial_alphabet=sorted(chr(code) for code in range(33, 127)),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return tokenizer


def save_encoder_tokenizer(tokenizer: "Tokenizer", recipe: EncoderRecipe, folder: Path) -> None:
    """Write the files that `AutoTokenizer` reads."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = {
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    settings: dict[str, object] = {name: SPECIALS[number] for name, number in names.items()}
    settings |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": recipe.positions,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")


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
    hit = (torch.rand(ids.shape) < share) & (ids >= len(SPECIALS))
    replaced = torch.where(
        torch.rand(ids.shape) < 0.8, MASK, torch.randint(len(SPECIALS), vocabulary, ids.shape)
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
    recipe: EncoderRecipe, texts: list[str], tokenizer: "Tokenizer", log: Path, report: Report
) -> "BertForMaskedLM":
    """Train the encoder on texts; writes a line of JSON to `log` every few steps."""
    least = recipe.span + recipe.largest_shift
    ids = [code.ids[1:-1] for code in tokenizer.encode_batch(texts)]
    ids = [text for text in ids if len(text) > least]
    model = new_encoder(recipe, tokenizer.get_vocab_size()).train()
    stepper = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    dice, began = Dice(recipe.seed, "encoder"), time.process_time()
    with log.open("w") as lines:
        for step in range(recipe.steps):
            stepper.param_groups[0]["lr"] = recipe.learning_rate * _share(step, recipe)
            masked, contrasted = _losses(model, ids, recipe, dice)
            (masked + recipe.contrast_weight * contrasted).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            stepper.step()
            stepper.zero_grad()
            if step % 20 == 0 or step == recipe.steps - 1:
                seconds = round(time.process_time() - began, 1)
                lines.write(
                    json.dumps(
                        {
                            "step": step,
                            "masked_nll": round(masked.item(), 4),
                            "contrast_nll": round(contrasted.item(), 4),
                            "cpu_seconds": seconds,
                        }
                    )
                    + "\n"
                )
                lines.flush()
            report(step + 1, recipe.steps)
    return model.eval()


def _share(step: int, recipe: EncoderRecipe) -> float:
    warmup = max(1, int(recipe.warmup_share * recipe.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (
        1 + math.cos(math.pi * (step - warmup) / max(1, recipe.steps - warmup))
    )
