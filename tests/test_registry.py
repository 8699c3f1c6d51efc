"""Finding plugins: built-in ones, files, entry points; what happens to broken and doubled ones."""

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import unlearnbench
from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.files.software import code_of, source_sha256
from unlearnbench.unlearning.method import Method

METHOD = '''
from dataclasses import dataclass
from unlearnbench.unlearning.method import Method
from unlearnbench.registry import register

@register
@dataclass(kw_only=True)
class Given(Method):
    """A method."""
    name = "{name}"
    label = "Given"
    def unlearn(self, model, forget_set, examiner):
        raise NotImplementedError
'''


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch):
    for kind in registry.KINDS:
        getattr(registry, kind)()
    plugins = {kind: dict(known) for kind, known in registry._plugins.items()}
    monkeypatch.setattr(registry, "_plugins", plugins)


def write(folder: Path, file: str, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(METHOD.format(name=name))
    return path


def test_the_five_methods_come_through_the_registry():
    assert {"icu", "kumpr", "dpo", "kl", "llmu"} <= set(registry.methods())
    assert all(plugin.name == name for name, plugin in registry.methods().items())


def test_a_file_registers_its_method_and_may_be_given_twice(tmp_path):
    path = write(tmp_path, "given.py", "given")
    registry.load_plugin_file(path)
    registry.load_plugin_file(path)
    assert registry.find("methods", "given").label == "Given"
    assert registry.is_default(registry.find("methods", "given"))


def test_files_of_one_name_in_two_folders_do_not_hide_each_other(tmp_path):
    registry.load_plugin_file(write(tmp_path / "a", "given.py", "first"))
    registry.load_plugin_file(write(tmp_path / "b", "given.py", "second"))
    assert {"first", "second"} <= set(registry.methods())


def test_a_name_taken_twice_is_an_error_naming_both(tmp_path):
    with pytest.raises(UserError) as caught:
        registry.load_plugin_file(write(tmp_path, "mine.py", "kumpr"))
    assert "unlearnbench.methods.kumpr" in str(caught.value)
    assert "mine.py" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("import nowhere_at_all", "ModuleNotFoundError"), ("def (", "SyntaxError")],
)
def test_a_file_that_does_not_import_is_a_user_error(tmp_path, text, told):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(UserError, match=told):
        registry.load_plugin_file(path)


def test_a_class_that_is_no_plugin_is_refused():
    with pytest.raises(UserError, match="none of Method, Wrapper, Task, Attack, Report"):
        registry.register(type("Stray", (), {"name": "stray"}))


@pytest.mark.parametrize("name", ["a,b", "a.b", "a=b", "", "-a", "protocol", 3])
def test_a_name_that_no_option_can_take_is_refused(name):
    with pytest.raises(UserError, match="has no name that an option can take"):
        registry.register(type("Stray", (Method,), {"name": name, "label": "Stray"}))


def test_a_method_without_a_label_is_refused_before_a_table_needs_it():
    with pytest.raises(UserError, match="Stray has no label, its name in tables"):
        registry.register(type("Stray", (Method,), {"name": "stray"}))


def test_unknown_names_come_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'kumpr'"):
        registry.find("methods", "kumrp")


def test_somebody_elses_broken_plugin_costs_a_warning():
    point = EntryPoint("theirs", "nowhere_at_all.plugin", "unlearnbench.methods")
    with pytest.warns(UserWarning, match="'theirs' of an unnamed distribution is left out"):
        registry._load(point)
    assert "icu" in registry.methods()


def test_an_edited_plugin_has_another_hash(tmp_path):
    path = write(tmp_path, "given.py", "given")
    registry.load_plugin_file(path)
    plugin = registry.find("methods", "given")
    before = source_sha256(plugin)
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert source_sha256(plugin) == before  # this process runs what it has read
    source_sha256.cache_clear()  # as another process that reads the file now
    assert source_sha256(plugin) != before


