"""Sampling: its columns from samples that a test draws and compares itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from item_cases import LLAMA_CHAT, llama, own_rows, plain_rouge_l
from scipy import stats
from transformers import BertConfig, BertForSequenceClassification
from unlearning_fakes import forget_set, memorise, tiny_model

from unlearnbench.attacking.attack import Point, Target
from unlearnbench.attacking.questions import Question, Questions, questions_of
from unlearnbench.attacking.successes import Reply, Success, entailing_texts, holds_detail
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.generation.sampling import Sampling, draw_samples
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find

N, NEW_TOKENS = 6, 5
SETTINGS = {"samples": N, "ks": (1, 2, 6, 400), "new_tokens": NEW_TOKENS}


def sample(**settings):
    return find("attacks", "sample")(**{**SETTINGS, **settings})


def target_of(rows: ForgetSet, *splits: Split) -> Target:
    return Target(rows, TaskContext(rows, {}, splits=splits))


def attacked(model: LanguageModel, target: Target, **settings) -> dict[str, Point]:
    return {point.name: point for point in sample(**settings).apply(model, target)}


def documents(point: Point) -> dict[str, dict[str, float]]:
    assert point.measured is not None
    return {name: score.documents for name, score in point.measured.scores.items()}


@pytest.fixture(scope="module")
def known() -> tuple[LanguageModel, ForgetSet]:
    """A model that half knows four rows."""
    model, rows = tiny_model(), forget_set(n_rows=4)
    memorise(model, rows.rows, steps=60)
    return model, rows


@pytest.fixture(scope="module")
def points(known) -> dict[str, Point]:
    return attacked(known[0], target_of(known[1]))


@pytest.fixture(scope="module")
def scores(known) -> dict[str, list[float]]:
    """ROUGE-L recall of every sample, from their text by a plain table."""
    model, rows = known[0], known[1].rows
    attack, (questions,) = sample(), questions_of(model, target_of(known[1]), NEW_TOKENS)
    found = {}
    for row, doc_id in enumerate(rows.doc_ids):
        prompt = rows.input_ids[row, :8].tolist()
        numbers = attack._uniforms(questions, doc_id)
        how = Sampling(N, NEW_TOKENS)
        ((_, samples),) = draw_samples(model, [prompt], how, lambda _, own=numbers: own)
        answer = model.tokenizer.decode(rows.input_ids[row, 8 : 8 + NEW_TOKENS].tolist())
        texts = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in samples]
        found[doc_id] = [plain_rouge_l(text, answer, stemmer=True)[0] for text in texts]
    return found


def test_each_column_is_of_the_same_samples(points, scores) -> None:
    assert [*points] == ["k=1", "k=2", "k=6"]
    assert [point.position for point in points.values()] == [1, 2, 6]
    first = documents(points["k=1"])
    leaks = {doc: sum(s >= 0.5 for s in own) for doc, own in scores.items()}
    assert 0 < sum(leaks.values()) < 4 * N
    assert first["leak"] == pytest.approx({doc: c / N for doc, c in leaks.items()})
    assert first["rouge_l"] == pytest.approx({doc: np.mean(own) for doc, own in scores.items()})
    assert first["rouge_l_ed"] == pytest.approx(
        {doc: np.mean(own) + 2 * np.std(own, ddof=1) for doc, own in scores.items()}
    )
    assert first["leak_bound"] == pytest.approx(
        {doc: stats.beta.ppf(0.99, c + 1, N - c) if c < N else 1 for doc, c in leaks.items()}
    )
    last = documents(points["k=6"])
    assert last["leak"] == pytest.approx({doc: float(c > 0) for doc, c in leaks.items()})
    assert last["rouge_l"] == pytest.approx({doc: max(own) for doc, own in scores.items()})


def test_the_bound_on_a_high_score_is_the_share_of_them_and_a_band(known, scores) -> None:
    some = float(np.quantile(np.concatenate(list(scores.values())), 0.7, method="nearest"))
    settings = {"threshold": some, "success": "exact", "alpha": 0.5}
    found = documents(attacked(known[0], target_of(known[1]), **settings)["k=1"])
    over = {doc: sum(s > some for s in own) / N for doc, own in scores.items()}
    band = np.sqrt(np.log(2) / (2 * N))
    assert found["rouge_l_tail"] == pytest.approx({d: min(1, p + band) for d, p in over.items()})
    assert min(found["rouge_l_tail"].values()) < 1
    assert len(set(over.values())) > 1


def test_what_holds_of_all_rows_together(points, scores) -> None:
    leaks = [sum(s >= 0.5 for s in own) for own in scores.values()]
    facts, pooled = points["k=1"].facts, stats.beta.ppf(0.99, sum(leaks) + 1, 4 * N - sum(leaks))
    assert (facts["leaks"], facts["draws"]) == (sum(leaks), 4 * N)
    assert facts["leak_at_most"] == pytest.approx(pooled)
    assert points["k=6"].facts["leak_at_most"] == pytest.approx(1 - (1 - pooled) ** 6)
    worst = max(leaks)
    expected = stats.beta.ppf(1 - 0.01 / 4, worst + 1, N - worst) if worst < N else 1.0
    assert facts["any_question_at_most"] == pytest.approx(expected)
    n_leaking = sum(c > 0 for c in leaks)
    assert stats.binom.cdf(n_leaking, 4, facts["new_question_at_most"]) == pytest.approx(
        0.01 if n_leaking < 4 else 1.0
    )
    # Of one draw the variance is p (1 - p), which n samples estimate with n - 1.
    variance = sum(c / N * (1 - c / N) / (N - 1) for c in leaks) / 16
    assert facts["sampling_error"] == pytest.approx(np.sqrt(variance))
    assert "leak_low" not in facts  # four rows are too few
    assert "sampling_error" not in points["k=6"].facts  # there are no 12 samples


def test_columns_are_what_is_to_be_low_and_show_the_closest_sample(points) -> None:
    measured = points["k=1"].measured
    assert {metric.higher_is_better for metric in measured.metrics} == {False}
    assert {metric.documents for metric in measured.metrics} == {"rows"}
    assert {metric.name for metric in measured.metrics} == set(measured.scores)
    assert all(measured.scores["rouge_l"].outputs.values())


def test_draws_hang_on_the_seed_and_the_row(known, points) -> None:
    model, rows = known
    again = attacked(model, target_of(rows))
    assert [documents(p) for p in again.values()] == [documents(p) for p in points.values()]
    other = attacked(model, target_of(rows), seed=1)
    assert documents(other["k=1"]) != documents(points["k=1"])
    fewer = replace(rows, rows=rows.rows.select([2]))
    own = documents(attacked(model, target_of(fewer))["k=1"])
    assert own["rouge_l"] == {"row-2": documents(points["k=1"])["rouge_l"]["row-2"]}


def test_a_model_that_knows_the_rows_leaks_more(known, points) -> None:
    fresh = attacked(tiny_model(seed=5), target_of(known[1]))
    leaks = [of["k=1"].measured.scores["leak"].value for of in (fresh, points)]
    assert leaks[0] < leaks[1]


def test_the_plan_counts_points_and_tokens(known) -> None:
    model, rows = known
    attack = sample()
    model.meter.phases.clear()
    assert len(list(attack.apply(model, target_of(rows)))) == attack.n_points
    spent = model.meter.phases["other"].forward_tokens
    assert spent <= attack.forward_tokens(4, 8) < 1.5 * spent  # some samples end early


# What leaks.


def replies(*texts: str, recall: float = 0.4) -> list[Reply]:
    return [Reply((), text, recall) for text in texts]


def test_a_detail_is_held_in_whole_words() -> None:
    assert holds_detail("He lives at 7\n Elm street, they say.", "7 elm Street")
    assert not holds_detail("at 17 Elm Street", "7 Elm Street")
    assert not holds_detail("7 Elm Streets", "7 Elm Street")
    assert holds_detail("(C++)", "c++")
    assert not holds_detail("anything", "  ")


def test_exact_is_the_suffixs_first_tokens_of_a_row_and_the_answer_of_an_item() -> None:
    exact = Success("exact", 0.5, exact_tokens=2)
    row, item = Question("a", (), "", (5, 6, 7)), Question("b", (), "Elm")
    tokens = [(5, 6, 9), (5, 7, 7), (5,), (9, 5, 6)]
    assert exact.leaks(row, [Reply(ids, "", 1.0) for ids in tokens]) == [True, False, False, False]
    assert exact.leaks(item, replies("an elm", "an oak")) == [True, False]


@pytest.fixture(scope="module")
def inference(tmp_path_factory) -> Path:
    """A model of natural language inference at random weights."""
    folder = tmp_path_factory.mktemp("nli")
    tiny_model().tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    labels = ("entailment", "neutral", "contradiction")
    network = BertForSequenceClassification(
        BertConfig(
            vocab_size=97,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            initializer_range=2.0,
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
        )
    )
    network.save_pretrained(folder)
    return folder


def test_entailment_is_the_models_best_class(inference: Path) -> None:
    network = BertForSequenceClassification.from_pretrained(inference).eval()
    tokenizer = tiny_model().tokenizer
    texts = [f"t{i} t{i + 3}" for i in range(4, 40)]
    expected = set()
    for text in texts:
        inputs = tokenizer(text, "t5 t9", return_tensors="pt")
        if int(network(**inputs).logits.argmax()) == 0:
            expected.add(text)
    assert 0 < len(expected) < len(texts)
    assert entailing_texts(str(inference), [*texts, " "], "t5 t9") == expected
    gated = Success("entailment", 0.5, 10, str(inference), 0.3)
    question, near = Question("a", (), "t5 t9"), min(expected)
    assert gated.leaks(question, replies(near, recall=0.3)) == [True]
    assert gated.leaks(question, replies(near, recall=0.29)) == [False]


def test_the_entailment_model_takes_part_in_the_key(inference: Path) -> None:
    attack = sample(success="entailment", entailment_model=str(inference))
    assert set(attack.data_sha256()) == {"entailment_model"}
    assert sample().data_sha256() == {}


# A benchmark's splits.


def split_of(rows: Sequence[dict], name: str = "forget", **more) -> Split:
    items = tuple(Item(str(i), r["question"], r["answer"]) for i, r in enumerate(rows))
    defaults = {"role": "forget", "measures": frozenset({"rouge"}), "new_tokens": 4}
    return Split(name=name, items=items, **{**defaults, **more})


def test_each_split_to_forget_has_columns_of_its_own(known) -> None:
    rows = own_rows()[:3]
    model = llama(rows, LLAMA_CHAT)
    chat = Template("chat", date="10 Apr 2025")
    splits = (
        split_of(rows, template=chat),
        split_of(rows[:2], "forget_facts", measures=frozenset({"exact_match"})),
        split_of(rows, "texts", measures=frozenset({"membership"})),
        split_of(rows, "retain", role="retain"),
    )
    found = documents(attacked(model, target_of(known[1], *splits), new_tokens=None)["k=2"])
    assert {name: len(own) for name, own in found.items()} == {
        "forget_leak": 3,
        "forget_rouge_l": 3,
        "forget_facts_leak": 2,
        "forget_facts_rouge_l": 2,
    }
    target = target_of(known[1], *splits)
    asked, facts = questions_of(model, replace(target, context=replace(target.context, limit=1)), 3)
    assert (len(asked.questions), asked.new_tokens, facts.name) == (1, 3, "forget_facts")
    plain = target_of(known[1])
    (rows,) = questions_of(model, replace(plain, context=replace(plain.context, limit=2)), 3)
    assert [question.doc_id for question in rows.questions] == ["row-0", "row-1"]
    end = model.tokenizer.convert_tokens_to_ids("<|end|>")
    assert asked.ends == {end, model.eos_token_id}


def test_a_reply_ends_before_a_stop_text() -> None:
    asked = Questions("", (), 4, stop=("\n", "###"))
    assert asked.reply(" an elm\nor ### not") == "an elm"
    assert Questions("", (), 4).reply(" an elm\nor") == "an elm\nor"


# What cannot be done.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, r"draws nothing; take the greedy continuation .*forgetting"),
        ({"success": "entailment"}, r"needs a model .*--set sample.entailment_model="),
        (
            {"success": "entailment", "entailment_model": "nano"},
            r"'nano' has no class 'entailment'; .*--set sample.entailment_model=",
        ),
    ],
    ids=["cold", "no model", "another model"],
)
def test_what_cannot_be_drawn_or_judged_is_told(settings: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        sample(**settings)
    assert "\n" not in str(told.value)


class Source:
    """Rows that need no file."""

    def __init__(self, rows) -> None:
        self.rows = rows

    def targets(self, run, limit=None):
        return self

    def encode(self, model, protocol, only_fitting=False):
        return self.rows


def test_what_does_not_fit_is_told_before_anything_is_run(known) -> None:
    model, rows = known
    sample().check(model, Source(rows.rows), "0", ())
    with pytest.raises(UserError, match=r"row-0.* 8 given .* 60 new ones .*64 .*new_tokens=56"):
        sample(new_tokens=60).check(model, Source(rows.rows), "0", ())
    bare = replace(rows.rows, n_given=rows.rows.lengths)
    with pytest.raises(UserError, match=r"row 'row-0' has no suffix"):
        sample().check(model, Source(bare), "0", ())
    headless = replace(rows.rows, n_given=torch.zeros(4, dtype=torch.long))
    with pytest.raises(UserError, match="gives no token"):
        sample().check(model, Source(headless), "0", ())
    questions = split_of(own_rows()[:1])
    with pytest.raises(UserError, match="60 of a reply do not fit the 64"):
        sample(new_tokens=60).check(model, Source(bare), "0", (questions,))
