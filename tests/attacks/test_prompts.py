"""Asked in other words: tokens against the library's own templates, scores against plain loops."""

import json
import logging
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import plain_loop
import pytest
import torch
from extraction_cases import EOS, PAD, tiny_model
from item_cases import LLAMA_CHAT, ids_of, llama, mean, own_rows, plain_logits, plain_tokens
from unlearning_fakes import random_sequences

from unlearnbench.attacking.asking import many_shot
from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.contexts import most_that_fits, with_context, with_prefixes
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.metrics.extraction import extraction_scores
from unlearnbench.metrics.items import encode_items, encode_questions
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.generation.branches import prefill_batches
from unlearnbench.models.generation.continuing import continue_prefilled
from unlearnbench.models.sequences import Sequences, sequences_sha256
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find

Prompts = find("attacks", "prompts")
CONTEXT = [7, 11, 7, 5, 13]
CHAT = Template("chat")
ROWS = own_rows()


@pytest.fixture(scope="module")
def model():
    return llama(ROWS, LLAMA_CHAT)


def items(rows, first: int = 0) -> tuple[Item, ...]:
    return tuple(Item(str(first + i), r["question"], r["answer"]) for i, r in enumerate(rows))


def target_of(model, splits=(), retained=(), rows=None, pool=None, new_tokens=4) -> Target:
    rows = random_sequences(3, (12, 9), 6, seed=1) if rows is None else rows
    pool = random_sequences(5, (7, 10), 4, seed=2, name="pool") if pool is None else pool
    forget_set = ForgetSet("fake", "0", rows, pool, Protocol(), "", lambda: [])
    examiner = SimpleNamespace(new_tokens=new_tokens)
    context = TaskContext(forget_set, {}, splits=tuple(splits), examiner=examiner)
    return Target(forget_set, context, tuple(retained))


def answers(model, context: TaskContext) -> dict:
    measured = find("tasks", "answers")().measure(model, context)
    return {name: dict(score.documents) for name, score in measured.scores.items()}


# Contexts of rows.


@pytest.mark.parametrize("architecture", ["fused gpt-neo", "llama"])
def test_rows_behind_a_context_are_scored_as_a_plain_loop_scores_them(architecture):
    model, rows = tiny_model(architecture, n_rows=4)
    rows = rows.select([2, 3])  # 16 and 9 tokens
    behind = with_context(rows, CONTEXT)
    protocol = Protocol()
    written = {}
    for row in range(len(rows)):
        end = int(rows.lengths[row])
        for start in range(rows.n_bos + 1, end):
            own = rows.input_ids[row, rows.n_bos : start].tolist()
            prompt = [*rows.input_ids[row, : rows.n_bos].tolist(), *CONTEXT, *own]
            written[row, start - rows.n_bos] = plain_loop.greedy(
                model.network, prompt, end - start, EOS
            )
    expected = plain_loop.scores(rows, written, protocol, n=3)
    found = extraction_scores(model, behind, protocol, n=3)
    assert found.ma == pytest.approx(expected.ma)
    assert found.el == pytest.approx(expected.el)
    assert min(expected.ma) > 0
    assert max(expected.el) > 0

    for row, ids in enumerate(_continued(model, behind)):
        given = rows.input_ids[row, : int(rows.n_given[row])].tolist()
        prompt = [*given[: rows.n_bos], *CONTEXT, *given[rows.n_bos :]]
        plain = plain_loop.greedy(model.network, prompt, 6, EOS)
        assert ids == [token for token in plain if token != EOS]


def _continued(model, rows: Sequences) -> list[list[int]]:
    [(_, prefill)] = prefill_batches(model, rows.input_ids, 8)
    return continue_prefilled(model, rows, prefill, Protocol(), new_tokens=6)


def test_a_context_stands_behind_the_bos_and_is_no_part_of_the_row():
    rows = random_sequences(2, (8, 6), 4, seed=3, n_bos=1)
    behind = with_context(rows, [50, 51])
    assert behind.input_ids[:, :3].tolist() == [[1, 50, 51]] * 2
    for row in range(2):
        assert behind.tokens(row) == rows.tokens(row)
        assert behind.prefix(row) == rows.prefix(row)
        assert behind.suffix(row) == rows.suffix(row)
    assert behind.attention_mask.sum(1).tolist() == (rows.lengths + 2).tolist()
    assert sequences_sha256(with_context(rows, [])) == sequences_sha256(rows)


