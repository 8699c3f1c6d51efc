"""docs/published_faults.md names every fault that a method declares."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import published_faults
import pytest

from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import PublishedFault

HOW = "make docs/published_faults.md anew: python tests/support/published_faults.py"


def test_the_page_has_a_row_for_every_declared_fault() -> None:
    listed = published_faults.listed(published_faults.PAGE.read_text(encoding="utf-8"))
    # Other tests bring in plugins of their own.
    of_ours = [
        f for f in published_faults.declared() if f[0].__module__.startswith("unlearnbench.")
    ]
    assert sorted(listed) == sorted(published_faults.names(of_ours)), HOW


@dataclass(kw_only=True)
class Weighted(GradientMethod):
    """Two faults that can be switched and one that cannot."""

    name: ClassVar[str] = "weighted"
    label: ClassVar[str] = "Weighted"
    alpha: float = setting(1.0, "weight")
    masked: bool = setting(True, "whether padding is left out")
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault("alpha", 0.1, "takes 0.1 | 0.2", "takes 1", "theirs #1"),
        PublishedFault("masked", False, "counts padding", "answers only", "theirs #2"),
        PublishedFault("", None, "draws the same items", "draws others", "theirs #3"),
        PublishedFault("alpha", 7.0, "takes 7", "takes 3", "theirs #4", corrected=3.0),
    )

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": -self.alpha * batch.target_nll}


class Other(Weighted):
    """One fault."""

    name: ClassVar[str] = "other"
    published_faults: ClassVar[tuple[PublishedFault, ...]] = Weighted.published_faults[1:2]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those of two methods."""
    made = [(method, fault) for method in (Other, Weighted) for fault in method.published_faults]
    monkeypatch.setattr(published_faults, "declared", lambda: made)
    return made


def test_each_fault_is_measured_alone_against_the_paper_s_values(faults: list[Any]) -> None:
    first, second, third = published_faults.rounds(faults)
    alpha, masked, _, other_alpha = Weighted.published_faults
    assert first == {"other": masked, "weighted": alpha}
    assert (second, third) == ({"weighted": masked}, {"weighted": other_alpha})
    paper = {"other.masked": "True", "weighted.alpha": "1.0", "weighted.masked": "True"}
    assert published_faults.settings(first, released=False) == paper
    released = paper | {"other.masked": False, "weighted.alpha": 0.1}
    assert published_faults.settings(first, released=True) == released
    for is_released, value in ((False, 3.0), (True, 7.0)):
        assert published_faults.settings(third, is_released) == {
            "weighted.alpha": value,
            "weighted.masked": "True",
        }


def result(ma: float) -> Any:
    return SimpleNamespace(scores={"forgetting": {"ma": SimpleNamespace(value=ma)}})


def test_a_row_shows_both_values_and_the_page_lists_what_it_was_made_of(faults: list[Any]) -> None:
    results = {
        ("", "", None, False): result(0.99),
        ("weighted", "alpha", 0.1, False): result(0.3),
        ("weighted", "alpha", 0.1, True): result(0.61),
    }
    page = published_faults.page(results)
    assert published_faults.listed(page) == published_faults.names(faults)
    assert "takes 0.1 \\| 0.2 (0.1 where the paper has 1.0) | takes 1 | theirs #1 |" in page
    assert "takes 7 (7.0 where the paper has 3.0)" in page
    assert "| – → – | 30.0 → 61.0 |" in page
    assert "| before unlearning |" in page
    n_columns = {
        line.replace("\\|", "").count("|") for line in page.splitlines() if line[:1] == "|"
    }
    assert len(n_columns) == 1
