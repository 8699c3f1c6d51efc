"""Pool files: the shipped ones, and what is wrong with one's own."""

import pytest

from unlearnbench.cli.catalogue import describe, sentences
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.pools.definition import find_pools, parse_definition, shipped
from unlearnbench.experiments.pools.planning import plan_pools

OWN = """
title = "Mine"
[run]
tasks = ["answers"]
settings = ["icu.alpha=0.5", "answers.batch_size=4"]
[robustness]
methods = ["icu"]
settings = ["relearn.steps=0,2"]
[[with]]
model = "a"
kind = "rows"
[[without]]
model = "b"
kind = "none"
"""


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_pools_are_whole(name: str) -> None:
    definition = find_pools(name).definition
    assert definition.summary
    assert definition.build
    Experiment.parse(definition.of_references({}))
    members = Experiment.parse(definition.of_members({}))
    assert members.attacks == ()
    assert members.references == ("before",)
    assert name in sentences("pools")
    assert definition.title in describe(f"{name}-pools")


def test_every_key_has_a_page() -> None:
    page = describe("pools")
    assert all(f"  {key}  " in page for key in ("with", "without", "robustness", "model", "kind"))


def test_members_are_measured_without_what_trains_or_attacks() -> None:
    definition = parse_definition(OWN, "mine")
    options = definition.of_members({"limit": 3, "settings": ["relearn.steps=0,1"]})
    assert options["settings"] == ["answers.batch_size=4"]
    assert options["limit"] == 3
    assert not {"methods", "attacks", "model"} & options.keys()


def test_references_have_all_settings_and_the_published_attacks() -> None:
    definition = parse_definition(OWN, "mine")
    options = definition.of_references({"limit": 3, "settings": ["icu.beta=1"]})
    assert options["settings"] == [
        "icu.alpha=0.5", "answers.batch_size=4", "relearn.steps=0,2", "icu.beta=1"
    ]  # fmt: skip
    assert options["attacks"] == ["relearn", "quantise"]
    assert options["model"] == "a"  # the first with: the file names no original


def test_without_robustness_nothing_is_attacked() -> None:
    head, _, tail = OWN.partition("[robustness]")
    bare = parse_definition(head + "[[with]]" + tail.partition("[[with]]")[2], "mine")
    assert "attacks" not in bare.of_references({"attacks": ["relearn"]})


@pytest.mark.parametrize(
    ("change", "want"),
    [
        (("[[without]]", "[[witout]]"), "unknown key in mine 'witout' .did you mean 'without'"),
        (('kind = "none"', 'sort = "none"'), "unknown key in mine 'sort'"),
        (('model = "b"', 'model = "a"'), "model 'a' is named twice"),
        (('[[without]]\nmodel = "b"\nkind = "none"', ""), r"no \[\[without\]\]"),
        (('title = "Mine"', "title ="), "mine is not TOML"),
        (('kind = "none"', "kind = 3"), "without.0.kind"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(change: tuple[str, str], want: str) -> None:
    with pytest.raises(UserError, match=want) as raised:
        parse_definition(OWN.replace(*change), "mine")
    assert "\n" not in str(raised.value)
    if "TOML" not in want:
        assert "unlearnbench show pools" in str(raised.value)


def test_an_option_that_is_none_is_said_with_its_place(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN.replace('methods = ["icu"]', 'metods = ["icu"]'))
    with pytest.raises(UserError, match=r"mine.toml: \[robustness\]: .*metods"):
        find_pools(str(path))


def test_an_original_that_is_no_text_is_read_as_that_of_a_run(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN.replace("[run]", "[run]\nmodel = 3"))
    pools = find_pools(str(path))
    assert pools.definition.original == "3"
    with pytest.raises(UserError, match="model '3'"):
        plan_pools(pools, {}, download=False)
