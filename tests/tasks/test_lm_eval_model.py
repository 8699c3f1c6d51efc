"""A model in memory as lm-eval asks one, against lm-eval's own interface to transformers."""

import copy

import pytest
from classification_cases import byte_model, measure
from classification_cases import sets as sets
from extraction_cases import shared_model
from lm_eval import evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from unlearnbench.tasks import _lm_eval, _questions
from unlearnbench.tasks._answers import SharingLM

TEXTS = [
    ("", " yes"),
    ("", "<|endoftext|> yes"),
    ("", "<|endoftext|>"),
    ("The cat sat", " on the mat."),
    ("The cat sat ", "on the mat."),
    ("The cat sat \n ", " on"),
    ("   ", "on"),
    ("<|endoftext|>The cat", " sat"),
    ("<s>The cat", " sat"),
    ("Question: 1 , 000 ?\nAnswer:", " 7"),
    ("Naïve “quotes” – and 日本", "語 ✓"),
    ("The cat", ""),
    ("a" * 900, "b" * 30),
]


def ids_by(kind, *args, **settings):
    """The ids that a model of lm-eval's gives to its scoring, and the length it takes."""
    seen = []

    class Capturing(kind):
        def _loglikelihood_tokens(self, requests, **_):
            seen.extend(
                (list(context), list(continuation)) for _, context, continuation in requests
            )
            return [(0.0, False)] * len(requests)

    scorer = Capturing(*args, **settings)
    scorer.loglikelihood(instances(TEXTS), disable_tqdm=True)
    return seen, scorer.max_length


def instances(pairs):
    return [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]


def assert_ids_are_lm_evals(model, length):
    theirs = ids_by(HFLM, pretrained=model.network, tokenizer=copy.deepcopy(model.tokenizer))
    assert ids_by(SharingLM, model) == theirs
    assert theirs[1] == length


def test_ids_are_lm_evals():
    assert_ids_are_lm_evals(byte_model(), 256)


@pytest.mark.parametrize(
    ("name", "length"), [("stories260K", 512), ("babyllama105", 256), ("pile-neo", 512)]
)
def test_ids_are_lm_evals_with_real_tokenizers(shared, name, length):
    assert_ids_are_lm_evals(shared_model(shared / "models" / name), length)


def test_likelihoods_are_lm_evals():
    """Of what lm-eval scores: where both have a token, and the continuation fits the context."""
    model = byte_model(context=64)
    made = [(c, e) for c, e in TEXTS if (not c or c.strip()) and e not in ("", "<|endoftext|>")]
    made += [(context, f" {word}") for context, _ in made for word in ("one", "onto", "a")]
    scorer = HFLM(pretrained=model.network, tokenizer=copy.deepcopy(model.tokenizer))
    theirs = scorer.loglikelihood(instances(made), disable_tqdm=True)
    ours = SharingLM(model).loglikelihood(instances(made), disable_tqdm=True)
    assert [each.is_greedy for each in ours] == [greedy for _, greedy in theirs]
    values = [each.log_probability for each in ours]
    assert values == pytest.approx([value for value, _ in theirs], rel=5e-7, abs=2e-5)


def test_what_has_no_token_or_does_not_fit_has_no_likelihood():
    pairs = [("The cat", ""), ("The cat", "x" * 65), ("The cat", "x" * 64), ("a", "b")]
    found = SharingLM(byte_model(context=64)).loglikelihood(instances(pairs), disable_tqdm=True)
    assert [each is None for each in found] == [True, True, False, False]


@pytest.mark.parametrize("style", ["lm_eval", "plain"])
def test_lm_evals_own_evaluation_takes_the_model(sets, style):
    """Any task of lm-eval's can ask it: nothing of the harness stands between."""
    model, data = byte_model(), sets["arc_easy"]
    task = _lm_eval.task_over(_questions.task_file("arc_easy", style), data.rows)
    found = evaluate(SharingLM(model), {"arc": task}, bootstrap_iters=0)
    outcomes = {str(sample["doc_id"]): sample["acc"] for sample in found["samples"]["arc"]}
    assert outcomes == measure(model, {"arc_easy": data}, style)["arc_easy"].documents
