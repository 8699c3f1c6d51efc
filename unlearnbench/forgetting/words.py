"""What a certificate says in sentences: what was measured, and what was not tested."""

from collections.abc import Iterable, Mapping
from typing import Any

from unlearnbench import registry
from unlearnbench.forgetting.choice import named
from unlearnbench.forgetting.lines import RowLimit
from unlearnbench.publishing.card_head import NOT_CLAIMED

_HOW = (
    "by EL10 and MA (greedy decoding, each row as it stands in the file, over its suffix or answer)"
)
#: What no run of this command tests.
_NEVER = (
    *NOT_CLAIMED,
    "abilities other than predicting the texts under 'utility': answering, following instructions, "
    "safety",
)
_NO_RETRAINED = (
    "a model retrained without the rows: how near to one the model came is not known, and the "
    "recovery under attack has no lower end"
)
_ATTACK_LIMITS = (
    "the attacks listed, with other settings: more steps, more rows, more samples, other seeds"
)


def statement(
    rows: int, known: int, left: Iterable[str] | None, limit: RowLimit, method: str | None
) -> str:
    """What was found, in a sentence that claims no more."""
    basis = (
        f"rows that it never saw ({limit.n_unseen} of them were measured)"
        if limit.n_unseen
        else "Jang et al.'s line, which was measured on another model: no unseen rows were given"
    )
    start = (
        f"Of {rows} row{'' if rows == 1 else 's'} the model knew {known} better than {basis}, "
        f"{_HOW}."
    )
    if known == 0:
        return f"{start} So there was nothing that this measure could show to be removed."
    if left is None:
        return (
            f"{start} No method that was tried qualifies, so no model is handed out and nothing is "
            "said to be forgotten."
        )
    still = list(left)
    after = "none of these is" if not still else f"{len(still)} of these are: {named(still)}"
    return (
        f"{start} After unlearning with {method} {after} known better than that, measured in the "
        "same way. Attacks, and rows of earlier requests, have their own parts. What is listed "
        "under not_tested was not tested, and this is no proof that nothing of the rows can be "
        "had from the model."
    )


def not_tested(
    made: Iterable[str], left_out: Mapping[str, str], attacked: bool, has_retrained: bool = False
) -> list[str]:
    """What nobody can read out of this certificate."""
    done = set(made)
    attacks: dict[str, Any] = registry.attacks()
    others = [f"{kind.label} ({name})" for name, kind in attacks.items() if name not in done]
    lines = [f"attack {name}: {why}" for name, why in left_out.items()]
    if attacked and others:
        lines.append("attacks that were not made: " + ", ".join(others))
    elif others:
        lines.append("any attack: no model is handed out")
    if done:
        lines.append(_ATTACK_LIMITS)
    return [*lines, *([] if has_retrained else [_NO_RETRAINED]), *_NEVER]
