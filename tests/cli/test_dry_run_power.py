"""What --dry-run says of the differences that a plan can show."""

from dataclasses import replace
from types import SimpleNamespace

from unlearnbench.analysis.statistics import power
from unlearnbench.cli.dry_run_power import power_lines
from unlearnbench.data.items import Item, Split


def splits(**sizes):
    measures = {"forget": {"probability", "membership"}, "holdout": {"membership"}}
    return tuple(
        Split(name, "general", tuple(Item(str(i), "", "x") for i in range(n)),
              measures=frozenset(measures.get(name, {"probability"})))
        for name, n in sizes.items()
    )  # fmt: skip


def cell(label="NEO + ICU", run="0", seed=42, tasks=("forgetting",), **changes):
    measured = changes.pop("splits", ())
    data = SimpleNamespace(
        benchmark=changes.pop("benchmark", None),
        sets={n: SimpleNamespace(rows=range(rows)) for n, rows in changes.pop("sets", {}).items()},
        texts=changes.pop("texts", {}),
        doc_ids=lambda _run, limit: range(64 if limit is None else limit),
        splits=lambda _run, _limit: measured,
    )
    fields = {"role": "method", "attack": None, "group": "nano-neo", "settings": {"seed": seed},
              "limit": None, "task_limit": None, **changes}  # fmt: skip
    return SimpleNamespace(label=label, run=run, seed=seed, tasks={name: {} for name in tasks},
                           data=data, **fields)  # fmt: skip


def body(*cells):
    """The lines between head and assumptions, without their indent."""
    head, *lines, assumed = power_lines(cells)
    assert "80% power at the 5% level" in head
    assert "20% of them" in assumed
    return [line.strip() for line in lines]


def test_rows_of_all_forget_sets_count_together():
    lines = body(*(cell(run=run) for run in "012"))
    assert lines[0] == "forgetting, 3 forget sets of 64 rows: 9.3 points, 0.20 sd"
    assert body(cell(limit=16, task_limit=10))[0].startswith("forgetting, 1 forget set of 10 rows:")


def test_every_two_compared_rows_are_corrected_for():
    rows = [cell(label) for label in ("A", "B", "C")]
    before = cell("before", role="before")
    dedup = cell("OPT", role="dedup")
    assert "over 3 pairs" in body(*rows, before)[0]
    assert "over 6 pairs" in body(*rows, dedup)[0]
    settings = [cell(settings={"seed": 1, "alpha": alpha}) for alpha in (0.1, 0.5, 0.9)]
    assert "over 3 pairs" in body(*settings)[0]


def test_one_seed_says_nothing_of_others_and_several_say_what_they_can():
    assert body(cell())[-1] == "one seed: nothing is said of other seeds"
    assert body(*(cell(seed=seed) for seed in (1, 2, 3)))[-1].startswith("3 seeds: 3.1 standard")


def test_sets_of_an_average_count_as_documents_that_tell_as_much():
    made = cell(tasks=("classification", "perplexity"), sets={"piqa": 40, "copa": 120},
                texts={"pile": ("x",)})  # fmt: skip
    lines = body(made)
    n = round(power.effective_documents([40, 120]))
    points = 100 * power.share_difference(n)
    assert lines[0].startswith(f"classification, 160 items of 2 sets: {points:.1f} points")
    assert lines[1].startswith("perplexity: windows of pile are counted")


def test_a_benchmark_says_it_of_its_splits_of_distances_and_of_aucs():
    benchmark = SimpleNamespace(definition=SimpleNamespace(columns=("ks_distance",)))
    of = splits(forget=200, retain=200, facts=85, holdout=200)
    made = cell(tasks=("answers", "membership"), benchmark=benchmark, splits=of)
    lines = body(made)
    assert lines[0].startswith("forget, retain, 200 items each: ")
    assert lines[1].startswith("facts, 85 items each: ")
    assert lines[2].startswith("KS distance (D), 200 and 200 items: ")
    assert "significant 0.140" in lines[2]
    assert lines[3].startswith("AUC of membership, 200 and 200 items: ")
    assert "FPR of 0.1% none" in lines[3]
    other = cell(run="forget05", tasks=("answers",), benchmark=benchmark, splits=splits(facts=85))
    assert any(line.startswith("forget05: facts") for line in body(made, other))


def test_a_task_that_measures_splits_has_no_line_for_the_rows():
    benchmark = SimpleNamespace(definition=SimpleNamespace(columns=()))
    of = tuple(replace(one, measures=frozenset({"distance"})) for one in splits(forget=200))
    lines = body(cell(tasks=("distance",), benchmark=benchmark, splits=of))
    assert [line.partition(":")[0] for line in lines] == ["forget, 200 items each", "one seed"]
    assert body(cell(tasks=("distance",)))[0].startswith("distance, 1 forget set of 64 rows")


def test_so_few_documents_show_nothing():
    assert "none: so few" in body(cell(limit=4))[0]
    assert "none in points" in body(cell(limit=16))[0]


def test_attacks_and_references_alone_have_no_block():
    assert not power_lines([cell(attack="relearn"), cell(role="before")])
