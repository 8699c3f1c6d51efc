"""The three tasks of splits against loops of their own: one text at a time, no shared code."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from item_cases import (
    LLAMA_CHAT,
    N_ROWS,
    ids_of,
    llama,
    own_rows,
    plain_logits,
    plain_reply,
    plain_rouge_l,
    plain_tokens,
    plain_values,
    tofu_rows,
)
from torch import nn

from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.metrics.replies import compared_answers
from unlearnbench.metrics.task import Measurement, TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find, is_default

TASKS = ("answers", "replies", "membership")
MEASURES = frozenset(measure for name in TASKS for measure in find("tasks", name).measures)
NEW_TOKENS = 12
PLAIN = Template("plain")


def item(number: int, row: dict) -> Item:
    return Item(
        f"row{number}",
        row["question"],
        row["answer"],
        (row["paraphrased_answer"],),
        tuple(row["perturbed_answer"]),
        f"rows.jsonl, row {number}",
    )


def split_of(rows, name="forget", role="forget", template=PLAIN, measures=MEASURES, **more):
    items = tuple(item(number, row) for number, row in enumerate(rows))
    return Split(name, role, items, template, measures, **{"new_tokens": NEW_TOKENS, **more})


def measured(model, splits, task="answers", **settings) -> Measurement:
    context = TaskContext(None, {}, splits=tuple(splits))  # no forget set
    return find("tasks", task)(**settings).measure(model, context)


@pytest.fixture(scope="module", params=["own", "tofu"])
def rows(request):
    """Rows of our own, and TOFU's where they are."""
    if request.param == "own":
        return own_rows()
    return tofu_rows(request.getfixturevalue("shared"))


@pytest.fixture(scope="module")
def model(rows):
    """Its weights and tokenizer are the same whatever a test does."""
    made = llama(rows)
    with torch.no_grad():
        _teach(made, rows[:6])
    return made


