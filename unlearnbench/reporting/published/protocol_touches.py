"""What each setting of the protocol touches: which columns it measures, whose unlearning it steers.

The settings are those of SPEC section 3, the lines in which the paper and its released code differ.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unlearnbench.analysis.conditions import format_value
from unlearnbench.protocol import LARGE, RELEASED

EVERY = ("kumpr", "kl", "dpo", "llmu", "icu")
_CONTINUATIONS = ("bertscore_f1", "entropy", "gpt", "human")


@dataclass(frozen=True)
class Touch:
    """The columns that a setting measures otherwise, and the methods that it makes train otherwise.

    Whatever changes training or its end changes every column of that method's row.
    """

    columns: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    only_large: bool = False  # models over 10^9 parameters


TOUCHES: Mapping[str, Touch] = {
    "sequence": Touch(("el10", "ma", *_CONTINUATIONS), EVERY),
    "loss_span": Touch(methods=EVERY),
    "loss_reduction": Touch(methods=EVERY),
    "kl_term": Touch(methods=("kl", "llmu", "icu")),
    "forgotten_rule": Touch(methods=("icu",)),
    "stop_rule": Touch(methods=("dpo",)),
    "ma_threshold": Touch(methods=("kumpr",)),
    "el_positions": Touch(("el10",), EVERY),  # the stop line is an EL, too
    "el_denominator": Touch(("el10",), EVERY),
    "continuation": Touch(_CONTINUATIONS, ("icu",)),  # its refinement reads continuations
    "dpo_loss": Touch(methods=("dpo",)),
    "llmu_mismatch": Touch(methods=("llmu",)),
    "large_model_learning_rate": Touch(methods=EVERY, only_large=True),
    "neighbour_metric": Touch(),  # ranks neighbours alike
    "pad_tokens": Touch(("el10", "ma"), EVERY),
    "task_prompts": Touch(("cls_avg",)),
    "perplexity_cap": Touch(("s_z", "s_m")),
}


@dataclass(frozen=True)
class Departure:
    """A setting in which a run departs from the one that made the printed values."""

    setting: str
    own: str
    printed: str
    touch: Touch


def departures(
    protocol: Mapping[str, Any], printed_cap: float | None, n_parameters: int | None
) -> Iterator[Departure]:
    """The settings that differ from the released code's, which made the printed values.

    The cap is the exception: version 2 prints '>1000' and its s_z and s_m count it as 1000,
    which the released code knows nothing of.
    """
    released = {**vars(RELEASED), "perplexity_cap": printed_cap}
    for name, touch in TOUCHES.items():
        if name not in protocol or protocol[name] == released[name]:
            continue
        if name == "stop_rule" and protocol[name] == "or":  # which is what DPO's authors have
            touch = Touch(methods=tuple(m for m in EVERY if m != "dpo"))
        if not touch.only_large or (n_parameters or 0) >= LARGE:
            yield Departure(name, _written(protocol[name]), _written(released[name]), touch)


def _written(value: Any) -> str:
    return "none" if value is None else format_value(value)
