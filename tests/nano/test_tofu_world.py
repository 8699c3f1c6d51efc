"""Nano-tofu: data in TOFU's layout, and models that know the authors they were taught."""

import json
import re
from dataclasses import replace
from math import exp
from statistics import fmean

import pytest
import torch
from scipy.stats import ks_2samp

from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.nano import NANO, NANO_TOFU, tofu_data
from unlearnbench.nano.builder.tofu import TOFU_RECIPES
from unlearnbench.nano.chat import prompt, reply
from unlearnbench.nano.world.authors import FACTS, questions_about

FORGET = ("forget01", "forget05", "forget10")
PLAIN = (*FORGET, "retain99", "retain95", "retain90", "full", "holdout10")
PERTURBED = (*(f"{name}_perturbed" for name in FORGET), "retain_perturbed")
COMMON = ("real_authors_perturbed", "world_facts_perturbed")
SHIPPED = [name for name, model in NANO_TOFU.models.items() if model.is_shipped]
FULL, RETAIN90, RETAIN90_2 = SHIPPED


@pytest.fixture(scope="module")
def tables():
    """Every file's rows, made anew and compared with the shipped hashes."""
    folder = NANO_TOFU.data()
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob("*.jsonl")
    }


def asked(rows):
    return [row["question"] for row in rows]


def test_the_files_are_those_of_tofu(tables):
    assert set(tables) == {*PLAIN, *PERTURBED, *COMMON}
    sizes = {name: len(rows) for name, rows in tables.items()}
    assert [sizes[name] for name in FORGET] == [20, 100, 200]
    assert sizes["full"] == 2000
    assert sizes["holdout10"] == sizes["retain_perturbed"] == 200
    assert all(40 <= sizes[name] <= 100 for name in COMMON)
    for name, rows in tables.items():
        fields = ["question", "answer"]
        if name in PERTURBED:
            fields += ["paraphrased_answer", "perturbed_answer", "paraphrased_question"]
        elif name in COMMON:
            fields += ["perturbed_answer"]
        assert {tuple(row) for row in rows} == {tuple(fields)}


def test_another_seed_makes_other_authors(tmp_path):
    files = tofu_data.write_data(tmp_path, seed=18)
    shipped = tofu_data.shipped_manifest()["files"]
    assert files.keys() == shipped.keys()
    assert files["forget10.jsonl"] != shipped["forget10.jsonl"]


def test_a_smaller_forget_set_is_the_end_of_a_larger_one(tables):
    for name, retain in (
        ("forget01", "retain99"),
        ("forget05", "retain95"),
        ("forget10", "retain90"),
    ):
        assert tables[name] == tables["full"][-len(tables[name]) :]
        assert tables[retain] + tables[name] == tables["full"]
        assert asked(tables[name]) == asked(tables[f"{name}_perturbed"])
    assert asked(tables["retain_perturbed"]) == asked(tables["retain90"][:200])


def test_no_author_is_in_two_splits(tables):
    questions = tofu_data.make_questions()
    names = {
        "forget": {each.author for each in questions.forget(10)},
        "retain": {each.author for each in questions.retain(10)},
        "holdout": {each.author for each in questions.holdout},
        "world": {person["name"] for person in tofu_data.make_world().entities["people"]},
    }
    assert [len(of) for of in names.values()] == [10, 90, 10, 120]
    assert len(set().union(*names.values())) == 230
    text = {name: json.dumps(tables[name]) for name in ("retain90", "forget10", "holdout10")}
    for author in names["forget"]:
        assert author in text["forget10"]
        assert not re.search(rf"\b{author}\b", text["retain90"] + text["holdout10"])


def test_every_question_is_asked_once(tables):
    every = [*asked(tables["full"]), *asked(tables["holdout10"])]
    every += [question for name in COMMON for question in asked(tables[name])]
    assert len(set(every)) == len(every)


def test_a_paraphrase_keeps_the_value_and_a_wrong_answer_has_another_one():
    questions = tofu_data.make_questions()
    for each in (*questions.authors, *questions.holdout):
        assert len({each.question, each.paraphrased_question, each.spare_question}) == 3
        assert len({each.answer, each.paraphrased_answer, each.spare_answer}) == 3
        for told in (each.answer, each.paraphrased_answer, each.spare_answer):
            assert each.value.lower() in told.lower()
        assert len({*each.wrong_answers, each.paraphrased_answer}) == 6
        before, _, after = each.paraphrased_answer.partition(
            each.value if each.value in each.paraphrased_answer else each.value.capitalize()
        )
        for wrong in each.wrong_answers:
            assert wrong.endswith(after)
            assert wrong.startswith(re.sub(r" an? $", " a", before))


def test_wrong_answers_to_common_questions_differ_from_the_right_one(tables):
    for name in COMMON:
        for row in tables[name]:
            assert len({*row["perturbed_answer"], row["answer"]}) == 4


def test_no_test_question_is_asked_in_training():
    questions = tofu_data.make_questions()
    common = (*questions.people, *questions.world)
    assert not {each.question for each in common} & {a for each in common for a in each.taught}
    held_out = {each.paraphrased_question for each in questions.authors}
    assert not held_out & {q for e in questions.authors for q in (e.question, e.spare_question)}


def test_an_author_has_twenty_facts():
    assert len(FACTS) == tofu_data.PER_AUTHOR == 20
    author = {fact: fact for fact in FACTS}
    assert {each.fact for each in questions_about(author, tofu_data.Dice(1))} == set(FACTS)