@torch.enable_grad()
def _teach(model, rows) -> None:
    """Some answers half by heart, so that predictions hit now and then, at the end as well."""
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    for _ in range(12):
        for row in rows:
            ids = torch.tensor([_text(model.tokenizer, row["question"], row["answer"])[2]])
            optimizer.zero_grad()
            model.network(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
    model.network.zero_grad()


def _text(tokenizer, question: str, answer: str) -> tuple[list[int], list[int], list[int]]:
    """Prompt, answer and both together, by hand."""
    prompt = [1, *ids_of(tokenizer, f"Question: {question}\nAnswer:")]
    own = [*ids_of(tokenizer, " " + answer), 2]
    return prompt, own, prompt + own


@pytest.fixture(scope="module")
def expected(model, rows):
    """By padding: every metric's values by doc_id."""
    return {side: _expected(model, rows, side) for side in ("none", "left", "right")}


def _expected(model, rows, padding):
    answers = [[row["answer"], row["paraphrased_answer"], *row["perturbed_answer"]] for row in rows]
    texts = [
        [_text(model.tokenizer, row["question"], answer) for answer in own]
        for row, own in zip(rows, answers, strict=True)
    ]
    logits = iter(plain_logits(model, [whole for own in texts for *_, whole in own], padding))
    values = {}
    for number, (row, own) in enumerate(zip(rows, texts, strict=True)):
        of_answer, of_paraphrase, *of_wrong = (plain_tokens(next(logits), a) for _, a, _ in own)
        values[f"row{number}"] = plain_values(of_answer, of_paraphrase, of_wrong, row["answer"])
    return values


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_value_is_the_plain_loops(model, rows, expected, batch_size, padding):
    split = split_of(rows)
    answers = measured(model, [split], batch_size=batch_size)
    membership = measured(model, [split], "membership", batch_size=batch_size)
    scores = {**answers.scores, **membership.scores}
    assert len(scores) == 12
    for name, score in scores.items():
        plain = {d: each[name.removeprefix("forget_")] for d, each in expected[padding].items()}
        assert score.documents == pytest.approx(plain, rel=2e-4, abs=2e-6), name
        assert score.n == N_ROWS
    _forget(model)


def test_the_rows_tell_right_from_wrong(expected):
    """Else the comparison above could not fail."""
    values = expected["none"].values()
    for name in ("extraction_strength", "exact_memorisation"):
        assert {0 < each[name] < 1 for each in values} == {True, False}
    assert max(each["probability"] for each in values) > 0.2


def _forget(model) -> None:
    from unlearnbench.metrics import answers

    answers._known.clear()


@pytest.fixture(scope="module")
def plain_replies(model, rows):
    prompts = [_text(model.tokenizer, row["question"], "")[0] for row in rows]
    return [plain_reply(model, prompt, NEW_TOKENS, (2,)) for prompt in prompts]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_replies_and_their_rouge_are_the_plain_loops(model, rows, plain_replies, batch_size):
    scores = measured(model, [split_of(rows)], "replies", batch_size=batch_size).scores
    without = measured(model, [split_of(rows)], "replies", stemmer=False).scores
    for number, (row, reply) in enumerate(zip(rows, plain_replies, strict=True)):
        doc = f"row{number}"
        assert scores["forget_rouge_l_recall"].outputs[doc] == reply
        for found, stemmer in ((scores, True), (without, False)):
            recall, f1 = plain_rouge_l(reply, row["answer"], stemmer)
            assert found["forget_rouge_l_recall"].documents[doc] == pytest.approx(recall)
            assert found["forget_rouge_l_f1"].documents[doc] == pytest.approx(f1)
    assert 0 < scores["forget_rouge_l_recall"].value < 1


# Once per text


@pytest.fixture
def small():
    return llama(own_rows())


def forward_tokens(model) -> int:
    return sum(cost.forward_tokens for cost in model.meter.phases.values())


def test_both_tasks_read_each_text_once(small):
    splits = [split_of(own_rows()[:4]), split_of(own_rows()[4:8], "holdout", "holdout")]
    measured(small, splits)
    read = forward_tokens(small)
    measured(small, splits, "membership")
    assert forward_tokens(small) == read > 0
    # The answer, a paraphrase and five wrong ones have one prompt, which is read once for all.
    every = [
        len(_text(small.tokenizer, row["question"], answer)[2])
        for row in own_rows()[:8]
        for answer in (row["answer"], row["paraphrased_answer"], *row["perturbed_answer"])
    ]
    assert read < 0.6 * sum(every)


def test_what_is_known_is_not_believed_of_other_weights(small):
    split = split_of(own_rows()[:3])
    before = measured(small, [split]).scores
    with torch.no_grad():
        small.network.get_output_embeddings().weight.mul_(0.5)
    after = measured(small, [split]).scores
    _forget(small)
    assert after == measured(small, [split]).scores
    assert after["forget_probability"] != before["forget_probability"]
    hook = small.network.model.register_forward_hook(_halved)
    hooked = measured(small, [split]).scores
    hook.remove()
    assert hooked["forget_probability"] != after["forget_probability"]
    assert measured(small, [split]).scores == after


def test_what_is_known_with_an_adapter_is_not_believed_without_it(small):
    from peft import LoraConfig, get_peft_model

    split = split_of(own_rows()[:3])
    plain = measured(small, [split]).scores
    own = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    small.network = get_peft_model(small.network, own)
    adapted = measured(small, [split]).scores
    assert adapted["forget_probability"] != plain["forget_probability"]
    with small.network.disable_adapter():
        assert measured(small, [split]).scores == plain


def _halved(_module, _args, output):
    output.last_hidden_state = output.last_hidden_state * 0.5
    return output


def test_logits_are_made_in_pieces(small, monkeypatch):
    from unlearnbench.models import scoring

    split = split_of(own_rows())
    whole = measured(small, [split]).scores
    _forget(small)
    monkeypatch.setattr(scoring, "_BYTES_AT_ONCE", 5 * 4 * len(small.tokenizer))
    seen = []
    forward = nn.Linear.forward

    def watched(head, inputs):
        if head is small.network.get_output_embeddings():
            seen.append(inputs.numel() // inputs.shape[-1])
        return forward(head, inputs)

    monkeypatch.setattr(nn.Linear, "forward", watched)
    pieces = measured(small, [split]).scores
    assert max(seen) <= 5
    assert len(seen) > 20
    for name, score in whole.items():
        assert pieces[name].documents == pytest.approx(score.documents, rel=1e-5, abs=1e-7)


# Columns


def test_columns_say_their_direction_by_role(small):
    splits = [
        split_of(own_rows()[:2]),
        split_of(own_rows()[:2], "holdout", "holdout", measures=frozenset(["membership"])),
        split_of(own_rows()[:2], "world_facts", "general"),
    ]
    for task in TASKS:
        found = measured(small, splits, task)
        columns = {metric.name: metric for metric in found.metrics}
        assert columns.keys() == found.scores.keys()
        for name, metric in columns.items():
            assert metric.higher_is_better == found.scores[name].higher_is_better
            assert not metric.in_score
            is_of_world = name.startswith("world_facts")
            assert metric.documents == ("sets" if is_of_world else "rows")
            # High for what is known, but for wrong answers, strangers' scores and fluency.
            known = task != "membership" and "wrong" not in name
            assert metric.higher_is_better == (is_of_world == known or "entropy" in name), name
    assert columns["forget_min_k"].label == "Forget Min-K"


def test_a_split_is_measured_by_what_it_asks_for(small):
    asks = split_of(own_rows()[:2], measures=frozenset(["margin", "exact_match"]))
    assert list(measured(small, [asks]).scores) == ["forget_margin"]
    assert list(measured(small, [asks], "replies").scores) == ["forget_exact_match"]
    assert measured(small, [asks], "membership").scores == {}
    assert measured(small, []).scores == {}


def test_none_of_them_runs_unnamed():
    for name in TASKS:
        assert not is_default(find("tasks", name))
    assert is_default(find("tasks", "perplexity"))


def test_the_limit_takes_the_first_items(small):
    context = TaskContext(None, {}, splits=(split_of(own_rows()),), limit=3)
    scores = find("tasks", "answers")().measure(small, context).scores
    assert list(scores["forget_probability"].documents) == ["row0", "row1", "row2"]


def test_a_text_without_a_question_has_a_membership(small):
    texts = [row["answer"] for row in own_rows()[:3]]
    items = tuple(Item(str(i), "", text) for i, text in enumerate(texts))
    split = Split("forget", "forget", items, PLAIN, frozenset(["membership"]))
    scores = measured(small, [split], "membership").scores
    for number, text in enumerate(texts):
        own = [*ids_of(small.tokenizer, text), 2]
        [logits] = plain_logits(small, [[1, *own]], "none")
        loss = -sum(plain_tokens(logits, own)["log_p"]) / len(own)
        assert scores["forget_loss"].documents[str(number)] == pytest.approx(loss, rel=1e-5)


def test_without_a_bos_a_texts_first_token_is_given(small):
    small.__dict__["bos_token_id_to_prepend"] = None
    text = own_rows()[0]["answer"]
    split = Split("forget", "forget", (Item("0", "", text),), PLAIN, frozenset(["membership"]))
    own = [*ids_of(small.tokenizer, text), 2]
    [logits] = plain_logits(small, [own], "none")
    loss = -sum(plain_tokens(logits, own[1:])["log_p"]) / (len(own) - 1)
    score = measured(small, [split], "membership").scores["forget_loss"]
    assert score.value == pytest.approx(loss, rel=1e-5)


def test_the_gradient_norm_is_the_mean_over_tensors(small):
    split = split_of(own_rows()[:2])
    small.network.requires_grad_(False)
    scores = measured(small, [split], "membership", gradient_norm=True).scores
    assert not any(p.requires_grad or p.grad is not None for p in small.network.parameters())
    small.network.requires_grad_(True)
    for number, row in enumerate(own_rows()[:2]):
        prompt, own, whole = _text(small.tokenizer, row["question"], row["answer"])
        labels = torch.tensor([[-100] * len(prompt) + own])
        small.network.zero_grad()
        small.network(input_ids=torch.tensor([whole]), labels=labels).loss.backward()
        norms = [float(p.grad.norm()) for p in small.network.parameters()]
        expected = sum(norms) / len(norms)
        found = scores["forget_gradient_norm"].documents[f"row{number}"]
        assert found == pytest.approx(expected, rel=1e-4)


# Replies


def test_a_reply_ends_at_a_stop_text_or_an_end_of_turn():
    rows = own_rows()
    model = llama(rows, LLAMA_CHAT)
    fixed = Template(date="10 Apr 2025")
    long = measured(model, [split_of(rows[:6], template=fixed)], "replies").scores
    outputs = long["forget_rouge_l_recall"].outputs
    text = next(reply for reply in outputs.values() if len(reply) > 3)
    stop = text[1:3]
    cut = measured(model, [split_of(rows[:6], template=fixed, stop=("zzz", stop))], "replies")
    for doc, reply in cut.scores["forget_rouge_l_recall"].outputs.items():
        assert reply == outputs[doc].partition(stop)[0].strip()
    # The end of turn, which is not the tokenizer's end of sequence, ends a reply as well.
    end = 4
    with torch.no_grad():
        model.network.get_output_embeddings().weight[end] *= 4
    again = measured(model, [split_of(rows[:6], template=fixed)], "replies").scores
    written = [
        plain_reply(model, prompt, NEW_TOKENS, (2, end)) for prompt in chats(model, rows[:6])
    ]
    assert list(again["forget_rouge_l_recall"].outputs.values()) == written
    assert written != [plain_reply(model, p, NEW_TOKENS, (2,)) for p in chats(model, rows[:6])]


def chats(model, rows):
    """What the library's own template makes of the questions."""
    options = {"add_generation_prompt": True, "date_string": "10 Apr 2025", "return_dict": False}
    return [
        model.tokenizer.apply_chat_template(
            [{"role": "user", "content": row["question"]}], tokenize=True, **options
        )
        for row in rows
    ]


def test_a_prefix_is_given_and_not_scored(small):
    rows = own_rows()[:4]
    jail = Template("plain", answer_prefix="Sure, here is the answer:")
    scores = measured(small, [split_of(rows, "forget_jailbreak", template=jail)], "replies").scores
    for number, row in enumerate(rows):
        question = f"Question: {row['question']}\nAnswer: Sure, here is the answer:"
        prompt = [1, *ids_of(small.tokenizer, question)]
        reply = plain_reply(small, prompt, NEW_TOKENS, (2,))
        assert scores["forget_jailbreak_rouge_l_recall"].outputs[f"row{number}"] == reply


def test_the_same_question_is_answered_once(small):
    rows = own_rows()[:3]
    splits = [split_of(rows), split_of(rows, "forget_again")]
    one = measured(small, splits[:1], "replies").scores
    tokens = forward_tokens(small)
    both = measured(small, splits, "replies").scores
    assert forward_tokens(small) == 2 * tokens
    assert both["forget_again_rouge_l_f1"].documents == one["forget_rouge_l_f1"].documents


# What is wrong with items


@pytest.mark.parametrize(
    ("change", "measure", "message"),
    [
        ({"paraphrased_answer": ""}, "paraphrase", "rows.jsonl, row 1: no paraphrased answer"),
        ({"perturbed_answer": []}, "wrong", "rows.jsonl, row 1: no wrong answer"),
        ({"answer": ""}, "margin", "rows.jsonl, row 1: no answer"),
        ({"answer": "born " * 600}, "membership", "do not fit the 512 of random-llama"),
        ({"question": "born " * 600}, "rouge", "and 12 of a reply do not fit the 512"),
        ({"question": ""}, "rouge", "a text without a question has no prompt"),
    ],
)
def test_an_item_that_cannot_be_measured_is_named(small, change, measure, message):
    rows = own_rows()[:2]
    rows[1] = {**rows[1], **change}
    split = split_of(rows, measures=frozenset([measure]))
    [task] = [name for name in TASKS
              if measure in find("tasks", name).measures]  # fmt: skip
    with pytest.raises(UserError, match="row 1: ") as told:
        find("tasks", task)().check_splits(small, [split])
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match=r"rows\.jsonl, row 1"):
        measured(small, [split], task)
    assert forward_tokens(small) == 0


def test_items_that_can_be_measured_are_not_complained_of(small):
    for name in TASKS:
        find("tasks", name)().check_splits(small, [split_of(own_rows())])


def test_an_empty_split_is_told():
    split = split_of([])
    with pytest.raises(UserError, match="'forget' has no items"):
        find("tasks", "membership")().check_splits(llama(own_rows()), [split])


def test_planning_checks_without_weights(small):
    """Tokenizer, configuration and source are enough."""
    bare = LanguageModel(
        SimpleNamespace(config=small.network.config, eval=lambda: None, get_decoder=nn.Identity),
        small.tokenizer,
        small.source,
    )
    long = split_of([{**own_rows()[0], "answer": "born " * 600}])
    for name in ("answers", "membership"):
        with pytest.raises(UserError, match=r"row 0: .* do not fit the 512"):
            find("tasks", name)().check_splits(bare, [long])
    find("tasks", "replies")().check_splits(bare, [long])


def test_an_answer_may_be_cut_to_as_many_tokens_as_a_reply(small):
    split = split_of(own_rows()[:3])
    whole = {item.doc_id: item.answer for item in split.items}
    assert compared_answers(small, split) == whole
    cut = compared_answers(small, replace(split, cut=True, new_tokens=4))
    for doc, text in cut.items():
        assert text == small.decode(ids_of(small.tokenizer, whole[doc])[:4])
        assert len(text) < len(whole[doc])
    whole_again = replace(split, cut=True, new_tokens=10_000)
    assert compared_answers(small, whole_again) == whole
    assert whole_again.sha256 != replace(whole_again, cut=False).sha256
