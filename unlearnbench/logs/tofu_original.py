"""TOFU's own aggregated logs: four files of per-item losses and texts in one JSON.

The leaderboard script averages the wrong answers' probabilities geometrically, the other script of
the same repository arithmetically, as the paper's text has it; model utility differs by .037.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from unlearnbench.analysis.derived import aggregates, ks, truth_ratio
from unlearnbench.analysis.derived.truth_ratio import Average
from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, mean, need, number, numbers
from unlearnbench.logs.log import Check, Log, Verification, impossible_shares, unlike_items

KIND = "TOFU"
LOOKS_FOR = "'eval_log_forget.json' with avg_gt_loss"
VERSION = "TOFU (branch tofu_deprecated)"
FILES = {
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
    "forget": "eval_log_forget.json",
}
NORMALISED = ("real_authors", "world_facts")
_FLOAT32 = 1e-5  # relative: what the log's single precision leaves of a ratio of exponentials
_N_FORGET = {40: "forget01", 200: "forget05", 300: "forget10", 400: "forget10"}
_AVERAGES: tuple[Average, ...] = ("geometric", "arithmetic")


def fits(contents: Contents) -> bool:
    """Whether a file looks like one of these logs."""
    return isinstance(contents.value, Mapping) and any(f in contents.value for f in FILES.values())


def read(contents: Contents) -> list[Log]:
    """The log; raises `UserError` naming the field that another version lacks."""
    answers: dict[str, dict[str, float]] = {}
    replies: dict[str, dict[str, float]] = {}
    texts: dict[str, dict[str, str]] = {}
    for split in FILES:
        own = _probabilities(contents, split)
        answers[f"{split}_probability"] = own
        wrong = _lists(contents, split, "average_perturb_loss")
        for average in _AVERAGES:
            end = "" if average == "geometric" else "_arithmetic"
            answers[f"{split}_wrong_probability{end}"] = {
                item: truth_ratio.wrong_probability(of, average) for item, of in wrong.items()
            }
        if split in NORMALISED:
            answers[f"{split}_probability_normalised"] = _normalised(contents, split)
        else:
            losses = _floats(contents, split, "avg_paraphrased_loss")
            answers[f"{split}_paraphrase_probability"] = _exponentials(losses)
        replies[f"{split}_rouge_l_recall"] = _floats(contents, split, "rougeL_recall")
        texts[split] = dict(_answers(contents, split))
    n = len(answers["forget_probability"])
    items = {"answers": answers, "replies": replies}
    model = contents.stem.removesuffix(".eval_log_aggregated")
    return [Log(contents.path, contents.sha256, KIND, model, "tofu", _N_FORGET.get(n, ""), items,
                texts=texts, template="chat")]  # fmt: skip


def verify(contents: Contents, reference: Contents | None) -> Verification:
    """The nine parts and both model utilities, and forget quality against a retrained model."""
    log = read(contents)[0]
    checks, problems, notes = [], [], []
    parts: dict[Average, list[float]] = {}
    for average in _AVERAGES:
        for split in aggregates.UTILITY_SETS:
            kind = "probability_normalised" if split in NORMALISED else "probability"
            probability = mean(log.values("answers", f"{split}_{kind}").values())
            rouge = mean(log.values("replies", f"{split}_rouge_l_recall").values())
            ratio = mean(map(truth_ratio.true_better, _ratios(contents, split, average).values()))
            parts.setdefault(average, []).extend((probability, rouge, ratio))
            if average == "geometric":
                checks += [
                    Check(f"{split}_{kind}", probability),
                    Check(f"{split}_rouge_l_recall", rouge),
                ]
            checks.append(Check(f"{split}_truth_ratio ({average})", ratio))
        utility = aggregates.model_utility(parts[average])
        checks.append(Check(f"model_utility ({average})", utility))
        forget = map(truth_ratio.closer_to_1, _ratios(contents, "forget", average).values())
        checks.append(Check(f"forget_truth_ratio ({average})", mean(forget)))
    for name in ("probability", "rouge_l_recall"):
        task = "answers" if name == "probability" else "replies"
        checks.append(Check(f"forget_{name}", mean(log.values(task, f"forget_{name}").values())))
    notes.append(
        "the file states no aggregate: geometric is the leaderboard's way to average the wrong "
        "answers, arithmetic the paper's"
    )
    if reference is None:
        notes.append(
            "no --reference: forget quality is relative to a retrained model and was not computed"
        )
    elif why := unlike_items(log, read(reference)[0]):
        problems.append(f"not compared with {reference.path.name}: {why}")
    else:
        for average in _AVERAGES:
            own, other = (_ratios(one, "forget", average) for one in (contents, reference))
            test = ks.ks_test(list(own.values()), list(other.values()))
            checks.append(Check(f"forget_quality ({average})", test.p))
            checks.append(Check(f"ks_distance ({average})", test.distance))
            steps = f"D = {round(test.distance * len(own))}/{len(own)}"
            notes.append(f"forget quality ({average}) of {len(own)} items: {steps}")
    for task in ("answers", "replies"):
        for name, values in log.items[task].items():
            problems += impossible_shares(values, name)
    problems += _at_odds(contents)
    title = f"{KIND} log of {log.model}, {len(log.values('answers', 'forget_probability'))} items"
    return Verification(title, tuple(checks), tuple(problems), tuple(notes))


def _ratios(contents: Contents, split: str, average: Average) -> dict[str, float]:
    """R by item, without the epsilon that OpenUnlearning added.  The answer itself stands in for
    the paraphrase where there is none: the log has its loss there."""
    wrong = _lists(contents, split, "average_perturb_loss")
    right = _floats(contents, split, "avg_paraphrased_loss")
    return {
        item: truth_ratio.truth_ratio(
            math.exp(-right[item]), truth_ratio.wrong_probability(losses, average), epsilon=0.0
        )
        for item, losses in wrong.items()
    }


def _normalised(contents: Contents, split: str) -> dict[str, float]:
    right = _floats(contents, split, "avg_gt_loss")
    wrong = _lists(contents, split, "average_perturb_loss")
    return {
        item: truth_ratio.normalised_probability(
            math.exp(-loss), [math.exp(-x) for x in wrong[item]], epsilon=0.0
        )
        for item, loss in right.items()
    }


def _probabilities(contents: Contents, split: str) -> dict[str, float]:
    return _exponentials(_floats(contents, split, "avg_gt_loss"))


def _exponentials(losses: Mapping[str, float]) -> dict[str, float]:
    return {item: math.exp(-loss) for item, loss in losses.items()}


def _field(contents: Contents, split: str, name: str) -> Mapping[str, Any]:
    """One field of one of the four files, which has the same items as its others."""
    where = contents.path.name
    part = need(contents.value, FILES[split], where, VERSION)
    values = need(part, name, f"{where}: {FILES[split]}", VERSION)
    items = need(part, "avg_gt_loss", f"{where}: {FILES[split]}", VERSION)
    if not isinstance(values, Mapping) or not values or set(values) != set(items):
        raise UserError(
            f"{where}: {FILES[split]}.{name} is not of the same items as avg_gt_loss: not a log as "
            f"{VERSION} writes it"
        )
    return values


def _floats(contents: Contents, split: str, name: str) -> dict[str, float]:
    where = f"{contents.path.name}: {FILES[split]}.{name}"
    return {i: number(v, f"{where}.{i}") for i, v in _field(contents, split, name).items()}


def _lists(contents: Contents, split: str, name: str) -> dict[str, list[float]]:
    where = f"{contents.path.name}: {FILES[split]}.{name}"
    return {i: numbers(v, f"{where}.{i}") for i, v in _field(contents, split, name).items()}


def _answers(contents: Contents, split: str) -> Iterator[tuple[str, str]]:
    """The true answers; a log has input, generation and answer of every item."""
    written = contents.value[FILES[split]].get("generated_text")
    for item, texts in written.items() if isinstance(written, Mapping) else ():
        if isinstance(texts, list) and len(texts) == 3:
            yield item, str(texts[2]).removesuffix("</s>").strip()


def _at_odds(contents: Contents) -> Iterator[str]:
    """Stored ratios and losses that do not follow from the log's others."""
    for split, file in FILES.items():
        part = contents.value[file]
        stored = {"truth_ratio": _ratios(contents, split, "geometric")}
        if split in NORMALISED:
            probabilities = _normalised(contents, split)
            stored["normalized_gt_loss"] = {i: -math.log(p) for i, p in probabilities.items() if p}
        if "num_token_gt" in part and "gt_loss" in part:
            sums, lengths = (_floats(contents, split, name) for name in ("gt_loss", "num_token_gt"))
            stored["avg_gt_loss"] = {item: sums[item] / lengths[item] for item in sums}
        for name, expected in stored.items():
            if name not in part:
                continue
            stated = _floats(contents, split, name)
            near = partial(math.isclose, rel_tol=_FLOAT32, abs_tol=1e-6)
            wrong = [item for item, value in expected.items() if not near(stated[item], value)]
            if wrong:
                yield (
                    f"{file}: {len(wrong)} of {len(stated)} values of {name} do not follow from "
                    f"its losses, the first {wrong[0]}: {stated[wrong[0]]!r}, not "
                    f"{expected[wrong[0]]!r}"
                )
