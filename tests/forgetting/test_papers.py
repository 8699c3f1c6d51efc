"""What certificate and card say in words: no more than was measured."""

from certificates import LIMIT, certificate
from huggingface_hub import ModelCard

from unlearnbench.forgetting.card import model_card
from unlearnbench.forgetting.certificate import (
    AttackEvidence,
    Certificate,
    PointEvidence,
    TextUtility,
)
from unlearnbench.forgetting.lines import RowLimit
from unlearnbench.forgetting.words import attack_in_words, not_tested, statement

LINE = RowLimit(el=0.0499, ma=0.5994, how="Jang et al.'s line")


def point(name: str, metric: str, over: list[str] | None, **facts: float) -> PointEvidence:
    return PointEvidence(
        point=name, metric=metric, after=1.0, low=None, high=None, before=None,
        rows_over_limit=over, facts=facts,
    )  # fmt: skip


def attack(*points: PointEvidence, name: str = "relearn", problem: str = "") -> AttackEvidence:
    return AttackEvidence(
        name=name, label="Relearning", settings={}, points=list(points), problem=problem
    )


def card_of(one: Certificate) -> ModelCard:
    return ModelCard(model_card(one))


def test_each_text_is_a_data_set_of_its_own_in_the_cards_head() -> None:
    texts = [
        TextUtility(text=name, n=3, before=2.0, after=after, loss=0.1)
        for name, after in (("pile", 2.25), ("wikitext", 2.5))
    ]
    one = certificate(1, "0", "1", None).model_copy(update={"utility": texts})
    values = {
        (result.dataset_name, result.metric_type): result.metric_value
        for result in card_of(one).data.eval_results
    }
    assert values == {
        ("deletion request 1", "known_rows"): 1,
        ("pile", "nll"): 2.25,
        ("wikitext", "nll"): 2.5,
    }


def test_without_unseen_rows_no_paper_says_that_there_were_some() -> None:
    one = certificate(1, "0", "1", None)
    assert "| rows known better than unseen ones | 2 of 2 | 1 of 2 |" in card_of(one).text
    by_line = one.model_copy(update={"row_limit": LINE})
    assert "unseen ones" not in card_of(by_line).content
    assert "| rows over Jang et al.'s line, which was measured on another model |" in (
        card_of(by_line).text
    )
    assert "no unseen rows were given" in statement(2, 2, [], LINE, "NPO")


def test_a_statement_names_what_is_still_known_and_claims_nothing_without_a_model() -> None:
    assert "2 of these are: a, b known better" in statement(3, 2, ["a", "b"], LIMIT, "NPO")
    assert "none of these is known better" in statement(3, 2, [], LIMIT, "NPO")
    assert "nothing is said to be forgotten" in statement(3, 2, None, LIMIT, None)
    assert "nothing that this measure could show" in statement(1, 0, None, LIMIT, None)


def test_rows_over_either_limit_count_and_the_worst_point_is_said() -> None:
    said = attack_in_words(
        attack(
            point("0 steps", "MA (%)", ["a"]),
            point("0 steps", "BLEU (%)", None),
            point("5 steps", "EL10 (%)", ["b"]),
            point("5 steps", "MA (%)", ["a", "c"]),
        ),
        4,
    )
    assert said == "Relearning: at worst 3 of 4 rows over the limit of MA and EL10"
    alone = attack(point("int8", "MA (%)", []))
    assert attack_in_words(alone, 4) == "Relearning: at worst 0 of 4 rows over the limit of MA"
    assert attack_in_words(attack(problem="no room"), 4) == "Relearning: failed: no room"
    assert attack_in_words(attack(point("p", "BLEU (%)", None)), 4).endswith("see the certificate")


def test_a_bound_of_samples_is_that_of_the_worst_row_too() -> None:
    facts = {"leak_at_most": 0.0045, "any_question_at_most": 0.0509, "alpha": 0.01}
    sampled = attack(
        point("k = 1", "leak@k (%)", None, **facts),
        point("k = 2", "leak@k (%)", None, leak_at_most=0.009),
        name="sample",
    )
    assert attack_in_words(sampled, 8) == (
        "Relearning: a sample of any row leaks with probability 5.09% at most, on average over the "
        "rows 0.45% (each at 99% confidence)"
    )


def test_what_attacks_did_not_measure_is_listed() -> None:
    lines = not_tested([attack(point("5 steps", "MA (%)", []))], {"sample": "no room"}, True)
    assert lines[0] == "attack sample: no room"
    assert any(line.startswith("attacks that were not made: ") for line in lines)
    assert not any("(relearn)" in line for line in lines)
    assert any(line.startswith("EL10 of single rows under attack") for line in lines)
    assert "any attack: no model is handed out" in not_tested([], {}, False)