def test_suffixes_behind_other_words():
    rows = random_sequences(2, (8, 6), 4, seed=3, n_bos=1)
    made = with_prefixes(rows, [[60, 61, 62], [70, 71]], pad_id=PAD)
    assert made.input_ids[0, : int(made.lengths[0])].tolist() == [1, 60, 61, 62, *rows.suffix(0)]
    assert made.input_ids[1, : int(made.lengths[1])].tolist() == [1, 70, 71, *rows.suffix(1)]
    assert [made.suffix(row) for row in range(2)] == [rows.suffix(0), rows.suffix(1)]
    assert made.n_given.tolist() == [4, 3]
    assert made.n_bos == 2  # the second row's prefix but its last token


def test_the_most_that_fits():
    for n in range(6):
        assert most_that_fits(5, lambda k, n=n: k <= n) == min(n, 5)


# What is asked of items.


def test_a_split_without_anything_before_it_has_the_digest_it_always_had():
    split = Split(
        "forget",
        "forget",
        (Item("0", "Who?", "Me."),),
        Template(kind="chat", examples=(("a", "b"),)),
        frozenset({"rouge"}),
    )
    assert split.sha256 == "7f4947e30b54b0d14a9d4fe9ba1f4f9f7cf93215c10fa5dd9e59b3b87bab1770"
    assert replace(split, template=Template(before=(1,))).sha256 != split.sha256
    values = ", ".join(
        f"{f.name}={getattr(split.template, f.name)!r}" for f in fields(Template)[:-1]
    )
    assert repr(split.template) == f"Template({values})"


def test_an_empty_form_changes_nothing(model, tmp_path):
    file = tmp_path / "forms.toml"
    file.write_text('[empty]\nquestion = "{question}"\nanswer_prefix = ""\ntext = "{text}"\n')
    attack = Prompts(forms=("prefix",), file=str(file))
    split = Split("forget", "forget", items(ROWS[:3]), CHAT, frozenset({"probability", "margin"}))
    target = target_of(model, [split])
    points = {point.name: point for point in attack.apply(model, target)}
    assert list(points) == ["plain", "prefix", "empty"]
    assert points["plain"].context is None
    empty = points["empty"].context
    assert empty.splits == target.context.splits
    plain = answers(model, target.context)
    assert answers(model, empty) == plain
    assert answers(model, points["prefix"].context) != plain
    rows = empty.forget_set.rows
    assert sequences_sha256(rows) == sequences_sha256(target.forget_set.rows)


def test_the_built_in_forms_are_what_a_chat_would_have(model):
    split = Split("forget", "forget", items(ROWS[:2]), CHAT, frozenset({"probability"}))
    asked = {
        point.name: point.context.splits[0]
        for point in Prompts(forms=("prefix", "role-play", "translated")).apply(
            model, target_of(model, [split])
        )
        if point.context
    }
    question, answer = ROWS[0]["question"], ROWS[0]["answer"]
    words = "Sure, here is the answer:"
    head = _chat(model, [("user", question)])
    own = ids_of(model.tokenizer, f"{head}{words}")
    assert encode_questions(model, asked["prefix"])[0] == own
    encoded = encode_items(model, asked["prefix"])[0][0]
    assert encoded.prompt == tuple(own)
    assert model.decode(list(encoded.answer)).startswith(f" {answer}")
    for name in ("role-play", "translated"):
        framed = asked[name].items[0].question
        assert framed.endswith(question)
        assert len(framed) > len(question) + 40
        prompt = ids_of(model.tokenizer, _chat(model, [("user", framed)]))
        assert encode_questions(model, asked[name])[0] == prompt


