"""What certificate and card say in words: no more than was measured."""

import pytest
from certificates import LIMIT, certificate
from golden_results import result as golden_result
from huggingface_hub import ModelCard

from unlearnbench.data.row_limit import RowLimit
from unlearnbench.files.safe_text import without_folders
from unlearnbench.forgetting.attacked import attack_evidence
from unlearnbench.forgetting.card import model_card
from unlearnbench.forgetting.certificate import (
    AttackEvidence,
    Certificate,
    PointEvidence,
    TextUtility,
)
from unlearnbench.forgetting.words import attack_in_words, not_tested, statement
from unlearnbench.results.record import AttackRecord, PointRecord
from unlearnbench.results.score import Metric, Score

LINE = RowLimit(el=0.0499, ma=0.5994, how="Jang et al.'s line")


def point(name: str, metric: str, over: list[str] | None, **facts: float) -> PointEvidence:
    return PointEvidence(
        point=name, metric=metric, after=1.0, low=None, high=None, before=None,
        rows_over_limit=over, facts=facts,
    )  # fmt: skip


def attack(
    *points: PointEvidence, name: str = "relearn", problem: str = "", n_unseen: int = 0
) -> AttackEvidence:
    return AttackEvidence(
        name=name, label="Relearning", settings={}, points=list(points), problem=problem,
        n_unseen=n_unseen,
    )  # fmt: skip


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


def test_rows_are_said_beside_rows_that_were_never_seen_and_taught_alike() -> None:
    def taught(*counts: tuple[int, int]) -> str:
        made = [point(f"{5 * i} steps", "MA (%)", list("abcd")[:n]) for i, (n, _) in
                enumerate(counts)]  # fmt: skip
        beside = [
            one.model_copy(update={"unseen_over_limit": n})
            for one, (_, n) in zip(made, counts, strict=True)
        ]
        return attack_in_words(attack(*beside, n_unseen=2), 4)

    said = taught((0, 0), (3, 1), (4, 2))
    assert said.startswith("Relearning: at worst 4 of 4 rows over the limit of MA; most ahead of")
    assert said.endswith("taught alike, at 5 steps: 3 of 4 against 1 of 2")
    assert taught((0, 0), (2, 1), (4, 2)).endswith("; never more than of 2 rows that it never saw, "
                                                   "taught alike")  # fmt: skip


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


def test_evidence_of_an_attack_has_both_models_the_worst_row_and_no_folder() -> None:
    def attacked(role: str, ma: list[float], recall: list[float]):
        metrics = [
            Metric("ma", "MA (%)", False, scale=100.0, documents="rows", task="forgetting"),
            Metric("gain", "Gain", True, documents="rows", task="forgetting", judges="forgetting"),
            Metric("acc", "Accuracy", True, documents="sets", task="forgetting"),
        ]
        values = {"ma": ma, "gain": recall, "acc": ma}
        scores = {
            name: Score.of(dict(zip("abcdefghij", of, strict=False)), higher_is_better=False)
            for name, of in values.items()
        }
        point = PointRecord(name="p", label="20 steps", position=20.0, facts={"loss": 0.5})
        record = AttackRecord(
            name="relearn", label="Relearning", settings={"file": "/home/ann/rows.txt"}, model="m",
            made_again=False, curve="", describes_model=False, counts_in_worst_case=True,
            points=[point],
        )  # fmt: skip
        update = {"role": role, "attack": record, "metrics": metrics,
                  "scores": {"p/forgetting": scores}}  # fmt: skip
        return golden_result("NPO").model_copy(update=update)

    method = attacked("method", [0.5] * 8 + [0.7, 0.9], [0.25, 0.75] * 5)
    (one,) = attack_evidence([attacked("before", [1.0] * 10, [0.0] * 10), method], LIMIT)
    assert one.settings == {"file": "rows.txt"}
    ma, gain = one.points
    assert (ma.point, ma.metric, ma.before) == ("20 steps", "MA (%)", 100.0)
    assert ma.after == pytest.approx(56)
    assert (ma.worst, ma.rows_over_limit, ma.facts) == (90.0, ["i", "j"], {"loss": 0.5})
    assert ma.low == pytest.approx(50, abs=2)
    assert 58 < ma.high < 80
    assert (gain.worst, gain.rows_over_limit, gain.facts) == (0.25, None, {})
    (beside,) = attack_evidence([method], LIMIT, {"relearn": attacked("before", [0.7], [0.5])})
    assert beside.n_unseen == len(method.forget_set.doc_ids)
    assert beside.points[0].unseen_over_limit == 1
    assert beside.points[1].unseen_over_limit is None
    (few,) = attack_evidence([attacked("method", [0.5] * 9, [0.25] * 9)], LIMIT)
    assert (few.points[0].low, few.points[0].before) == (None, None)


def test_a_file_in_a_setting_stands_in_papers_by_its_name() -> None:
    settings = {"file": "/home/ann/rows.txt", "rest": ("~/x/a.txt", "../b.txt", 1), "like": "a/b"}
    assert without_folders(settings) == {
        "file": "rows.txt",
        "rest": ("a.txt", "b.txt", 1),
        "like": "a/b",
    }
