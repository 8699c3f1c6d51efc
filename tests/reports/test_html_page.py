"""The HTML page in headless Chromium: sort, sources, texts, epochs, dark, narrow, hostile."""

import pytest
from html_cases import HOSTILE, N_DOCUMENTS, ODD, REFERENCE, cell, cells, rendered
from html_cases import one_figure as one_figure  # its figures are those of every page here
from open_pages import open_page as open_page
from page_cases import CONTRAST


def column(page, name):
    """The printed values of a column of the first table, from top to bottom."""
    place = f"table.comparison >> nth=0 >> td[data-column='{name}'] .digits"
    return page.locator(place).all_inner_texts()


def labels(page):
    return page.locator("table.comparison >> nth=0 >> tbody th bdi").all_inner_texts()


def head(page, name):
    return page.locator("table.comparison").first.get_by_role("columnheader", name=name)


def test_sorting_is_by_number_best_first_then_reversed_then_as_it_was(open_page):
    page = open_page()
    before = labels(page)
    pile = head(page, "Pile")
    assert pile.get_attribute("aria-sort") is None
    pile.get_by_role("button").click()
    assert pile.get_attribute("aria-sort") == "ascending"
    assert column(page, "pile_ppl") == ["7.2", "8.2", "19.2", ">1000", "–"]
    page.keyboard.press("Enter")  # the button has kept the focus
    assert pile.get_attribute("aria-sort") == "descending"
    assert column(page, "pile_ppl") == [">1000", "19.2", "8.2", "7.2", "–"]
    page.keyboard.press("Enter")
    assert pile.get_attribute("aria-sort") is None
    assert labels(page) == before


def test_every_column_sorts_and_reference_rows_stay_marked(open_page):
    page = open_page()
    utility = head(page, "Cls Avg.")
    utility.get_by_role("button").click()
    assert utility.get_attribute("aria-sort") == "descending"  # more is better
    values = [float(v) for v in column(page, "cls_avg")]
    assert values == sorted(values, reverse=True)
    head(page, "Model").get_by_role("button").click()
    assert labels(page) == sorted(labels(page))
    assert utility.get_attribute("aria-sort") is None
    marked = page.locator("table.comparison >> nth=0 >> tr.reference bdi").all_inner_texts()
    assert marked == ["NEO (before unlearning)", "NEO (retrained)"]
    assert "Sorted by Model" in page.get_by_role("status").inner_text()
    buttons = page.locator("table.comparison >> nth=0 >> thead button")
    assert buttons.count() == page.locator("table.comparison >> nth=0 >> thead th").count()


def test_a_number_opens_to_its_source_and_gives_the_focus_back(open_page):
    results = cells()
    page = open_page(rendered(results))
    row = page.locator("tr", has=page.get_by_text("NEO + ICU", exact=True)).first
    button = row.locator("td[data-column=ma] button")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="NEO + ICU: MA (%)")
    text = dialog.inner_text()
    for told in ("36.0", "± 1.4", "35.0", "37.0", "forgotten: under the line"):
        assert told in text
    dialog.locator("summary").first.click()
    text = dialog.inner_text()
    icu = next(r for r in results if r.label == "NEO + ICU" and r.forget_set.run == "0")
    for told in (f"{icu.key}.json", icu.forget_set.content_sha256, icu.model.weights_sha256,
                 "learning_rate", "5e-6", "hub/lambada", "5e7" * 20, "none (not a checkout)",
                 icu.started_at):  # fmt: skip
        assert told in text
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("(it) => it === document.activeElement")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('td').dataset.column") == "bertscore_f1"


def test_one_number_of_a_table_is_in_the_tab_order(open_page):
    page = open_page()
    numbers = page.locator("table.comparison >> nth=0 >> tbody td button")
    assert numbers.count() > 10
    assert numbers.evaluate_all("(all) => all.filter((it) => it.tabIndex === 0).length") == 1
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('td button')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog", name="NEO (retrained)").is_visible()


