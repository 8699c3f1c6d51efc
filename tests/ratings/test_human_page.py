"""The annotation page in headless Chromium: rate, reload, resume, correct, finish."""

import pytest
from page_cases import CONTRAST
from server_cases import serving
from sheet_cases import DOCUMENTS, cell, cells, make_sheet

from unlearnbench.ratings.human.ratings import read_ratings
from unlearnbench.ratings.human.sheet import read_key

HOSTILE = "<script>document.title='owned'</script><b>bold</b><img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path):
    """A sheet of two methods, three documents."""
    return make_sheet(tmp_path, cells("kumpr", "icu"), "--rows", "3")[0]


@pytest.fixture
def open_page(browser):
    """Opens a server's page in a context of its own; asserts at the end that it kept to itself."""
    contexts, asked, problems = [], [], []

    def opened(server, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.get_by_role("button", name="Repeats").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []
    assert problems == []


def scores(folder):
    return {item: r.score for item, r in read_ratings(folder / "ratings-anna.csv").items()}


def items(folder):
    return list(read_key(folder.parent / "study-key.json").items)


def at(page, number, total=6):
    """Wait until the page shows that text."""
    page.get_by_role("heading", name=f"Text {number} of {total}", exact=True).wait_for()


def rated(page, number, total=6):
    page.get_by_text(f"{number} of {total} scored", exact=True).wait_for()


def press(page, key, then):
    page.keyboard.press(key)
    at(page, then)


def pressed(page):
    return page.locator("#scale [aria-pressed=true] .number").all_inner_texts()


def test_rate_reload_resume_correct_and_finish(folder, open_page):
    order = items(folder)
    with serving(folder) as server:
        page = open_page(server)
        at(page, 1)
        press(page, "5", then=2)  # by key
        page.get_by_role("button", name="New and fully sensible").click()  # by mouse
        at(page, 3)
        rated(page, 2)
        assert scores(folder) == {order[0]: 5, order[1]: 8}
        page.reload()  # goes on at the first without a score
        at(page, 3)
        rated(page, 2)
    with serving(folder) as server:  # the server was stopped and started again
        page = open_page(server)
        at(page, 3)
        press(page, "ArrowLeft", then=2)
        press(page, "ArrowLeft", then=1)
        assert pressed(page) == ["5"]
        page.keyboard.press("6")
        page.locator("#scale [data-score='6'][aria-pressed=true]").wait_for()
        at(page, 1)  # who corrects stays
        assert scores(folder)[order[0]] == 6
        press(page, "u", then=3)
        for key, following in (("1", 4), ("2", 5), ("3", 6)):
            press(page, key, then=following)
        assert not page.get_by_text("All texts are scored").is_visible()
        page.keyboard.press("4")
        page.get_by_role("heading", name="All texts are scored").wait_for()
        rated(page, 6)
        assert str(folder / "ratings-anna.csv") in page.locator("#finished").inner_text()
    assert scores(folder) == dict(zip(order, (6, 8, 1, 2, 3, 4), strict=True))


def test_the_texts_shown_are_those_of_the_item(folder, open_page):
    entries = list(read_key(folder.parent / "study-key.json").items.values())
    with serving(folder) as server:
        page = open_page(server)
        for number, entry in enumerate(entries, start=1):
            at(page, number)
            assert page.locator("#prefix").text_content() == f"prefix 0/{entry.doc_id}"
            assert page.locator("#reference").text_content() == f" reference 0/{entry.doc_id}"
            expected = f" {entry.method_name} of m-125 42 on 0/{entry.doc_id}"
            assert page.locator("#continuation").text_content() == expected
            page.keyboard.press("ArrowRight")


def test_jumping_and_skipping_leave_no_scores(folder, open_page):
    with serving(folder) as server:
        page = open_page(server)
        page.get_by_label("Text", exact=True).fill("4")
        page.keyboard.press("Enter")
        at(page, 4)
        page.get_by_role("button", name="Next →").click()
        at(page, 5)
        assert scores(folder) == {}
        press(page, "7", then=6)
        press(page, "7", then=1)  # after the last comes the first without a score


def test_keys_with_a_modifier_or_held_down_score_nothing(folder, open_page):
    with serving(folder) as server:
        page = open_page(server)
        page.keyboard.press("Control+5")
        page.keyboard.press("Alt+5")
        for key in ("0", "9", "x"):
            page.keyboard.press(key)
        page.keyboard.down("3")
        at(page, 2)
        page.keyboard.down("3")  # what a held key sends
        press(page, "ArrowRight", then=3)
        page.keyboard.up("3")
    assert list(scores(folder).values()) == [3]


def test_model_text_is_text(tmp_path, open_page):
    hostile = cell("icu", continuations=dict.fromkeys(DOCUMENTS, HOSTILE))
    for texts in (hostile.forget_set.prefixes, hostile.forget_set.suffixes):
        texts.update(dict.fromkeys(DOCUMENTS, HOSTILE))
    folder, _ = make_sheet(tmp_path, [hostile], "--rows", "1")
    with serving(folder) as server:
        page = open_page(server)
        for place in ("#prefix", "#reference", "#continuation"):
            assert page.locator(place).text_content() == HOSTILE
            assert page.locator(f"{place} *").count() == 0
        assert page.title() == "Rate continuations"


def test_an_empty_continuation_is_named(tmp_path, open_page):
    silent = cell("icu", continuations=dict.fromkeys(DOCUMENTS, "\n"))
    folder, _ = make_sheet(tmp_path, [silent], "--rows", "1")
    with serving(folder) as server:
        assert open_page(server).get_by_text("(the model wrote nothing)").is_visible()


def test_a_score_that_was_not_saved_is_said_and_not_counted(folder, open_page):
    with serving(folder) as server:
        page = open_page(server)
    page.keyboard.press("5")  # the server is gone
    page.get_by_role("alert").filter(has_text="was not saved").wait_for()
    at(page, 1)
    rated(page, 0)
    assert pressed(page) == []
    with serving(folder, port=server.server_port):
        press(page, "5", then=2)
        assert page.get_by_role("alert").inner_text() == ""
    assert list(scores(folder).values()) == [5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_and_is_readable_in_dark_and_light(folder, open_page, scheme):
    size = {"width": 320, "height": 640}
    with serving(folder) as server:
        page = open_page(server, viewport=size, color_scheme=scheme)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320
        for place in ("#continuation", "#scale .meaning", "#place", ".note"):
            assert page.evaluate(CONTRAST, place) >= 4.5  # WCAG 2, level AA
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(22, 24, 27)") == (scheme == "dark")


def test_it_can_be_read_out_and_used_without_a_mouse(folder, open_page):
    with serving(folder) as server:
        page = open_page(server)
        group = page.get_by_role("group", name="Your score")
        assert group.get_by_role("button").count() == 8
        assert page.get_by_role("progressbar", name="0 of 6 scored").count() == 1
        assert page.get_by_role("navigation", name="Texts").count() == 1
        assert page.get_by_text("How to score").is_visible()
        for _ in range(30):  # tab to the third score and press it
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.score") == "3":
                break
        press(page, "Enter", then=2)
        assert page.evaluate("document.activeElement.id") == "place"
        page.get_by_role("status").filter(has_text="Text 1: 3 saved. Now text 2 of 6.").wait_for()
    assert list(scores(folder).values()) == [3]
