"""Questions and answers as tokens, against the library's own templates and by hand."""

import json

import pytest
from item_cases import LLAMA_CHAT, QWEN_CHAT, ids_of, llama, own_rows

from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.data.templates import (
    Template,
    asked_question,
    encode_answers,
    encode_prompts,
    end_tokens,
)
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol

ROWS = own_rows()
PAIRS = [(row["question"], row["answer"]) for row in ROWS]
BOS, EOS, END = 1, 2, 4


@pytest.fixture(scope="module")
def llama_chat():
    return llama(ROWS, LLAMA_CHAT)


@pytest.fixture(scope="module")
def qwen_chat():
    made = llama(ROWS, QWEN_CHAT)
    made.__dict__["bos_token_id_to_prepend"] = None
    return made


@pytest.fixture(scope="module")
def plain():
    return llama(ROWS)


def chat(model, question, answer=None, **fields):
    messages = [{"role": "user", "content": question}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return model.tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=answer is None, return_dict=False, **fields
    )


def test_a_chat_is_the_librarys_up_to_the_end_of_turn(llama_chat):
    encoded = encode_answers(llama_chat, Template(date="10 Apr 2025"), PAIRS)
    for (question, answer), (prompt, own) in zip(PAIRS, encoded, strict=True):
        given = chat(llama_chat, question, date_string="10 Apr 2025")
        whole = chat(llama_chat, question, answer, date_string="10 Apr 2025")
        assert [BOS, *prompt] == given  # the template writes it, and so does whoever makes rows
        assert own == whole[len(given) :]
        assert own[-1] == END


def test_a_fixed_date_is_the_same_tomorrow(llama_chat):
    dated, other, today = (
        encode_prompts(llama_chat, Template(date=date), ["Who?"])[0]
        for date in ("10 Apr 2025", "11 Apr 2025", "")
    )
    assert "Date: 10 Apr 2025\n" in llama_chat.decode(dated)
    assert dated != other
    assert "Date: 10 Apr 2025\n" not in llama_chat.decode(today)


def test_the_line_break_behind_qwens_end_of_turn_is_no_part_of_the_answer(qwen_chat):
    encoded = encode_answers(qwen_chat, Template(), PAIRS)
    for (question, answer), (prompt, own) in zip(PAIRS, encoded, strict=True):
        given, whole = chat(qwen_chat, question), chat(qwen_chat, question, answer)
        assert prompt == given
        assert qwen_chat.decode(whole[-1:]) == "\n"
        assert own == whole[len(given) : -1]
        assert own[-1] == END


def test_an_answer_ends_by_the_turns_token_or_not_at_all(llama_chat, plain):
    assert end_tokens(llama_chat, Template()) == {EOS, END}
    assert end_tokens(plain, Template()) == {EOS}
    [(_, own)] = encode_answers(llama_chat, Template(ends=False), PAIRS[:1])
    assert own == ids_of(llama_chat.tokenizer, PAIRS[0][1])


def test_the_system_message_and_examples_stand_before_the_question(llama_chat):
    template = Template(system="Be brief.", examples=(("Who?", "Nobody."),), date="1 May 2025")
    [ids] = encode_prompts(llama_chat, template, ["When?"])
    assert llama_chat.decode([BOS, *ids]) == (
        "<s><|start|>system\n\nDate: 1 May 2025\nBe brief.<|end|>"
        "<|start|>user\n\nWho?<|end|><|start|>assistant\n\nNobody.<|end|>"
        "<|start|>user\n\nWhen?<|end|><|start|>assistant\n\n"
    )


def test_the_plain_prompt_with_examples(plain):
    template = Template("plain", examples=(("Who?", "Nobody."),))
    [(prompt, answer)] = encode_answers(plain, template, [("When?", "Never.")])
    shown = "Question: Who?\nAnswer: Nobody.\n\nQuestion: When?\nAnswer:"
    assert prompt == ids_of(plain.tokenizer, shown)
    assert answer == [*ids_of(plain.tokenizer, " Never."), EOS]
    [again] = encode_prompts(plain, template, ["When?"])
    assert again == prompt


def test_braces_of_a_prompt_are_its_own(plain):
    template = Template("plain", prompt='{"ask": "{question}"} ', separator="")
    [ids] = encode_prompts(plain, template, ["a {b}?"])
    assert plain.decode(ids) == '{"ask": "a {b}?"} '