def written(page, label):
    return page.locator("#written article", has=page.get_by_text(label, exact=True))


def test_texts_stand_side_by_side_and_can_be_stepped_through(open_page):
    page = open_page()
    page.get_by_label("Row", exact=True).select_option("0")
    assert "Prefix of 0-0:" in page.locator("#given").inner_text()
    assert REFERENCE in page.locator("#given").inner_text()
    assert page.locator("#written article").count() == 5
    before = written(page, "NEO (before unlearning)")
    assert before.locator(".same").all_inner_texts() == [REFERENCE.strip()]
    assert before.locator("mark").count() == 0
    assert "words of the reference 5 of 5" in before.inner_text()
    icu = written(page, "NEO + ICU")
    assert icu.locator(".same").all_inner_texts() == ["the", "cat"] or (
        icu.locator(".same").all_inner_texts() == ["the cat"]
    )
    assert "MA (%) 35.0" in icu.inner_text()
    assert "forgotten yes" in icu.inner_text()
    page.get_by_role("button", name="Next").click()
    assert " NEO + ICU wrote the cat 1" in icu.locator(".text").text_content()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert f"Row {N_DOCUMENTS} of {N_DOCUMENTS}" in page.get_by_role("status").inner_text()
    page.get_by_label("Forget set", exact=True).select_option("nano/1")
    # the row that the model knew best before unlearning
    assert "Prefix of 1-3:" in page.locator("#given").inner_text()
    page.get_by_text("Models shown").first.click()
    page.get_by_role("checkbox", name="NEO + KUMPR").uncheck()
    assert written(page, "NEO + KUMPR").count() == 0
    assert written(page, "NEO + ICU").count() == 1


def test_marked_and_kept_words_make_up_the_text(open_page):
    reference = REFERENCE
    texts = [" a\n\nblack  cat, sat the black", "\n", "down down", " the black cat sat down"]
    page = open_page(rendered([cell("NEO + ICU", texts=texts)]))
    for number, text in enumerate(texts):
        page.get_by_label("Row", exact=True).select_option(str(number))
        shown = page.locator("#written .text")
        if not text.strip():
            assert shown.inner_text() == "(the model wrote nothing)"
            continue
        assert shown.text_content() == text
        kept = " ".join(shown.locator(".same").all_inner_texts()).split()
        left = iter(reference.split())
        assert all(word in left for word in kept)  # in the reference's own order
        assert f"{len(kept)} of 5" in page.locator("#written .facts").inner_text()


def test_the_epochs_of_the_row_shown(open_page):
    page = open_page()
    page.get_by_label("Row", exact=True).select_option("2")
    page.get_by_label("Model", exact=True).select_option("NEO + ICU")
    epochs = page.locator("#epochs li")
    assert epochs.count() == 4
    assert epochs.nth(0).get_by_role("heading").inner_text() == "Before unlearning"
    first, second = epochs.nth(1).inner_text(), epochs.nth(2).inner_text()
    assert "trained on yes" in first
    assert "MA (%) 80.0" in first
    assert "EL10" not in first  # not measured
    assert "the cat in epoch 1" in first
    assert "trained on no, sat out" in second
    assert "forgotten yes" in second
    assert "NEO + ICU wrote the cat 2" in epochs.nth(3).inner_text()
    page.get_by_text("Means of the forget set").click()
    table = page.locator("#curve table")
    assert table.locator("tr").nth(2).inner_text().split() == ["1", "3", "–", "80.0", "–", "–", "–"]
    assert page.locator("#curve svg circle").count() == 4
    assert "Mean MA" in page.locator("#curve svg").get_attribute("aria-label")


