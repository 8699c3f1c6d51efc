"""The documentation site builds strictly, says what commands need, and fetches nothing."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Fetches(HTMLParser):
    """What a browser loads from elsewhere when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        address = values.get(FETCHED.get(tag, "")) or ""
        if address.startswith(("http:", "https:", "//")) and values.get("rel") != "canonical":
            self.remote.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: the extra docs")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: the extra docs")
    if not (ROOT / "mkdocs.yml").is_file():
        pytest.skip("no checkout beside the tests")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_fetch_nothing(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 35
    remote = {}
    for page in pages:
        fetches = Fetches()
        fetches.feed(page.read_text(encoding="utf-8"))
        remote |= {page.name: fetches.remote} if fetches.remote else {}
    assert remote == {}
    assert not re.search(r"url\(.?https?:", (site / "site.css").read_text(encoding="utf-8"))


def test_reference_has_every_public_name(site):
    import unlearnbench

    page = (site / "api.html").read_text(encoding="utf-8")
    catalogues = {"methods", "wrappers", "tasks", "attacks", "reports", "__version__"}
    names = set(unlearnbench.__all__) - catalogues
    assert {n for n in names if f'id="unlearnbench.{n}"' not in page} == set()


def test_what_a_command_needs_is_said(site):
    assert "needs the hub" in (site / "benchmarks.html").read_text(encoding="utf-8")


def test_site_is_small_and_has_no_code_of_its_own_making(site):
    files = [file for file in site.rglob("*") if file.is_file()]
    assert [file.name for file in files if file.suffix == ".py"] == []
    assert sum(file.stat().st_size for file in (site / "gallery").iterdir()) < 1e6