def test_tokenised_together_the_boundary_may_merge(plain):
    # 'th' is one token where it stands in one text.
    template = Template("plain", prompt="{question} t", separator="")
    [(prompt, apart)] = encode_answers(plain, template, [("Who", "he river")])
    [(same, joint)] = encode_answers(
        plain, Template("plain", prompt="{question} t", separator="", together=True),
        [("Who", "he river")],
    )  # fmt: skip
    whole = ids_of(plain.tokenizer, "Who the river")
    assert prompt == same == ids_of(plain.tokenizer, "Who t")
    assert plain.decode([*prompt, *apart[:-1]]) == "Who the river"
    assert [*prompt, *apart[:-1]] != whole
    assert joint == [*whole[len(prompt) :], EOS]  # it has lost what went into the prompt's token


def test_together_and_apart_are_one_where_nothing_merges(llama_chat):
    apart = encode_answers(llama_chat, Template(date="x"), PAIRS)
    assert apart == encode_answers(llama_chat, Template(date="x", together=True), PAIRS)


def test_an_answers_prefix_belongs_to_the_prompt(plain, llama_chat):
    sure = "Sure, here is the answer:"
    for model, kind in ((plain, "plain"), (llama_chat, "chat")):
        template = Template(kind, answer_prefix=sure, date="x")
        [prompt] = encode_prompts(model, template, ["Who?"])
        [(same, own)] = encode_answers(model, template, [("Who?", "Nobody.")])
        assert prompt == same
        assert model.decode(prompt).endswith(sure)
        assert model.decode(own[:-1]) == " Nobody."


def test_a_text_has_no_prompt_and_ends_with_its_sequence(plain, llama_chat):
    for model in (plain, llama_chat):
        [(prompt, own), (asked, _)] = encode_answers(
            model, Template(), [("", "A text."), ("Who?", "Nobody.")]
        )
        assert prompt == []
        assert own == [*ids_of(model.tokenizer, "A text."), EOS]
        assert asked


def test_a_template_that_is_not_there_is_told(plain):
    with pytest.raises(UserError, match="the tokenizer of random-llama has no chat template"):
        encode_prompts(plain, Template("chat"), ["Who?"])
    broken = llama(ROWS, "{{ raise_exception('no users') }}")
    with pytest.raises(UserError, match="refuses a question"):
        encode_prompts(broken, Template(), ["Who?"])


def test_no_pairs_are_no_tokens(llama_chat):
    assert encode_answers(llama_chat, Template(), []) == []
    assert encode_prompts(llama_chat, Template(), []) == []


def of_file(tmp_path, rows, template="auto", name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_source(ForgetRequest(str(path), template=template))


def parts(source, model):
    made = source.targets("0").encode(model, Protocol())
    texts = [made.input_ids[i, : made.lengths[i]].tolist() for i in range(len(made))]
    return [(ids[:n], ids[n:]) for ids, n in zip(texts, made.n_given.tolist(), strict=True)]


def test_questions_of_ones_own_stand_in_the_chat_of_a_model_that_has_one(
    llama_chat, plain, tmp_path
):
    source = of_file(tmp_path, ROWS)
    for (question, answer), (given, suffix) in zip(PAIRS, parts(source, llama_chat), strict=True):
        assert given == chat(llama_chat, question, date_string="10 Apr 2025")
        whole = chat(llama_chat, question, answer, date_string="10 Apr 2025")
        assert suffix == whole[len(given) : -1], "the answer alone, without its end of turn"
    asked_plainly = of_file(tmp_path, ROWS, "plain")
    assert parts(asked_plainly, llama_chat) == parts(asked_plainly, plain)
    assert parts(of_file(tmp_path, ROWS), plain) == parts(asked_plainly, plain)
    assert source.sha256("0") != asked_plainly.sha256("0")
    assert source.asks_questions("0")


def test_a_template_is_for_questions_and_for_models_that_have_one(plain, tmp_path):
    with pytest.raises(UserError, match="has no chat template"):
        parts(of_file(tmp_path, ROWS, "chat"), plain)
    texts = [{"text": f"{row['question']} {row['answer']}"} for row in ROWS]
    with pytest.raises(UserError, match="--template plain is for fields question and answer"):
        parts(of_file(tmp_path, texts, "plain"), plain)


def test_the_question_of_a_prompt_is_found_again(llama_chat, qwen_chat, plain):
    for model in (llama_chat, qwen_chat, plain):
        for template in (Template("plain"), Template()):
            [ids] = encode_prompts(model, template, [PAIRS[0][0]])
            assert asked_question(model, model.decode(ids)) == PAIRS[0][0]
    assert asked_question(plain, "once upon a time") is None
