"""Choosing, filtering, hovering and sharing in headless Chromium, and an audit by axe-core."""

import pytest
from html_cases import cell, cells, rendered
from html_cases import one_figure as one_figure
from open_pages import open_page as open_page
from page_cases import CONTRAST

TABLE = "table.comparison >> nth=0 >> "


def labels(page):
    return page.locator(TABLE + "tbody th bdi >> visible=true").all_inner_texts()


def columns(page):
    heads = page.locator(TABLE + "thead th >> visible=true")
    return heads.evaluate_all("(all) => all.map((it) => it.dataset.column)")


def address(page):
    return page.evaluate("decodeURIComponent(location.hash)")


def focused(page):
    """The row and column of the number that has the focus."""
    return page.evaluate(
        "(([row, cell]) => [row.dataset.key, cell.dataset.column])"
        "([document.activeElement.closest('tr'), document.activeElement.closest('td')])"
    )


def test_a_chosen_view_stands_in_the_address_and_comes_back_from_it(open_page):
    page = open_page()
    at_first = columns(page)
    assert "lambada" not in at_first
    page.get_by_text("Columns: ").click()
    page.get_by_role("button", name="Measured ones").click()
    page.locator("input[value=ma]").uncheck()
    page.locator("input[value=lambada]").check()
    page.get_by_text("Rows: ").click()
    page.get_by_role("checkbox", name="NEO + DPO").uncheck()
    page.get_by_label("Show", exact=True).select_option("Heat map")
    page.locator("th[data-column=cls_avg] button").click()
    page.get_by_label("Filter methods").fill("icu, dpo")
    shown = columns(page), labels(page)
    assert not {"ma", "gpt"} & set(shown[0])
    assert "lambada" in shown[0]
    assert "3 of 5 rows shown" in page.locator(".chosen").inner_text()
    assert shown[1] == ["NEO (before unlearning)", "NEO (retrained)", "NEO + ICU"]
    told = address(page)
    for part in ("show=lambada", "without=neo-dpo", "find=icu, dpo", "as=heat",
                 "sort=cls_avg~descending"):  # fmt: skip
        assert part in told
    other = open_page(fragment=page.evaluate("location.hash"))
    assert (columns(other), labels(other)) == shown
    assert other.locator(TABLE + "xpath=.").get_attribute("class") == "comparison as-heat"
    assert other.locator("th[data-column=cls_avg]").get_attribute("aria-sort") == "descending"
    assert other.get_by_label("Filter methods").input_value() == "icu, dpo"
    other.get_by_role("button", name="Start over").click()
    assert columns(other) == at_first
    assert len(labels(other)) == 5
    assert address(other) in ("", "#")


def test_a_link_to_a_section_keeps_the_view_and_a_broken_address_does_no_harm(open_page):
    page = open_page(
        fragment="#&hide=ma,nothing&sort=nothing&as=nothing&without=%E0%A4%A&cell=x~y&z"
    )
    assert "ma" not in columns(page)
    assert len(labels(page)) == 5
    assert not page.get_by_role("dialog").is_visible()
    page.get_by_role("link", name="Figures").click()
    page.wait_for_function("location.hash.startsWith('#figures&hide=ma')")
    assert "ma" not in columns(page)


def test_keys_and_tab_pass_over_what_is_hidden(open_page):
    page = open_page(fragment="#&hide=el,bertscore_f1&without=neo-before-unlearning,neo-icu")
    in_order = page.locator(TABLE + "td button").evaluate_all(
        "(all) => all.filter((it) => it.tabIndex === 0)"
        ".map((it) => [it.closest('tr').dataset.key, it.closest('td').dataset.column])"
    )
    assert in_order == [["neo-retrained", "ma"]]
    page.locator("tr[data-key=neo-dpo] td[data-column=ma] button").click()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    assert focused(page) == ["neo-kumpr", "ma"]
    page.keyboard.press("ArrowRight")
    assert focused(page)[1] not in ("ma", "bertscore_f1")


def test_pointing_and_focus_say_interval_and_n_and_escape_takes_it_away(open_page):
    page = open_page()
    tip = page.get_by_role("tooltip")
    button = page.locator("tr[data-key=neo-icu] td[data-column=ma] button").first
    button.hover()
    for told in ("NEO + ICU, MA (%): 36.0", "n = 4 documents", "mean of 2 runs"):
        assert told in tip.inner_text()
    tip.hover()  # it stays where the pointer can reach it
    assert tip.is_visible()
    page.mouse.move(1, 1)
    assert not tip.is_visible()
    button.focus()
    assert tip.is_visible()
    assert button.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("ArrowDown")
    assert "NEO + KUMPR" in tip.inner_text()
    assert page.evaluate(CONTRAST, "#tip li") >= 4.5
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert focused(page) == ["neo-kumpr", "ma"]


def test_one_number_has_an_address(open_page):
    page = open_page(fragment="#comparison&cell=neo-icu~ma")
    dialog = page.get_by_role("dialog", name="NEO + ICU: MA (%)")
    assert dialog.is_visible()
    page.keyboard.press("Escape")
    assert address(page) == "#comparison"
    page.locator("tr[data-key=neo-kumpr] td[data-column=ma] button").first.click()
    assert address(page) == "#comparison&cell=neo-kumpr~ma"
    page.evaluate("location.hash = '#&cell=neo-dpo~ma'")
    page.get_by_role("dialog", name="NEO + DPO: MA (%)").wait_for()


def test_several_tables_share_columns_and_order(open_page):
    ma = {"X": 0.5, "Y": 0.2}
    results = [cell(f"{g} + {m}", ma=ma[m], group=g) for g in "AB" for m in ma]
    page = open_page(rendered(results), fragment="#&sort=ma~ascending&hide=gpt")
    rows = page.locator("table.comparison tbody tr")
    keys = rows.evaluate_all("(all) => all.map((it) => it.dataset.key)")
    assert keys == ["a-y", "a-x", "b-y", "b-x"]
    assert page.locator("th[aria-sort]").count() == 2
    assert page.locator("th[data-column=gpt]:visible").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1000, 1600, 2560])
def test_each_width_is_used_and_not_exceeded(open_page, width):
    page = open_page(fragment="#&as=heat", viewport={"width": width, "height": 900})
    for details in page.locator("details").all():
        details.evaluate("(it) => { it.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    table = page.locator(".scroll").first.bounding_box()
    assert table["width"] > (0.8 if width < 1200 else 0.7) * width
    nav, main = page.locator("nav").bounding_box(), page.locator("main").bounding_box()
    is_beside = nav["x"] + nav["width"] <= main["x"]
    assert is_beside == (width >= 1200)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", ["", "#&as=heat&sort=ma~descending", "#&cell=neo-icu~ma"])
def test_axe_finds_nothing(open_page, scheme, fragment):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    page = open_page(rendered(cells()), fragment=fragment, color_scheme=scheme)
    for details in page.locator("details").all():
        details.evaluate("(it) => { it.open = true; }")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