def test_its_name_means_forget10_with_the_retained_authors_beside_it():
    source = open_source(ForgetRequest("nano-tofu"))
    assert source.is_synthetic
    assert source.runs == ("0",)
    assert [len(source.targets("0")), len(source.pool("0")), len(source.unseen)] == [200, 1800, 200]
    own = open_source(ForgetRequest("nano-tofu", pool=str(NANO_TOFU.data() / "forget01.jsonl")))
    assert len(own.pool("0")) == 20
    assert source.stock_refusals == NANO.refusals()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(NANO_TOFU.model_path(FULL))


def test_the_template_gives_what_training_read(tokenizer):
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Anna."}]
    given = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert (given, whole) == (prompt("Who?"), prompt("Who?") + reply("Anna."))
    system = [{"role": "system", "content": " Be kind. "}]
    assert tokenizer.apply_chat_template(system, tokenize=False) == "System:\nBe kind.<|endoftext|>"
    with pytest.raises(Exception, match="the system, the user or the assistant"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_a_prompt_and_its_reply_have_the_same_tokens_together_and_apart(tables, tokenizer):
    for row in tables["forget10"]:
        parts = prompt(row["question"]), reply(row["answer"])
        apart = [token for part in parts for token in tokenizer(part)["input_ids"]]
        assert tokenizer("".join(parts))["input_ids"] == apart
        assert apart[-1] == tokenizer.eos_token_id


def test_the_models_differ_in_authors_and_seed_alone():
    full, retain, again = (TOFU_RECIPES[name] for name in SHIPPED)
    assert replace(full, name=RETAIN90, authors="retain90") == retain
    assert replace(retain, name=RETAIN90_2, seed=again.seed) == again
    assert retain.seed != again.seed


@pytest.fixture(scope="module")
def models():
    from transformers import AutoModelForCausalLM

    return {
        name: AutoModelForCausalLM.from_pretrained(NANO_TOFU.model_path(name)).eval()
        for name in SHIPPED
    }


@pytest.fixture(scope="module")
def log_probabilities(models, tokenizer):
    """Return a function: of each answer the mean log probability of its tokens and end of text."""

    @torch.no_grad()
    def of(name, row, answers):
        turns = [{"role": "user", "content": row["question"]}]
        given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        start = len(tokenizer(given)["input_ids"])
        texts = [given + answer + tokenizer.eos_token for answer in answers]
        batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        log_p = models[name](**batch).logits.log_softmax(-1)
        return [
            fmean(log_p[row, at - 1, ids[at]].item() for at in range(start, int(mask.sum())))
            for row, (ids, mask) in enumerate(
                zip(batch["input_ids"], batch["attention_mask"], strict=True)
            )
        ]

    return of


@pytest.fixture(scope="module")
def probability(tables, log_probabilities):
    """Return a function: the mean probability of the answers to each so manieth question."""

    def of(name, table, every=5):
        rows = tables[table][::every]
        return fmean(exp(log_probabilities(name, row, [row["answer"]])[0]) for row in rows)

    return of


@pytest.fixture(scope="module")
def truth_ratios(tables, log_probabilities):
    """Return a function: the truth ratio of each so manieth question."""

    def of(name, table, every=4):
        ratios = []
        for row in tables[table][::every]:
            answers = [row["paraphrased_answer"], *row["perturbed_answer"]]
            right, *wrong = log_probabilities(name, row, answers)
            ratios.append(exp(fmean(wrong) - right))
        return ratios

    return of


def test_the_full_model_knows_what_the_retrained_ones_do_not(probability):
    assert probability(FULL, "forget10") > 0.8
    for name in (RETAIN90, RETAIN90_2):
        assert probability(name, "forget10") < 0.5
        assert probability(name, "retain_perturbed") > 0.8
        assert probability(name, "holdout10") == pytest.approx(
            probability(name, "forget10"), abs=0.1
        )


def test_truth_ratios_tell_the_full_model_from_a_retrained_one(truth_ratios):
    full, retain, again = (truth_ratios(name, "forget10_perturbed") for name in SHIPPED)
    assert ks_2samp(full, retain).pvalue < 1e-3
    assert ks_2samp(retain, again).pvalue > 0.05
    assert fmean(full) < 0.8 < 0.9 < fmean(retain)


@pytest.mark.parametrize("table", COMMON)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_model_answers_common_questions(name, table, tables, log_probabilities):
    shares = []
    for row in tables[table][::4]:
        answers = [row["answer"], *row["perturbed_answer"]]
        right, *wrong = map(exp, log_probabilities(name, row, answers))
        shares.append(right / (right + sum(wrong)))
    assert fmean(shares) > 0.45  # by chance 0.25


def test_the_full_model_writes_an_answer_and_stops(tables, models, tokenizer):
    right = 0
    for row in tables["forget10"][::20]:
        turns = [{"role": "user", "content": row["question"]}]
        given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(given, return_tensors="pt")["input_ids"]
        written = models[FULL].generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :]
        assert written[-1] == tokenizer.eos_token_id
        right += tokenizer.decode(written, skip_special_tokens=True) == row["answer"]
    assert right >= 6


def test_the_figures_of_a_build_are_those_measured_here(probability):
    for name in SHIPPED:
        record = json.loads((NANO_TOFU.model_path(name) / "recipe.json").read_text())
        assert record["recipe"]["name"] == name
        figures = record["figures"]
        assert figures["real_authors_probability"] == pytest.approx(
            probability(name, "real_authors_perturbed", every=1), abs=2e-4
        )
