"""The card of a kept model says what its result says, and no text of a row."""

import shutil
from dataclasses import replace
from pathlib import Path

from derived_cases import measured
from huggingface_hub import ModelCard
from stored_cases import full_result

from unlearnbench.publishing.card_head import card_head
from unlearnbench.publishing.kept_model import kept_model
from unlearnbench.publishing.result_card import command, evaluations
from unlearnbench.results.record import BenchmarkRecord, Result, SplitRecord, key_of
from unlearnbench.results.store import Store

SECRET = "the fourth door opens at nine"


def with_rows(result: Result, **changes) -> Result:
    texts = dict.fromkeys(result.forget_set.doc_ids, SECRET)
    rows = result.forget_set.model_copy(update={"prefixes": texts, "suffixes": texts})
    metrics = [replace(metric, scale=100.0) for metric in result.metrics]
    update = {"forget_set": rows, "continuations": texts, "metrics": metrics, **changes}
    return result.model_copy(update=update)


def card_of(out: Path, model: Path, result: Result, *others: Result) -> ModelCard:
    for one in (result, *others):
        Store(out).save(one)
    folder = out / "models" / result.key
    shutil.copytree(model, folder)
    (out / "README.md").write_text(kept_model(folder).upload().card)
    return ModelCard.load(out / "README.md")


def before(value: float) -> Result:
    identity = {"role": "before"}
    result = with_rows(full_result(unknown=0.3, label="m (before unlearning)"))
    scores = {"t": {"ma": result.scores["t"]["ma"].model_copy(update={"value": value})}}
    changes = {"role": "before", "identity": identity, "key": key_of(identity), "trace": None}
    return result.model_copy(update={**changes, "scores": scores})


def test_it_states_the_scores_of_its_result(tmp_path, model) -> None:
    result = with_rows(full_result(unknown=0.3))
    card = card_of(tmp_path, model, result, before(0.75))
    values = {one.metric_name: one.metric_value for one in card.data.eval_results}
    scales = {metric.label: metric.scale for metric in result.metrics}
    assert values == {"MA (%)": result.scores["t"]["ma"].value * scales["MA (%)"]}
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["unlearning", "unlearnbench"]
    line = next(one for one in card.text.splitlines() if one.startswith("| MA (%) ↓"))
    assert [part.strip() for part in line.strip("|").split("|")] == ["MA (%) ↓", "75.0", "10.0"]
    assert "**It reached the stop line** (EL10 (%) < 5.00 and MA (%) < 30.00; Jang" in card.text
    assert result.key in card.text
    assert SECRET not in card.content
    assert "It was not attacked" in card.text


def test_it_says_what_did_not_reach_the_line_and_what_is_made_up(tmp_path, model) -> None:
    result = with_rows(full_result(unknown=0.3))
    trace = result.trace.model_copy(update={"outcome": "not_forgotten"})
    synthetic = result.model.model_copy(update={"is_synthetic": True})
    changed = {"status": "not_forgotten", "trace": trace, "model": synthetic}
    card = card_of(tmp_path, model, result.model_copy(update=changed))
    assert "**It did not reach the stop line, so by this measure the rows are not" in card.text
    assert "**Trained on a made-up world.**" in card.text


def test_it_names_data_that_have_a_licence_and_no_folders(tmp_path, model) -> None:
    split = SplitRecord(role="forget", source="locuslab/TOFU", n=2, sha256="0" * 64)
    benchmark = BenchmarkRecord(
        name="tofu", title="TOFU", licence="MIT", split="forget10", template="chat", columns=["ma"],
        splits={"forget": split},
    )  # fmt: skip
    result = with_rows(full_result(unknown=0.3), benchmark=benchmark)
    identity = {**result.identity, "method": {"settings": {"file": "/home/ann/refusals.txt"}}}
    method = result.method.model_copy(
        update={"settings": {"alpha": 0.25}, "origins": {"alpha": "--set icu.alpha"}}
    )
    changes = {"identity": identity, "key": key_of(identity), "method": method}
    card = card_of(tmp_path, model, result.model_copy(update=changes))
    assert card.data.datasets == ["locuslab/TOFU"]
    assert "licence of its data: MIT" in card.text
    assert "refusals.txt" in card.text
    assert "/home/ann" not in card.content
    assert "--benchmark tofu --split forget10 --methods icu" in card.text
    assert "@" in card.text.partition("```bibtex")[2][:10]


def test_the_command_names_the_forget_set_and_the_settings_that_are_no_defaults() -> None:
    result = full_result()
    method = result.method.model_copy(update={"origins": {"alpha": "--set icu.alpha"}})
    said = command(result.model_copy(update={"method": method, "seed": 7}))
    assert said == (
        "unlearnbench run --model m --forget-set f --runs 0 --methods icu --seeds 7 "
        "--set icu.alpha=0.5 --save-models"
    )


def test_the_command_names_the_source_of_a_run_and_the_requests_of_a_sequence() -> None:
    result = full_result()
    rows = result.forget_set.model_copy(update={"name": "nano/forget_0+forget_1", "run": "0+1"})
    identity = {**result.identity, "forget_set": {"requests": {"0": 1, "1": 1}}}
    at_once = result.model_copy(update={"forget_set": rows, "identity": identity})
    assert "--forget-set nano --runs 0+1 " in command(at_once)
    in_turn = at_once.model_copy(update={"identity": {**identity, "sequence": {}}})
    assert "--forget-set nano --sequence 0,1 " in command(in_turn)


def test_what_was_measured_on_other_data_stands_under_their_name() -> None:
    values = {"forgetting": {"ma": [0.25, 0.75]}, "perplexity": {"ppl": [2.0, 4.0, 6.0]}}
    result = measured("NPO", values)
    head = ModelCard(card_head("n", "m", list(evaluations(result)))).data
    assert {(e.dataset_type, e.metric_value, e.metric_args["n"]) for e in head.eval_results} == {
        ("forgetting", 0.5, 2),
        ("perplexity", 4.0, 3),
    }


def test_a_head_names_base_and_licence_where_the_alias_is_known() -> None:
    head = ModelCard(card_head("n", "neo-125m", [])).data
    assert (head.base_model, head.license) == ("EleutherAI/gpt-neo-125m", "mit")
    head = ModelCard(card_head("n", "opt-125m", [])).data
    assert (head.license, head.license_name) == ("other", "OPT-175B licence (research use)")
    assert ModelCard(card_head("n", "my-folder", [])).data.base_model is None
    head = ModelCard(card_head("n", "ann/base", [], is_adapter=True)).data
    assert (head.library_name, head.base_model_relation) == ("peft", "adapter")
