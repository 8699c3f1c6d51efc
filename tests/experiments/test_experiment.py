"""The experiment: one definition of each option, checked whether it comes from flags or TOML."""

import dataclasses
import tomllib

import pytest

from unlearnbench.errors import UserError
from unlearnbench.experiments.data_choice import evaluation_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import parse_set
from unlearnbench.experiments.planner import Planner
from unlearnbench.metrics.task import TEXTS
from unlearnbench.protocol import Protocol
from unlearnbench.registry import register  # noqa: F401 - importable without torch
from unlearnbench.settings import setting, settings_of
from unlearnbench.unlearning.method import Method, check_unlearn


@dataclasses.dataclass(kw_only=True)
class Sample(Method):
    """A method with one setting of its own."""

    name = "sample"
    label = "Sample"
    alpha: float = setting(0.5, "weight")
    learning_rate: float = setting(1e-3, "another default, the same bound")

    def unlearn(self, model, forget_set, examiner):
        raise NotImplementedError


def test_text_becomes_typed_values():
    experiment = Experiment.parse(
        {"methods": ("icu,kumpr", "kl"), "seeds": "1,2", "limit": "8", "protocol": "released"}
    )
    assert experiment.methods == ("icu", "kumpr", "kl")
    assert experiment.seeds == (1, 2)
    assert experiment.limit == 8
    assert experiment.protocol == "released"


def test_paths_and_settings_are_not_cut_at_commas():
    experiment = Experiment.parse({"text": ("a=x,y.txt",), "settings": ["icu.alpha=0.1"]})
    assert experiment.text == ("a=x,y.txt",)
    assert experiment.settings == ("icu.alpha=0.1",)


def test_toml_gives_back_the_same_experiment(tmp_path):
    first = Experiment.parse({"model": "a,b", "runs": "0", "limit": 4, "trust_remote_code": True})
    path = tmp_path / "experiment.toml"
    path.write_text(first.to_toml())
    assert Experiment.parse(Experiment.from_toml(path)) == first
    assert tomllib.loads(first.to_toml())["limit"] == 4


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"protocol": "papr"}, "--protocol 'papr' is not one of paper, released"),
        ({"seeds": "a"}, "--seeds 'a' is not a list of whole number"),
        ({"limit": "many"}, "--limit 'many' is not"),
        ({"modle": "x"}, "did you mean 'model'"),
        ({"limit": "0"}, "--limit '0' is not"),
        ({"limit": "-3"}, "at least 1"),
        ({"task_limit": 0}, "--task-limit 0 is not"),
        ({"threads": "-1"}, "a whole number, at least 0"),
        ({"jobs": "-1"}, "a whole number or none, at least 0"),
        ({"max_epochs": "0"}, "at least 1"),
        ({"seeds": "1,-2"}, "at least 0"),
    ],
)
def test_mistakes_are_named(given, told):
    with pytest.raises(UserError, match="unlearnbench run --help") as caught:
        Experiment.parse(given)
    assert told in str(caught.value)


def test_bad_config_file_is_named(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("model = [")
    with pytest.raises(UserError, match=r"c\.toml is not TOML"):
        Experiment.from_toml(path)
    with pytest.raises(UserError, match="cannot read"):
        Experiment.from_toml(tmp_path / "absent.toml")


def test_every_field_has_a_meaning_and_a_flag_of_its_own():
    fields = settings_of(Experiment)
    assert all(one.meaning for one in fields.values())
    assert len({one.flag for one in fields.values()}) == len(fields)
    assert fields["settings"].flag == "set"


def test_set_reaches_methods_and_protocol():
    found = parse_set(["sample.alpha=0.1", "protocol.loss_span=all"], {"sample": Sample})
    assert found == {"sample": {"alpha": 0.1}, "protocol": {"loss_span": "all"}}
    experiment = Experiment(methods=("icu",), settings=("protocol.loss_span=all",))
    assert Planner(experiment).protocol == dataclasses.replace(Protocol(), loss_span="all")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sample.alhpa=1", "did you mean 'alpha'"),
        ("sampel.alpha=1", "did you mean 'sample'"),
        ("sample.alpha=high", "is not a number"),
        ("sample.alpha", "not of the form OWNER.NAME=VALUE"),
        ("sample.seed=1", "--seeds 1"),
        ("sample.batch_size=0", "a whole number, at least 1"),
        ("sample.max_epochs=0", "a whole number, at least 1"),
        ("sample.learning_rate=0", "a number, above 0"),
        ("sample.learning_rate=nan", "a number, above 0"),
        ("protocol.loss_span=some", "one of suffix, all"),
    ],
)
def test_set_mistakes_are_named(text, told):
    with pytest.raises(UserError) as caught:
        parse_set([text], {"sample": Sample})
    assert told in str(caught.value)


def test_a_method_of_two_arguments_is_told_before_anything_runs():
    class TwoArguments(Sample):
        """As methods were before they were given an examiner."""

        name = "two_arguments"

        def unlearn(self, model, forget_set):
            raise NotImplementedError

    check_unlearn(Sample)
    with pytest.raises(UserError, match=r"'two_arguments': its unlearn\(\) must take"):
        check_unlearn(TwoArguments)


def test_texts_are_read_for_whatever_task_needs_them():
    texts, sets, _ = evaluation_data(Experiment(), "nano", (TEXTS, "copa"))
    assert list(texts) == ["pile", "wikitext"]
    assert list(sets) == ["copa"]
    assert evaluation_data(Experiment(), "nano", ())[:2] == ({}, {})
