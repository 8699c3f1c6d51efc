"""What the documentation says of the code's files and packages is true of them."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PLUGINS = ("methods", "wrappers", "tasks", "attacks", "reports")


@pytest.fixture(scope="module")
def page() -> str:
    if not (ROOT / "unlearnbench").is_dir():
        pytest.skip("no checkout beside the tests")
    return PAGE.read_text(encoding="utf-8")


def test_every_file_that_the_walks_name_is_there(page: str) -> None:
    walks = page[page.index("## Six walks") :]
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", walks)
    assert len(named) > 40
    places = [ROOT if name.split("/")[0] in PLUGINS else ROOT / "unlearnbench" for name in named]
    missing = [n for n, place in zip(named, places, strict=True) if not (place / n).is_file()]
    assert missing == []


def test_every_package_has_its_question_and_its_place_in_the_contract(page: str) -> None:
    packages = {path.parent.name for path in (ROOT / "unlearnbench").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / "importlinter.ini")
    layers = set(re.findall(r"\w+", contracts["importlinter:contract:layers"]["layers"]))
    assert packages | set(PLUGINS) <= layers


def test_few_modules_lie_flat(page: str) -> None:
    assert len(list((ROOT / "unlearnbench").glob("*.py"))) <= 10


def test_every_method_wrapper_and_attack_is_in_the_documentation(page: str) -> None:
    from unlearnbench import registry

    for kind in ("methods", "wrappers", "attacks"):
        text = (ROOT / "docs" / f"{kind}.md").read_text(encoding="utf-8")
        found = registry.plugins(kind).items()
        built_in = {name for name, p in found if p.__module__.startswith("unlearnbench.")}
        assert built_in <= set(re.findall(r"^\| `([\w-]+)`", text, re.M))


def test_anchors_lead_to_headings(page: str) -> None:
    files = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    broken = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
            there = (file.parent / link if link else file).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", there, re.M)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            if anchor not in slugs:
                broken.append(f"{file.name}: {link}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_links_lead_somewhere(page: str, name: str) -> None:
    file = ROOT / name
    links = re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link]
    assert [link for link in own if not (file.parent / link).exists()] == []
