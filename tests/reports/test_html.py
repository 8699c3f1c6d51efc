"""The HTML page as text: what it holds, that it is well made, and that nothing in it can act."""

import base64
import hashlib
import json
import re
from itertools import pairwise

from golden_document import golden_case, golden_listing, golden_results, golden_table
from html_cases import (
    HOSTILE,
    N_DOCUMENTS,
    ODD,
    REFERENCE,
    Outline,
    Sketch,
    cell,
    cells,
    document,
    rendered,
)
from html_cases import one_figure as one_figure
from hypothesis import given
from hypothesis import strategies as st

from unlearnbench.analysis.table import Note
from unlearnbench.registry import find
from unlearnbench.reporting import sections
from unlearnbench.reporting.document import Picture
from unlearnbench.reports._figures.drawing import FOREGROUND
from unlearnbench.reports._html import page
from unlearnbench.reports._html.pictures import inline
from unlearnbench.reports._html.reading import evenly_chosen
from unlearnbench.reports._html.texts import embedded_json, visible


def test_the_page_is_one_file_that_asks_for_nothing():
    html = rendered()
    outline = Outline(html)
    assert html.endswith("</html>\n")
    links = [*outline.all("href"), *outline.all("src"), *outline.all("action")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not outline.all("style")
    assert not [a for _, attrs in outline.elements for a in attrs if a.startswith("on")]
    assert "@import" not in html
    assert {url for url in re.findall(r"https?://[\w./]+", html)} <= {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_its_own_script_and_style_only():
    outline = Outline(rendered())
    policy = next(a["content"] for t, a in outline.elements if a.get("http-equiv"))
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    for tag in ("script", "style"):
        (text,) = (t for name, a, t in outline.raw if name == tag and a.get("id") != "data")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[f"{tag}-src"] == f"'sha256-{digest}'"


def test_ids_are_unique_links_arrive_and_headings_go_down_one_by_one():
    results = cells()
    listing, case = golden_listing(), golden_case("text")
    outline = Outline(rendered(results, listing, listing, case, Picture("sketch")))
    ids = outline.all("id")
    assert len(ids) == len(set(ids))
    targets = [h[1:] for h in outline.all("href") if h.startswith("#")]
    assert set(targets) | set(outline.all("aria-labelledby")) <= set(ids)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    names = [tag for tag, _ in outline.elements]
    assert names.count("table") == names.count("caption") > 0
    assert all("scope" in attrs for tag, attrs in outline.elements if tag == "th")
    for landmark in ("header", "nav", "main"):
        assert names.count(landmark) == 1


def test_blocks_come_in_their_order_and_then_what_is_always_there():
    results = cells()
    html = rendered(results, golden_case("text"), golden_listing(), title="A & B",
                    notes=[Note("missing", "2 cells <are> missing.")])  # fmt: skip
    titles = re.findall(r'<h2 id="[^"]+-title">([^<]+)</h2>', html)
    assert titles[:3] == ["Document 0-17", "Pairs of methods, EL10", "Comparison"]
    assert titles[3:6] == ["Figures", "Side by side", "Epoch by epoch"]
    assert titles[-1] == "How it was made"
    assert html.count("<title>A &amp; B</title>") == 1
    assert "2 cells &lt;are&gt; missing." in html


def test_the_table_stands_once_with_marks_intervals_and_notes():
    results = [r.model_copy(update={"group": "nano-neo"}) for r in cells()]
    made = document(results)
    html = find("reports", "html")().render(made)
    group = made.findings.table.groups[0]
    comparison = html[html.index('<section id="comparison"') :].split("</section>")[0]
    comparison = comparison.split("</form>")[1]
    for row in group.rows:
        assert comparison.count(f"<bdi>{row.label}</bdi>") == 2  # and under the other metrics
    kumpr = next(row for row in group.rows if "KUMPR" in row.label)
    assert kumpr.cells["ma"].rank == 1
    line = comparison[comparison.index("<bdi>NEO + KUMPR") :].split("</tr>")[0]
    assert re.search(r'data-column="ma" data-sort="31\.0+\d*" data-heat="10" class="rank-1"', line)
    assert ">31.0</span>" in line
    assert "&gt;1000" in line
    assert "± 1.4" in line
    assert html.count('class="banner"') == 1
    assert "A synthetic test bench" in html
    assert re.search(r'<a href="#comparison-note-\d+" aria-label="note ‡">‡</a></sup>', html)


def test_an_interval_and_a_doubtful_best_are_shown():
    table = golden_table()
    html = rendered(golden_results(), table)
    assert '<span class="interval">[48.5, 58.5]</span>' in html
    assert re.search(r"≈</a></sup>", html)
    assert 'data-sort="Infinity"' in html


def test_a_number_tells_where_it_comes_from():
    results = cells()
    data = Outline(rendered(results)).data()
    row = next(r for r in data["rows"] if r["label"] == "NEO + ICU")
    assert row["cells"]["ma"]["text"] == "36.0"
    assert row["cells"]["ma"]["by_run"] == [["35.0", 4, "1.0"], ["37.0", 4, "1.0"]]
    assert row["cells"]["epochs"]["by_run"] == [["3", None, ""], ["3", None, ""]]
    assert [run["set"] for run in row["runs"]] == ["0", "1"]
    original = next(r for r in results if r.key == row["runs"][0]["key"])
    found = data["results"][original.key]
    shared = ("forget_set", "model", "stop", "sets", "environment", "protocol", "settings")
    part = {name: data["pool"][found[name]] for name in shared}
    assert found["file"] == f"{original.key}.json"
    assert found["started"] == original.started_at
    assert part["forget_set"]["content_sha256"] == original.forget_set.content_sha256
    assert part["model"]["weights_sha256"] == original.model.weights_sha256
    assert part["model"]["device"] == "cpu"
    assert part["stop"]["ma"] == 0.5994
    assert part["sets"]["lambada"]["sha256"] == "5e7" * 20
    assert part["environment"]["git_commit"] == "none (not a checkout)"
    assert part["protocol"]["name"] == "paper"
    assert ["learning_rate", "5e-6", "default or given"] in part["settings"]
    dpo = next(r for r in data["rows"] if r["label"] == "NEO + DPO")
    assert dpo["failures"] == ["forget set 1, seed 42: out of memory"]


def test_texts_are_those_of_the_row_and_document():
    results = cells()
    data = Outline(rendered(results)).data()
    first, second = data["reading"]["sets"]
    assert [name for name, *_ in first["documents"]] == [f"0-{i}" for i in range(N_DOCUMENTS)]
    assert [data["texts"][d[1]] for d in second["documents"]][2] == "Prefix of 1-2:"
    for writer in second["writers"]:
        label = data["rows"][writer["row"]]["label"]
        wrote = [data["texts"][written[0]] for written in writer["written"]]
        expected = REFERENCE if "before" in label else f" {label} wrote the cat 2"
        assert wrote[2] == expected
    icu = next(w for w in first["writers"] if data["rows"][w["row"]]["label"] == "NEO + ICU")
    assert icu["written"][0][1:5] == [True, None, "–", "35.0"]
    assert [data["texts"][e[0]] for e in icu["trace"]["rows"][1]][:2] == [
        " the cat in epoch 0", " the cat in epoch 1"]  # fmt: skip
    assert icu["trace"]["means"][2][:4] == [2, 2, None, 0.7]


def test_a_model_that_got_another_cut_of_the_passage_is_shown_with_its_own():
    opt = cell("OPT", "dedup")
    own = dict(zip(opt.forget_set.doc_ids, ["Prefix"] * 4, strict=True))
    opt = opt.model_copy(update={"forget_set": opt.forget_set.model_copy(update={"prefixes": own})})
    data = Outline(rendered([*cells(), opt])).data()
    cuts = {
        data["rows"][w["row"]]["label"]: w["written"][0][2]
        for w in data["reading"]["sets"][0]["writers"]
    }
    assert [data["texts"][n] for n in cuts.pop("OPT")] == ["Prefix", REFERENCE]
    assert set(cuts.values()) == {None}


def test_hostile_texts_stay_texts(monkeypatch):
    results = [
        cell(HOSTILE, texts=[HOSTILE, ODD, "", HOSTILE]),
        cell("NEO + ICU", "before", error=HOSTILE, group=HOSTILE),
    ]
    html = rendered(results, golden_case(HOSTILE), title=HOSTILE, notes=[Note("x", HOSTILE)])
    outline = Outline(html)
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("img") == 0
    assert tags.count("script") == 2
    assert "<!--" not in html
    assert HOSTILE in outline.data()["texts"]
    for sign in "\u202e\u2028\x00":
        assert sign not in html


@given(st.text(st.characters(codec=None), max_size=30))
def test_embedded_json_reads_back_as_the_visible_text(text):
    written = embedded_json({"text": text, "nan": float("nan")})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {"text": visible(text), "nan": None}
    assert written.encode()
    assert visible(visible(text)) == visible(text)


@given(st.integers(1, 300), st.floats(0, 1), st.data())
def test_rows_are_chosen_evenly(n, share, data):
    always = data.draw(st.integers(0, n - 1))
    chosen = evenly_chosen(n, share, always)
    assert len(chosen) <= max(n * share, 0)
    assert set(chosen) <= set(range(n))
    if not chosen:
        assert n * share < 1
        return
    assert always in chosen
    gaps = [b - a for a, b in pairwise(chosen)]
    assert not gaps or max(gaps) <= n / len(gaps) + 1


def test_a_large_page_keeps_the_epochs_of_evenly_chosen_rows(monkeypatch):
    long = [f"{i} " + "many words " * 200 for i in range(N_DOCUMENTS)]
    results = [cell("NEO + ICU", texts=long, n_epochs=3), cell("NEO + KL", texts=long)]
    for result in results:
        for epoch in result.trace.epochs:
            for row in epoch.rows:
                row.continuation += f" {epoch.epoch} {row.doc_id} {result.label} " + "x " * 900
    whole = rendered(results)
    limit = len(whole) - 30_000
    monkeypatch.setattr(page, "PAGE_LIMIT", limit)
    small = rendered(results)
    data = Outline(small).data()
    (found,) = data["reading"]["sets"]
    assert len(small) <= limit
    assert 0 < len(found["with_epochs"]) < N_DOCUMENTS
    assert data["reading"]["all_epochs"] is False
    assert all(len(w["trace"]["rows"]) == len(found["with_epochs"]) for w in found["writers"])
    assert all(len(w["written"]) == N_DOCUMENTS for w in found["writers"])
    assert Outline(whole).data()["reading"]["all_epochs"] is True


def test_figures_are_inside_and_described():
    html = rendered()
    assert html.count("<svg") == 1  # the other figure has nothing to draw
    assert 'aria-labelledby="figure-sketch-caption"' in html
    assert "A line &lt;down&gt; by Cls Avg. (ACC)." in html
    assert "More about this figure" in html
    assert "currentColor" in html
    drawing = html[html.index("<svg") : html.index("</svg>")]
    assert FOREGROUND not in drawing
    for forbidden in ("style=", "<style", "<metadata", "xmlns"):
        assert forbidden not in drawing


def test_what_an_svg_could_do_is_taken_out():
    svg = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
      width="10pt" onload="alert(1)"><script>alert(1)</script><foreignObject><b/></foreignObject>
      <a xlink:href="javascript:alert(1)"><text>y</text></a><!-- c -->
      <defs><path id="p"/></defs><use xlink:href="#p"/><use xlink:href="http://x.example/y#p"/>
      <image xlink:href="data:image/svg+xml,x"/><rect fill="url(http://x.example)"
      style="clip-path: url(#p); fill: %s; font: italic 700 8px 'X'"/></svg>"""
    clean = inline((svg % FOREGROUND).encode(), "figure-f")
    for forbidden in ("alert", "example", "foreign", " style=", "data:", "<a", "<!--"):
        assert forbidden not in clean
    assert 'id="figure-f-p"' in clean
    assert 'href="#figure-f-p"' in clean
    for kept in ('clip-path="url(#figure-f-p)"', 'fill="currentColor"', 'font-size="8px"',
                 'font-weight="700"', 'width="13.0pt"'):  # fmt: skip
        assert kept in clean


def test_the_making_says_what_is_absent_and_why():
    html = rendered()
    making = html[html.index('id="making"') :]
    assert "NEO + DPO: 1 of 2 runs left out: out of memory" in making
    assert "Pile (PPL) was not measured for NEO + DPO." in making
    assert "GPT was not measured for any row." in making
    assert "Stop line: EL10 &lt; 0.0499" in making
    assert "Epoch limit: 100" in making


def test_the_same_results_make_the_same_page():
    class Fixed(Sketch):
        def image(self, findings, kind):
            return b"<svg xmlns='http://www.w3.org/2000/svg'/>"

    kinds = {"sketch": Fixed}
    sections.figures = lambda: kinds  # put back by the fixture
    assert rendered() == rendered()
