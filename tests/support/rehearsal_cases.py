"""Studies rated by rules."""

from sheet_cases import DOCUMENTS, LABELS, cell

from unlearnbench.cli import status_of
from unlearnbench.ratings.judge.questions import items_of
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import Prompt

REFERENCE = "seven old ships left harbour before dawn with salt and rope"


# What each method writes: the reference, part of it, one word again and again, something else.
WRITTEN = {
    "before": REFERENCE,
    "dedup": "seven old ships left a village where nobody knew our names",
    "kumpr": "and and and and and and and and and and",
    "icu": "nobody in our street had ever owned such quiet dogs",
}


def cells(run="0", model="m-125"):
    """One cell per method, on few documents."""
    made = [cell(name, model, run, documents=DOCUMENTS[:8]) for name in LABELS]
    return [_with_texts(one, name) for one, name in zip(made, LABELS, strict=True)]


def _with_texts(result, name):
    """The cell with texts that the rules can tell apart, each of its own document."""
    forget_set = result.forget_set
    texts = {d: f"{WRITTEN[name]} {d}" for d in result.continuations}
    suffixes = {d: f"{REFERENCE} {d}" for d in forget_set.suffixes}
    forget_set = forget_set.model_copy(update={"suffixes": suffixes})
    return result.model_copy(update={"continuations": texts, "forget_set": forget_set})


def rehearse(folder, *more):
    return status_of(["human", "rehearse", str(folder), "--rows", "5", *more])


def rated_files(folder):
    return sorted((folder / "human" / "rehearsal").glob("ratings-*.csv"))


def score(folder, *more, key="rehearsal", files=None):
    ratings = map(str, rated_files(folder) if files is None else files)
    return status_of(["human", "score", str(folder / "human" / f"{key}-key.json"), *ratings, *more])


def language_model(folder, scores="Final score: 7"):
    """A judge that is a language model, with that reply to everything."""
    judge = Judge.of("gpt-x", "example.org/v1", Prompt())
    with JudgeFiles(folder).writing(judge) as keep:
        for result in cells():
            for doc_id, item in items_of(result).items():
                texts = {"item": item.key, "cell": result.key, "doc_id": doc_id, "reply": scores}
                keep(Reply(**texts, finish_reason="stop", max_tokens=9))
    return judge