def _chat(model, said: list[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": text} for role, text in said]
    return model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def test_many_shot_shows_retained_questions_only_and_as_many_as_fit(model):
    forget, kept = items(ROWS[:4]), items(ROWS[2:], first=30)  # two of them are to be forgotten
    split = Split("forget", "forget", forget, CHAT, frozenset({"probability"}), new_tokens=150)
    retained = Split("retain", "retain", kept, CHAT)
    target = target_of(model, [split], [retained])
    few = many_shot(model, target, shots=3, seed=1)
    shown = few.splits[0].template.examples
    assert few.facts == {"shots": 3.0}
    assert set(shown) < {(i.question, i.answer) for i in kept[2:]}
    turns = [turn for q, a in shown for turn in (("user", q), ("assistant", a))]
    expected = _chat(model, [*turns, ("user", forget[0].question)])
    assert encode_questions(model, few.splits[0])[0] == ids_of(model.tokenizer, expected)

    every = many_shot(model, target, shots=100, seed=1)
    n_shots = len(every.splits[0].template.examples)
    assert every.splits[0].template.examples[:3] == shown
    assert 3 < n_shots < len(kept) - 2
    room = model.max_length - 150
    assert max(map(len, encode_questions(model, every.splits[0]))) <= room
    drawn = many_shot(llama(ROWS, LLAMA_CHAT, context=4096), target, shots=100, seed=1)
    more = replace(CHAT, examples=drawn.splits[0].template.examples[: n_shots + 1])
    assert max(map(len, encode_questions(model, replace(split, template=more)))) > room
    assert many_shot(model, target, 3, seed=2).splits != few.splits


def test_rows_get_rows_of_the_pool_in_front(model):
    pool = random_sequences(5, (7, 10), 4, seed=2, name="pool")
    ends = pool.input_ids.clone()
    ends[1, 9] = 2  # this row ends its sequence itself
    pool = replace(pool, input_ids=ends)
    target = target_of(model, pool=pool)
    asked = many_shot(model, target, shots=2, seed=3)
    context = asked.rows.input_ids[0, : asked.rows.n_bos].tolist()
    blank = ids_of(model.tokenizer, "\n\n")
    shown = {
        name: pool.tokens(i) + ([] if i == 1 else blank) for i, name in enumerate(pool.doc_ids)
    }
    pairs = {(a, b): shown[a] + shown[b] for a in shown for b in shown if a != b}
    assert context in pairs.values()
    assert asked.facts == {"shots": 2.0}
    full = many_shot(model, target, shots=99, seed=3)
    assert full.facts == {"shots": 5.0}


def test_a_text_is_read_behind_the_words_and_scored_as_before(model):
    model.__dict__["bos_token_id_to_prepend"] = None
    try:
        texts = tuple(Item(str(i), "", r["answer"] + r["question"]) for i, r in enumerate(ROWS[:2]))
        split = Split("forget", "forget", texts, Template("plain"), frozenset({"probability"}))
        attack = Prompts(forms=("role-play",))
        _, point = attack.apply(model, target_of(model, [split]))
        found = answers(model, point.context)["forget_probability"]
        plain = encode_items(model, split)
        before = ids_of(model.tokenizer, _built_in()["role-play"]["text"].removesuffix("{text}"))
        for item, encoded in zip(texts, encode_items(model, point.context.splits[0]), strict=True):
            assert encoded[0].answer == plain[int(item.doc_id)][0].answer
            ids = [*before, *plain[int(item.doc_id)][0].prompt, *encoded[0].answer]
            [logits] = plain_logits(model, [ids], "none")
            log_p = plain_tokens(logits, list(encoded[0].answer))["log_p"]
            assert found[item.doc_id] == pytest.approx(float(torch.tensor(mean(log_p)).exp()), 1e-4)
    finally:
        del model.__dict__["bos_token_id_to_prepend"]


def _built_in() -> dict:
    import tomllib

    from unlearnbench.attacks.prompts import BUILT_IN

    return tomllib.loads(BUILT_IN.read_text())


def test_paraphrases_stand_in_the_rows_place(model, tmp_path):
    rows = random_sequences(2, (12, 9), 6, seed=1)
    file = _written(tmp_path, {"row-0": "Who wrote the novel?", "row-1": "An author of Taipei"})
    attack = Prompts(forms=("prefix",), paraphrases=str(file))
    points = list(attack.apply(model, target_of(model, rows=rows)))
    assert [point.name for point in points] == ["plain", "prefix", "paraphrases"]
    made = points[2].context.forget_set.rows
    whole = [made.input_ids[i, : int(made.n_given[i])].tolist() for i in range(2)]
    assert whole == [
        ids_of(model.tokenizer, text) for text in ("Who wrote the novel?", "An author of Taipei")
    ]
    assert [made.suffix(i) for i in range(2)] == [rows.suffix(i) for i in range(2)]


def test_a_benchmarks_own_paraphrases_are_taken_where_there_is_no_file(model):
    measures = frozenset({"probability", "membership"})
    split = Split("forget", "forget", items(ROWS[:2]), CHAT, measures)
    others = tuple(replace(i, question=f"Say: {i.question}") for i in split.items)
    rephrased, holdout = (
        replace(split, name="rephrased", items=others),
        replace(split, name="holdout", role="holdout"),
    )
    splits = [split, rephrased, holdout]
    _, point = Prompts(forms=("paraphrases",)).apply(model, target_of(model, splits))
    asked = point.context.splits
    assert [split.name for split in asked] == ["forget", "rephrased"]
    assert asked[0].items == others
    # Membership would be told by the wording: nobody has the holdout's questions in other words.
    assert {split.measures for split in asked} == {frozenset({"probability"})}
    membership = find("tasks", "membership")()
    assert membership.measure(model, point.context).scores == {}


def _written(folder: Path, paraphrases: dict[str, str]) -> Path:
    rows = [{"doc_id": doc_id, "paraphrase": text} for doc_id, text in paraphrases.items()]
    file = folder / "paraphrases.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


# What cannot be asked.


def _check(attack, splits=(), doc_ids=("row-0",)) -> None:
    source = SimpleNamespace(
        title=lambda run: "fake/0", targets=lambda run: SimpleNamespace(doc_ids=doc_ids)
    )
    attack.check(None, source, "0", splits)


def test_mistakes_are_told_before_anything_is_loaded(model, tmp_path):
    with pytest.raises(UserError, match=r"unknown form of prompts 'rolepaly' \(did you mean 'role"):
        _check(Prompts(forms=("rolepaly",)))
    file = tmp_path / "forms.toml"
    for text, complaint in (
        ('[mine]\nquestion = "What?"', "question has no {question}"),
        ('[mine]\ntext = "{text} Go on."', "text does not end with {text}"),
        ('[mine]\nanwser_prefix = "Sure"', "did you mean 'answer_prefix'"),
        ('[plain]\nanswer_prefix = "Sure"', "'plain'; rename it"),
        ("[mine", "not TOML"),
        ("", "no form"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=complaint):
            _check(Prompts(file=str(file)))
    other = _written(tmp_path, {"row-9": "Who?"})
    with pytest.raises(UserError, match=r"no paraphrase of row 'row-0'.*begin with 'row-9'"):
        _check(Prompts(paraphrases=str(other)))
    split = Split("forget", "forget", items(ROWS[:2]), CHAT)
    with pytest.raises(UserError, match="no paraphrase of row '0' of fake/0, split 'forget'"):
        _check(Prompts(paraphrases=str(other)), [split])
    with pytest.raises(UserError, match="no file at"):
        _check(Prompts(paraphrases=str(tmp_path / "gone.jsonl")))
    _check(Prompts())


def test_forms_that_do_not_fit_are_left_out_with_a_word(model, caplog):
    width = model.max_length - 20
    rows = random_sequences(1, (width,), 6, seed=1)
    target = target_of(model, rows=rows)
    with caplog.at_level(logging.WARNING, "unlearnbench"):
        points = list(Prompts(forms=("prefix", "role-play", "many-shot")).apply(model, target))
    assert [point.name for point in points] == ["plain", "prefix", "many-shot"]
    assert "'role-play' is left out: rows: " in caplog.text
    full = random_sequences(1, (model.max_length,), 6, seed=1)
    with pytest.raises(UserError, match="none of prefix, paraphrases changes what is asked here"):
        list(Prompts(forms=("prefix", "paraphrases")).apply(model, target_of(model, rows=full)))


def test_points_and_files_are_counted(tmp_path):
    file = tmp_path / "forms.toml"
    file.write_text('[mine]\nanswer_prefix = "Well:"\n')
    attack = Prompts(file=str(file), paraphrases=str(_written(tmp_path, {"a": "b"})))
    assert attack.n_points == 7
    before = attack.data_sha256()
    file.write_text('[mine]\nanswer_prefix = "Well then:"\n')
    changed = {name for name, digest in attack.data_sha256().items() if digest != before[name]}
    assert changed == {"file"}
    assert before.keys() == {"forms", "file", "paraphrases"}
