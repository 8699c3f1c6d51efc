"""What a certificate says in sentences: what was measured, and what was not tested."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearnbench import registry
from unlearnbench.data.row_limit import RowLimit
from unlearnbench.forgetting.certificate import AttackEvidence
from unlearnbench.forgetting.choice import named
from unlearnbench.publishing.card_head import NOT_CLAIMED

_HOW = "by EL10 and MA of each row as it stands in the file (greedy decoding)"
_BY_NLL = " and by the NLL of its suffix or answer"
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
_MA_ALONE = "EL10 of single rows under attack: there a row is compared with the limit of MA alone"
#: What an attack by samples says of their rows, as `attacks/sample.py` names it.
_BOUNDS = {"leak_at_most", "any_question_at_most", "alpha"}


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
        f"{_HOW}{'' if limit.nll is None else _BY_NLL}."
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


def limits(limit: RowLimit) -> str:
    """'EL10 4.1%, MA 66.7%, NLL 2.13': what a row is known by that is beyond it."""
    nll = "" if limit.nll is None else f", NLL {limit.nll:.2f}"
    return f"EL10 {100 * limit.el:.1f}%, MA {100 * limit.ma:.1f}%{nll}"


def known_rows(limit: RowLimit) -> str:
    """What a count of known rows is of: a limit that was measured, or Jang et al.'s line."""
    if limit.n_unseen:
        return "rows known better than unseen ones"
    return "rows over Jang et al.'s line, which was measured on another model"


def attack_in_words(attack: AttackEvidence, n_rows: int) -> str:
    """'Relearning: at worst 8 of 8 rows over the limit of MA', or the bounds that it gives.

    A row counts at a point if it is over the limit of one of the metrics measured there.  Of an
    attack that trains on the rows also where it brings out more of them than of unseen ones.
    """
    if attack.problem:
        return f"{attack.label}: failed: {attack.problem}"
    bounds = next((p.facts for p in attack.points if p.facts.keys() >= _BOUNDS), None)
    if bounds is not None:
        return (
            f"{attack.label}: a sample of any row leaks with probability "
            f"{bounds['any_question_at_most']:.2%} at most, on average over the rows "
            f"{bounds['leak_at_most']:.2%} (each at {1 - bounds['alpha']:.0%} confidence)"
        )
    over: dict[str, set[str]] = {}
    for point in attack.points:
        over.setdefault(point.point, set()).update(point.rows_over_limit or ())
    if not (metrics := _with_limit(attack)):
        return f"{attack.label}: see the certificate"
    worst = max(map(len, over.values()))
    names = " and ".join(metrics)
    line = f"{attack.label}: at worst {worst} of {n_rows} rows over the limit of {names}"
    return f"{line}{_beside_unseen(attack, over, n_rows)}"


def _beside_unseen(attack: AttackEvidence, over: Mapping[str, set[str]], n_rows: int) -> str:
    """Where the rows are furthest ahead of as many that the model never saw, taught alike."""
    taught: dict[str, int] = {}
    for point in attack.points:
        if point.unseen_over_limit is not None:
            taught[point.point] = max(taught.get(point.point, 0), point.unseen_over_limit)
    if not taught:
        return ""
    at = max(taught, key=lambda name: len(over[name]) / n_rows - taught[name] / attack.n_unseen)
    if len(over[at]) * attack.n_unseen <= taught[at] * n_rows:
        return f"; never more than of {attack.n_unseen} rows that it never saw, taught alike"
    return (
        f"; most ahead of rows that it never saw, taught alike, at {at}: {len(over[at])} of "
        f"{n_rows} against {taught[at]} of {attack.n_unseen}"
    )


def _with_limit(attack: AttackEvidence) -> list[str]:
    """The metrics by which rows were compared with their limit under an attack: 'MA', 'EL10'."""
    of_rows = (p.metric for p in attack.points if p.rows_over_limit is not None)
    return list(dict.fromkeys(label.partition(" (")[0] for label in of_rows))


def not_tested(
    made: Sequence[AttackEvidence], left_out: Mapping[str, str], attacked: bool
) -> list[str]:
    """What nobody can read out of this certificate; `made` are the attacks that did not fail."""
    done = {attack.name for attack in made}
    attacks: dict[str, Any] = registry.attacks()
    others = [f"{kind.label} ({name})" for name, kind in attacks.items() if name not in done]
    lines = [f"attack {name}: {why}" for name, why in left_out.items()]
    if attacked and others:
        lines.append("attacks that were not made: " + ", ".join(others))
    elif others:
        lines.append("any attack: no model is handed out")
    if done:
        lines.append(_ATTACK_LIMITS)
    if any(_with_limit(attack) == ["MA"] for attack in made):
        lines.append(_MA_ALONE)
    return [*lines, _NO_RETRAINED, *_NEVER]
