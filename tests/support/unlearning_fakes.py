"""Tiny models from a configuration, and a forget set with an examiner that only measures MA."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.stop_line import StopLine
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.scoring import span_mask
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol
from unlearnbench.results.record import RowRecord

VOCABULARY = 97
PAD = 0
BOS = 1


def tiny_network(architecture: str = "gpt-neo", seed: int = 0) -> Any:
    """Two layers, width 32; dropout configured on, so that a test notices if it is used."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _BUILD[architecture]().eval()


def _gpt_neo() -> GPTNeoForCausalLM:
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=8,
            max_position_embeddings=64,
            embed_dropout=0.1,
            resid_dropout=0.1,
            bos_token_id=BOS,
            eos_token_id=2,
        )
    )


def _opt() -> OPTForCausalLM:
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            word_embed_proj_dim=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=64,
            max_position_embeddings=64,
            dropout=0.1,
            do_layer_norm_before=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=2,
        )
    )


def _llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            attention_dropout=0.1,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=2,
        )
    )


_BUILD: dict[str, Callable[[], Any]] = {"gpt-neo": _gpt_neo, "opt": _opt, "llama": _llama}
ARCHITECTURES = tuple(_BUILD)


def tiny_model(architecture: str = "gpt-neo", seed: int = 0) -> LanguageModel:
    """A language model with a word-level tokenizer whose words are t3, t4, ..."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": PAD, "<s>": BOS, "</s>": 2} | {f"t{i}": i for i in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t3"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    source = ModelSource("tiny", "tiny", None, "0" * 64)
    return LanguageModel(tiny_network(architecture, seed), fast, source)


def random_sequences(
    n_rows: int, lengths: Sequence[int], n_given: int, seed: int, n_bos: int = 0, name: str = "row"
) -> Sequences:
    """Rows of random tokens, lengths taken in turn, padded with the pad id."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([lengths[i % len(lengths)] for i in range(n_rows)])
    ids = torch.randint(3, VOCABULARY, (n_rows, max(lengths)), generator=generator)
    ids[torch.arange(max(lengths))[None, :] >= size[:, None]] = PAD
    if n_bos:
        ids[:, 0] = BOS
    given = torch.full((n_rows,), n_given + n_bos)
    return Sequences(ids, size, given, tuple(f"{name}-{i}" for i in range(n_rows)), n_bos)


def prefix_of(rows: Sequences, row: int) -> list[int]:
    """The tokens given to the model, without BOS."""
    return rows.input_ids[row, rows.n_bos : int(rows.n_given[row])].tolist()


def suffix_mask(rows: Sequences) -> torch.Tensor:
    """[N, L] bool, true at the tokens after the given ones."""
    at = torch.arange(rows.input_ids.shape[1])[None, :]
    return (at >= rows.n_given[:, None]) & (at < rows.lengths[:, None])


@dataclass
class MaExaminer:
    """Teacher-forced MA of each row; EL is put at MA so that either rule can be tried."""

    stop_line: StopLine = field(default_factory=lambda: StopLine(el=0.5, ma=0.5))
    script: dict[int, dict[str, list[float]]] = field(default_factory=dict)  # per examination
    seen: list[int] = field(default_factory=list)

    def known_rows(self, *_: object) -> tuple[str, ...]:
        """None: its line has no limit of single rows."""
        return ()

    def examine(self, model: LanguageModel, rows: Sequences, ma_line=None) -> list[RowRecord]:
        """One record per row; scripted values take the place of measured ones."""
        with model.meter.phase("examine"):
            logits = model.logits(rows.input_ids, rows.attention_mask)[:, :-1]
        hit = (logits.argmax(-1) == rows.input_ids[:, 1:]).float()
        counted = span_mask(rows, Protocol(loss_span="all"))[:, 1:].float()
        ma = ((hit * counted).sum(1) / counted.sum(1)).tolist()
        script = self.script.get(len(self.seen), {})
        self.seen.append(len(rows))
        values = {"ma": ma, "el": ma, "bertscore_f1": [0.9] * len(rows), "bleu": [0.5] * len(rows)}
        values |= script
        return [
            RowRecord(
                doc_id=rows.doc_ids[i],
                entropy=1.0,
                forgotten=False,
                continuation="",
                **{name: column[i] for name, column in values.items()},
            )
            for i in range(len(rows))
        ]

    def means(self, records: Sequence[RowRecord]) -> dict[str, float]:
        """Means over the rows."""
        names = ("el", "ma", "bertscore_f1", "bleu", "entropy")
        return {n: sum(getattr(r, n) for r in records) / len(records) for n in names}

    def reached(self, means: dict[str, float], rule: str, ma_threshold: float) -> bool:
        """Under the line, strictly."""
        under = (means["el"] < self.stop_line.el, means["ma"] < ma_threshold)
        return all(under) if rule == "and" else any(under)


def forget_set(
    protocol: Protocol | None = None,
    n_rows: int = 6,
    lengths: Sequence[int] = (16,),
    n_bos: int = 0,
    refusals: tuple[str, ...] = (),
) -> ForgetSet:
    """A forget set whose neighbours are the pool's rows in reverse."""
    return ForgetSet(
        name="fake",
        run="0",
        rows=random_sequences(n_rows, lengths, 8, seed=1, n_bos=n_bos),
        pool=random_sequences(n_rows + 3, lengths, 8, seed=2, n_bos=n_bos, name="pool"),
        protocol=protocol or Protocol(),
        content_sha256="0" * 64,
        find_pairs=lambda: list(reversed(range(n_rows))),
        refusals=refusals,
    )


def memorise(model: LanguageModel, rows: Sequences, steps: int = 150) -> None:
    """Train until the rows are known by heart."""
    adam = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    labels = rows.input_ids.masked_fill(rows.attention_mask == 0, -100)
    for _ in range(steps):
        adam.zero_grad()
        model.network(
            input_ids=rows.input_ids, attention_mask=rows.attention_mask, labels=labels
        ).loss.backward()
        adam.step()
    model.network.zero_grad(set_to_none=True)


def moved(model: LanguageModel) -> None:
    """Step away from theta_0, so that KL is not zero."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=generator))
