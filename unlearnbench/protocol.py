"""The protocol: every choice in which the paper and its released code differ."""

from dataclasses import dataclass
from typing import Literal

from unlearnbench.errors import unknown
from unlearnbench.settings import setting


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How sequences are cut, losses summed and forgetting judged.

    The defaults are those of the paper (its later version); `Protocol.named("released")` gives
    what the authors' published code does.  Every result records all fields.
    """

    sequence: Literal["prefix+suffix", "all"] = setting(
        "prefix+suffix", "tokens of a benchmark row that are used: the last 100, or all 200"
    )
    loss_span: Literal["suffix", "all"] = setting(
        "suffix", "predicted tokens a loss counts: the suffix (t0..T), or every one after the first"
    )
    loss_reduction: Literal["sum", "mean"] = setting(
        "sum",
        "sum over a row's tokens then mean over the batch's rows, or mean over the batch's tokens",
    )
    kl_term: Literal["divergence", "cross_entropy"] = setting(
        "divergence",
        "KL over the loss span, or cross-entropy -sum p log q over every position, padding too",
    )
    forgotten_rule: Literal["and", "or"] = setting(
        "and", "a row is forgotten when BERTScore and/or BLEU is under its threshold (eq. 5)"
    )
    stop_rule: Literal["and", "or", "authors"] = setting(
        "and", "stop when EL and/or MA is under its threshold; 'authors': as each method's own code"
    )
    ma_threshold: Literal["paper", "authors"] = setting(
        "paper",
        "MA threshold of the stop line: 0.5994 for all, or each method's own (KUMPR 0.2994)",
    )
    el_positions: Literal["every", "suffix"] = setting(
        "every", "EL start positions: t = 1..T-n, or those of the suffix (150..199 of 200)"
    )
    el_denominator: Literal["continuation", "reference"] = setting(
        "continuation",
        "EL overlap is divided by the n-gram count of the continuation or the reference",
    )
    continuation: Literal["greedy", "beam"] = setting(
        "greedy", "the 50 new tokens scored by BERTScore, BLEU, entropy: greedy or 2-beam search"
    )
    dpo_loss: Literal["preference", "cross_entropy"] = setting(
        "preference",
        "preference loss, or the released cross-entropy against neighbour tokens plus its NLL",
    )
    llmu_mismatch: Literal["random", "neighbour"] = setting(
        "random", "LLMU's mismatch term: random other completions, or the fixed neighbour's tokens"
    )
    large_model_learning_rate: Literal["same", "2e-6"] = setting(
        "same", "default learning rate of models over 10^9 parameters: that of small ones, or 2e-6"
    )
    neighbour_metric: Literal["cosine", "l2"] = setting(
        "cosine", "distance of the nearest-neighbour search (same ranking on normalised embeddings)"
    )
    pad_tokens: Literal["ignore", "count"] = setting(
        "ignore", "whether padding counts as tokens of a row in MA, EL and the losses"
    )
    task_prompts: Literal["lm_eval", "plain"] = setting(
        "lm_eval", "prompts of the nine classification tasks: lm-eval's own, or the released plain"
    )
    perplexity_cap: float | None = setting(
        1000.0, "perplexity is capped at this value in the normalised scores; none for no cap"
    )

    @classmethod
    def named(cls, name: Literal["paper", "released"]) -> "Protocol":
        """The paper's protocol or the released code's; raises `UserError` for another name."""
        named = {"paper": PAPER, "released": RELEASED}
        if name not in named:
            raise unknown("protocol", name, named, "unlearnbench show protocol")
        return named[name]


PAPER = Protocol()
RELEASED = Protocol(
    sequence="all",
    loss_span="all",
    loss_reduction="mean",
    kl_term="cross_entropy",
    forgotten_rule="or",
    stop_rule="authors",
    ma_threshold="authors",
    el_positions="suffix",
    el_denominator="reference",
    continuation="beam",
    dpo_loss="cross_entropy",
    llmu_mismatch="neighbour",
    large_model_learning_rate="2e-6",
    neighbour_metric="l2",
    pad_tokens="count",
    task_prompts="plain",
    perplexity_cap=None,
)


LARGE = 1_000_000_000
