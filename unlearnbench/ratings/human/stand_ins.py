"""What keeps stand-ins apart from people: the mark they carry, and the refusal to mix them."""

from collections.abc import Mapping, Sequence

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.filled import Filled
from unlearnbench.ratings.human.key import Key
from unlearnbench.ratings.human.ratings import RULE_PREFIX

STAND_INS = "Stand-ins: no person and no language model rated these."


def check_unmixed(key: Key, filled: Sequence[Filled]) -> None:
    """Raise `UserError` if a rule's ratings are among people's, or people's among rules'."""
    for one in filled:
        if (why := why_mixed(key, one)) is not None:
            raise UserError(f"{one.path}: {why}")


def why_mixed(key: Key, one: Filled) -> str | None:
    """Why somebody's ratings do not belong to the study of that key; None if they do."""
    by_rule = one.is_by_rule or one.annotator.startswith(RULE_PREFIX)
    if by_rule and not key.stand_ins:
        return (
            "a rule gave these scores, and this is a study with people; leave the file out, or "
            "give the key of the rehearsal it was made in"
        )
    if key.stand_ins and not (one.is_by_rule and one.annotator in key.stand_ins):
        return (
            f"not one of this rehearsal's rules ({', '.join(key.stand_ins)}); for people make a "
            "sheet of their own: unlearnbench human sheet RESULTS --out FOLDER"
        )
    return None


def check_judge(key: Key, judge_name: str, is_rule: bool) -> None:
    """Raise `UserError` if people would be compared with a rule, or rules with a judge."""
    if is_rule != bool(key.stand_ins):
        kinds = ("a rule", "people") if is_rule else ("no rule", "rules")
        raise UserError(
            f"judge {judge_name} is {kinds[0]}, and {kinds[1]} rated this sheet: the two are "
            "never set beside each other; see all judges with: unlearnbench judge RESULTS --list"
        )


def described(stand_ins: Mapping[str, str]) -> str:
    """The mark, the rules in the annotators' place, and what their terms mean."""
    from unlearnbench.ratings.human.rules import TERMS

    told = "; ".join(f"{name}: {formula}" for name, formula in stand_ins.items())
    return f"{STAND_INS} In the annotators' place: {told}. {TERMS}"