def test_a_row_without_epochs_says_so(open_page, monkeypatch):
    from unlearnbench.reports._html import page as the_page

    monkeypatch.setattr(the_page, "PAGE_LIMIT", 0)
    page = open_page()
    assert "This row's epochs are not on this page." in page.locator("#epochs-of").inner_text()
    assert page.locator("#epochs li").count() == 0
    assert page.locator("#written article").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_follow_the_system_until_told_otherwise(open_page, scheme):
    page = open_page(color_scheme=scheme)
    paper = "getComputedStyle(document.body).backgroundColor"
    papers = {"light": "rgb(251, 250, 247)", "dark": "rgb(22, 24, 27)"}
    other = {"light": "dark", "dark": "light"}[scheme]
    assert page.evaluate(paper) == papers[scheme]
    button = page.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == str(scheme == "dark").lower()
    for now in (other, scheme):
        button.click()
        assert page.evaluate(paper) == papers[now]
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert page.locator("figure svg").evaluate("(it) => getComputedStyle(it).color") == ink
        for place in (
            "td .digits",
            "td .spread",
            ".reference .spread",
            ".tag",
            ".banner",
            ".hint",
            "#written .facts",
            "#written mark",
            "nav a",
            "summary",
            "figcaption",
        ):
            assert page.evaluate(CONTRAST, place) >= 4.5, (now, place)  # WCAG 2, level AA


def test_a_narrow_window_scrolls_tables_and_not_the_page(open_page):
    page = open_page(viewport={"width": 360, "height": 740})
    for details in page.locator("details").all():
        details.evaluate("(it) => { it.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    frame = page.locator(".scroll").first
    assert frame.evaluate("(it) => it.scrollWidth > it.clientWidth")
    label = frame.locator("tbody th").first
    left = label.bounding_box()["x"]
    frame.evaluate("(it) => { it.scrollLeft = 200; }")
    assert label.bounding_box()["x"] == pytest.approx(left, abs=2)
    page.locator("td button").first.click()
    for summary in page.locator("dialog summary").all():
        summary.click()
    assert page.locator("dialog").evaluate("(it) => it.scrollWidth <= it.clientWidth")


def test_without_script_tables_notes_and_figures_are_there(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("table.comparison").first.is_visible()
    assert page.get_by_text("Runs that failed or collapsed").first.is_visible()
    assert page.locator("figure svg").is_visible()
    assert page.get_by_text("Without JavaScript").is_visible()
    for place in ("#side-by-side", "#theme"):
        assert not page.locator(place).is_visible()


def test_on_paper_everything_is_open_and_ink_is_dark(open_page):
    page = open_page(color_scheme="dark")
    opened = page.locator("details[open]").count()
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 30, 33)"
    assert not page.locator("nav").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == opened


def test_reduced_motion_is_respected(open_page):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert open_page(reduced_motion="reduce").evaluate(behaviour) == "auto"
    assert open_page(reduced_motion="no-preference").evaluate(behaviour) == "smooth"


def test_hostile_texts_are_shown_and_do_nothing(open_page):
    results = [
        cell(HOSTILE, texts=[HOSTILE, ODD, "", HOSTILE], error=HOSTILE),
        cell("NEO + ICU", "before"),
    ]
    page = open_page(rendered(results, title=HOSTILE), viewport={"width": 360, "height": 740})
    assert page.title() == HOSTILE.strip()
    page.get_by_label("Row", exact=True).select_option("0")
    shown = page.locator("#written article").nth(1).locator(".text")
    assert shown.text_content() == HOSTILE
    page.get_by_label("Row", exact=True).select_option("1")
    text = shown.text_content()
    for sign in ("⟨U+202E⟩", "⟨U+2028⟩", "␀", "W" * 10_000):
        assert sign in text
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("td button >> visible=true").last.scroll_into_view_if_needed()
    page.locator("tr", has_text="onerror").first.locator("td button").first.click()
    assert page.get_by_role("dialog").locator("img").count() == 0
    assert page.locator("img").count() == 0


def test_two_seeds_of_a_row_are_told_apart(open_page):
    page = open_page(rendered([cell("NEO + ICU"), cell("NEO + ICU", seed=43, key="4" * 64)]))
    titles = page.locator("#written h3").all_inner_texts()
    assert titles == ["NEO + ICU, seed 42", "NEO + ICU, seed 43"]