def test_a_plugin_of_a_package_is_all_of_the_package(tmp_path, monkeypatch):
    name = f"theirs_{tmp_path.parent.name.replace('-', '_')}"  # of no module that was there before
    package = tmp_path / name
    (package / "formulas").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "formulas" / "losses.py").write_text("WEIGHT = 1.0  # of the loss\n")
    (package / "template.py").write_text("class {name}:\n\xe9", encoding="latin-1")
    write(package, "plugin.py", "theirs")
    monkeypatch.syspath_prepend(tmp_path)
    registry._import_tree(f"{name}.plugin")
    digests = []
    for weight in ("1.0  # of the loss", "1.0", "2.0"):
        (package / "formulas" / "losses.py").write_text(f"WEIGHT = {weight}\n")
        source_sha256.cache_clear()
        digests.append(source_sha256(registry.find("methods", "theirs")))
    assert digests[0] == digests[1] != digests[2]


CODE = '''"""A module."""

import logging

from unlearnbench.errors import UserError

logger = logging.getLogger(__name__)
SCALE = 100.0  # per cent


def percent(share: float, name: str = "share") -> float:
    """That share in per cent."""
    if share < 0:
        raise UserError(f"{name} is {share}; give one above 0")
    if share > 1:
        logger.warning("%s is above 1", name)
    label = {"name": name}
    return SCALE * share * len(label)
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# per cent", "# of a hundred"),
        ('"""A module."""\n', ""),
        ("That share in per cent.", "A share, in per cent.\n\n    Of a hundred.\n    "),
        ("; give one above 0", ", which is below 0"),
        ("{name} is {share}; give one above 0", "of {name}, {share} was given"),
        ("{name} is {share}; give", "{name}{share} give"),
        ("%s is above 1", "more than all of %s"),
        ("SCALE * share", "(SCALE * share)"),
        ("    label = ", "\n    label = "),
    ],
)
def test_what_is_only_said_is_no_part_of_the_code(old, new):
    assert old in CODE
    assert code_of(CODE.replace(old, new)) == code_of(CODE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("raise Stop(outcome='forgotten')", "raise Stop(outcome='collapsed')"),
        ("raise Stop(outcomes['a'])", "raise Stop(outcomes['b'])"),
        ("raise Stop(measured('a'))", "raise Stop(measured('b'))"),
        ("x = model.info('width')", "x = model.info('depth')"),
        ("x = error(y, 'absolute')", "x = error(y, 'squared')"),
        ("def f(*, a=None, b): pass", "def f(*, a, b=None): pass"),
        ("x = {None: a}", "x = {**a}"),
    ],
)
def test_two_programs_are_told_apart(one, other):
    assert code_of(one) != code_of(other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("100.0", "100.5"),
        ("SCALE * share", "SCALE / share"),
        ("share < 0", "share <= 0"),
        ('{"name": name}', '{"names": name}'),
        ('= "share"', '= "part"'),
        ("    if share > 1:\n", "    while share > 1:\n"),
        ("import logging\n", "import logging\nimport math\n"),
        ("{share}", "{name}"),  # cheap to be strict about: what is shown is computed
    ],
)
def test_what_is_computed_is_part_of_the_code(old, new):
    assert old in CODE
    assert code_of(CODE.replace(old, new)) != code_of(CODE)


def test_the_harness_hash_is_of_what_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from unlearnbench.files import software

    here = Path(unlearnbench.__path__[0])
    shutil.copytree(here, tmp_path / "copy", ignore=shutil.ignore_patterns("weights"))
    monkeypatch.setattr(software, "__file__", str(tmp_path / "copy" / "files" / "software.py"))

    def hash_after(name: str) -> str:
        with (tmp_path / "copy" / name).open("a") as file:
            file.write("\nADDED = 1\n")
        software.harness_sha256.cache_clear()
        return software.harness_sha256()

    try:
        shown = {hash_after(f"{name}.py") for name in ("errors", "results/store", "cli/run")}
        file = tmp_path / "copy" / "results" / "store.py"
        file.rename(file.with_name("another.py"))
        shown.add(hash_after("results/another.py"))
        measuring = ("protocol", "metrics/text", "models/hub", "results/score")
        measured = {hash_after(f"{name}.py") for name in measuring}
    finally:
        software.harness_sha256.cache_clear()
    assert len(shown) == 1
    assert len(measured) == len(measuring)
    assert not measured & shown
