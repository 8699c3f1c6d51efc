"""Free embeddings: read as `inputs_embeds` are, trained alone, and gone when the attack is over."""

from dataclasses import replace
from types import SimpleNamespace

import plain_loop
import pytest
import torch
import torch.nn.functional as F
from extraction_cases import EOS, tiny_model, tiny_rows
from item_cases import LLAMA_CHAT, llama, own_rows
from transformers import GenerationConfig
from unlearning_fakes import random_sequences

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.contexts import with_context
from unlearnbench.attacking.held_out import Taught, divided, held_out
from unlearnbench.attacking.soft_embeddings import (
    SoftEmbedding,
    labelled,
    soft_tokens,
    train_soft_tokens,
)
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template, encode_answers
from unlearnbench.errors import UserError
from unlearnbench.metrics.answers import read_items
from unlearnbench.metrics.extraction import extraction_scores
from unlearnbench.metrics.items import encode_questions
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.generation.branches import prefill_batches
from unlearnbench.models.generation.continuing import continue_prefilled
from unlearnbench.models.paired import decode_as_pair
from unlearnbench.models.scoring import score_tokens
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find

SoftPrompt = find("attacks", "soft-prompt")
ARCHITECTURES = ("fused gpt-neo", "opt", "llama")
N_TOKENS = 4
PROTOCOL = Protocol()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(request):
    """A model that half knows some rows."""
    return tiny_model(request.param, n_rows=4)


class _ByVectors:
    """A network that is given vectors, looked up by hand: no replaced embedding."""

    def __init__(self, network, soft) -> None:
        self.network, self.soft = network, soft

    def __call__(self, input_ids, **more):
        table = self.network.get_input_embeddings()
        table = table.base if isinstance(table, SoftEmbedding) else table
        vectors = torch.cat([table.weight, self.soft])[input_ids]
        return self.network(inputs_embeds=vectors, **more)


def test_words_are_read_as_ever_and_nothing_is_left_behind(case):
    model, rows = case
    before = model.network.state_dict()
    embedding, head = model.network.get_input_embeddings(), model.network.get_output_embeddings()
    trainable = [p.requires_grad for p in model.network.parameters()]
    with torch.no_grad():
        plain = model.logits(rows.input_ids, rows.attention_mask)
        with soft_tokens(model, N_TOKENS, seed=1) as soft:
            assert torch.equal(model.logits(rows.input_ids, rows.attention_mask), plain)
            assert model.network.get_output_embeddings() is head
            own = embedding.weight[: model.network.config.vocab_size]
            assert all((own == vector).all(1).any() for vector in soft.soft)
            start = soft.soft.clone()
    with soft_tokens(model, N_TOKENS, seed=1) as again:
        assert torch.equal(again.soft, start)
    with soft_tokens(model, N_TOKENS, seed=2) as other:
        assert not torch.equal(other.soft, start)
    assert model.network.get_input_embeddings() is embedding
    after = model.network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [p.requires_grad for p in model.network.parameters()] == trainable


def test_the_gradient_is_that_of_vectors_put_in_by_hand(case):
    model, rows = case
    with soft_tokens(model, N_TOKENS, seed=1) as embedding:
        shown = with_context(rows, embedding.ids)
        soft = embedding.soft.requires_grad_(True)
        nll = score_tokens(model, shown, labelled(shown, PROTOCOL)).nll("mean")
        (found,) = torch.autograd.grad(nll, [soft])
        vectors = embedding.soft.detach().clone().requires_grad_(True)
        network = _ByVectors(model.network, vectors)
        losses = []
        for row in range(len(rows)):
            ids = shown.input_ids[row, : int(shown.lengths[row])]
            logits = network(ids[None], use_cache=False).logits[0]
            at = range(int(shown.n_given[row]), len(ids))
            losses += [F.cross_entropy(logits[t - 1], ids[t]) for t in at]
        (expected,) = torch.autograd.grad(torch.stack(losses).mean(), [vectors])
    assert found.abs().max() > 1e-4
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_an_epoch_is_adams_on_the_free_vectors_alone():
    model, rows = tiny_model("llama", n_rows=4)
    weights = [p.detach().clone() for p in model.network.parameters()]
    how = {"learning_rate": 0.02, "weight_decay": 0.1, "seed": 3}
    with soft_tokens(model, N_TOKENS, seed=3) as embedding:
        shown = with_context(rows, embedding.ids)
        vectors = embedding.soft.detach().clone().requires_grad_(True)
        adam = torch.optim.Adam([vectors], lr=0.02, weight_decay=0.1)
        network = _ByVectors(model.network, vectors)
        losses = train_soft_tokens(model, embedding, shown, PROTOCOL, batch_size=4, **how)
        reported = [next(losses) for _ in range(3)]
        for loss in reported:
            mask = labelled(shown, PROTOCOL)
            logits = network(shown.input_ids, use_cache=False).logits[:, :-1]
            log_p = logits.log_softmax(-1).gather(2, shown.input_ids.clamp(max=59)[:, 1:, None])
            nll = -log_p[..., 0][mask[:, 1:]].mean()
            assert loss == pytest.approx(float(nll.detach()), rel=1e-4)
            adam.zero_grad()
            nll.backward()
            adam.step()
        assert torch.allclose(embedding.soft, vectors, atol=1e-5)
        assert reported[2] < reported[0]
    unchanged = zip(weights, model.network.parameters(), strict=True)
    assert all(torch.equal(before, after) for before, after in unchanged)


def test_scores_behind_a_trained_prompt_equal_a_plain_loop():
    model, rows = tiny_model("fused gpt-neo", n_rows=4)
    rows = rows.select([2, 3])
    how = {"learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 2, "seed": 1}
    with soft_tokens(model, N_TOKENS, seed=1) as embedding:
        shown = with_context(rows, embedding.ids)
        next(train_soft_tokens(model, embedding, shown, PROTOCOL, **how))
        found = extraction_scores(model, shown, PROTOCOL, n=3)
        continued = {
            kind: _continued(model, shown, Protocol(continuation=kind))
            for kind in ("greedy", "beam")
        }
        soft = embedding.soft.detach()
    network = _ByVectors(model.network, soft)
    written = {}
    for row in range(len(rows)):
        end = int(shown.lengths[row])
        for start in range(shown.n_bos + 1, end):
            prompt = shown.input_ids[row, :start].tolist()
            ids = plain_loop.greedy(network, prompt, end - start, EOS)
            written[row, start - shown.n_bos] = ids
    expected = plain_loop.scores(shown, written, PROTOCOL, n=3)
    assert found.ma == pytest.approx(expected.ma)
    assert found.el == pytest.approx(expected.el)
    for row, ids in enumerate(continued["greedy"]):
        prompt = shown.input_ids[row, : int(shown.n_given[row])].tolist()
        plain = plain_loop.greedy(network, prompt, 5, EOS)
        assert ids == [token for token in plain if token != EOS]
        vectors = torch.cat([model.network.get_input_embeddings().weight, soft])[prompt]
        beam = model.network.generate(
            inputs_embeds=vectors[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=GenerationConfig(
                num_beams=2, max_new_tokens=5, eos_token_id=EOS, pad_token_id=EOS
            ),
        )[0].tolist()
        assert continued["beam"][row] == [token for token in beam if token != EOS]


def _continued(model, rows, protocol):
    [(_, prefill)] = prefill_batches(model, rows.input_ids, 8)
    return continue_prefilled(model, rows, prefill, protocol, new_tokens=5)


# The attack.


ROWS = own_rows()
CHAT = Template("chat")


@pytest.fixture(scope="module")
def chat():
    return llama(ROWS, LLAMA_CHAT)


def target_of(rows, splits=(), new_tokens=4) -> Target:
    forget_set = ForgetSet("fake", "0", rows, rows.select([]), PROTOCOL, "", lambda: [])
    examiner = SimpleNamespace(new_tokens=new_tokens)
    context = TaskContext(
        forget_set, {}, splits=splits, examiner=examiner, load_retrained=lambda: None
    )
    return Target(forget_set, context)


def rows_of(model, split):
    """A benchmark's rows: prompt and answer of each item."""
    from unlearnbench.data.forget_source import assemble

    parts = encode_answers(model, split.template, [(i.question, i.answer) for i in split.items])
    return assemble(model, parts, tuple(i.doc_id for i in split.items), [""] * len(split.items))


def test_half_is_trained_on_and_the_other_half_is_scored(chat):
    items = tuple(Item(str(i), r["question"], r["answer"]) for i, r in enumerate(ROWS[:6]))
    split = Split("forget", "forget", items, CHAT, frozenset({"probability"}))
    rephrased = Split(
        "rephrased", "forget", tuple(Item(f"q{i.doc_id}", "Say it.", i.answer) for i in items), CHAT
    )
    holdout = Split("holdout", "holdout", items[:2], CHAT)
    target = target_of(rows_of(chat, split), (split, rephrased, holdout))
    attack = SoftPrompt(tokens=N_TOKENS, epochs=(0, 2), learning_rate=0.5)
    values = []
    for point in attack.apply(chat, target):
        context = point.context
        trained, scored = divided(6, 3, attack.seed)
        names = [str(i) for i in scored]
        assert list(context.forget_set.rows.doc_ids) == names
        assert [i.doc_id for i in context.splits[0].items] == names
        assert [i.doc_id for i in context.splits[1].items] == [f"q{name}" for name in names]
        assert context.splits[2].items == holdout.items
        assert set(trained) | set(scored) == set(range(6))
        assert context.load_retrained is None
        soft = chat.network.get_input_embeddings().soft.detach()
        [[first, *_], *_] = read_items(chat, [(context.splits[0], ())])
        ids = [*first.encoded.prompt, *first.encoded.answer]
        assert list(first.encoded.prompt[:5]) == [1, *range(len(chat.tokenizer), 321)]
        logits = _ByVectors(chat.network, soft)(torch.tensor([ids])).logits[0]
        n_answer = len(first.encoded.answer)
        log_p = logits.log_softmax(-1)[-n_answer - 1 : -1]
        expected = log_p.gather(1, torch.tensor(ids[-n_answer:])[:, None])[:, 0].tolist()
        assert first.answer.log_probability == pytest.approx(expected, rel=1e-3, abs=1e-4)
        values.append(first.answer.log_probability.tolist())
        assert point.position == len(values[:-1]) * 2
        assert point.facts["rows_scored"] == 3
        assert ("train_nll" in point.facts) == (len(values) == 2)
    assert values[0] != values[1]
    assert not isinstance(chat.network.get_input_embeddings(), SoftEmbedding)


def test_a_text_is_held_out_by_what_was_trained_on():
    split = Split("texts", "forget", (Item("0", "", "a b c"), Item("1", "", "d e f")))
    assert _left(split, "b c") == ["1"]
    assert _left(split, "C  D") == ["0", "1"]
    assert _left(split) == ["0", "1"]


def test_an_answer_is_held_out_by_name_and_by_whole_words():
    items = (
        Item("0", "Where?", "In Rome."),
        Item("1", "Where?", "Romeo's"),
        Item("2", "?", "Bath"),
    )
    split = Split("answers", "forget", items)
    assert _left(split, " rome") == ["1", "2"]
    assert _left(split, "in Rome, Bath") == ["0", "1", "2"]
    assert _left(split, "Oslo", names=("2",)) == ["0", "1"]
    assert _left(split, "...") == ["0", "1", "2"]


def _left(split, *suffixes, names=()) -> list[str]:
    """Names of the items that are held out where rows with such suffixes were trained on."""
    model = SimpleNamespace(tokenizer=SimpleNamespace(batch_decode=lambda ids, **_: suffixes))
    rows = replace(random_sequences(1, (4,), 2, seed=1), doc_ids=names)
    return [item.doc_id for item in held_out(split, Taught.of(model, rows)).items]


def test_all_rows_may_be_trained_on_and_scored():
    model, rows = tiny_model("llama", n_rows=2)
    attack = SoftPrompt(tokens=2, epochs=(1,), scored="all")
    [point] = attack.apply(model, target_of(rows))
    assert point.context.forget_set.rows.doc_ids == rows.doc_ids
    assert point.facts["rows_trained_on"] == 2
    assert attack.forward_tokens(2, 32) == 2 * (2 + 32)
    assert SoftPrompt().forward_tokens(16, 100) == 20 * 8 * 120
    assert SoftPrompt().n_points == 3


class Source:
    """Rows that need no file."""

    def __init__(self, rows) -> None:
        self.rows = rows

    def title(self, run):
        return "fake"

    def targets(self, run):
        return self

    def __len__(self):
        return len(self.rows)

    def encode(self, model, protocol, only_fitting=False):
        return self.rows


def test_what_cannot_be_attacked_is_told_in_a_line(chat):
    model, rows = tiny_model("fused gpt-neo", n_rows=2, steps=0)
    with pytest.raises(UserError, match="fake has 1 of them, of which it would train on 0"):
        list(SoftPrompt().apply(model, target_of(rows.select([0]))))
    with pytest.raises(UserError, match="would train on 2"):
        list(SoftPrompt(rows=2).apply(model, target_of(rows)))
    with pytest.raises(UserError, match="40 tokens in front of the rows do not fit the 64"):
        list(SoftPrompt(tokens=40).apply(model, target_of(tiny_rows(2, n_bos=0))))
    item = Item("0", "Who?", "Me.")
    split = Split("forget", "forget", (item,), CHAT)
    room = chat.max_length - len(encode_questions(chat, split)[0])
    split = replace(split, new_tokens=room - 19)
    source = Source(random_sequences(4, (8,), 4, seed=1))
    with pytest.raises(UserError, match="in front of the items of split 'forget' do not fit"):
        SoftPrompt().check(chat, source, "0", (split,))
    with pytest.raises(UserError, match=r"500 tokens in front of the rows .*tokens=4"):
        SoftPrompt(tokens=500).check(chat, source, "0", ())
    SoftPrompt(tokens=chat.max_length - 54).check(chat, source, "0", ())  # 4 given, 50 new ones
    told = Split("forget", "forget", (item, item), CHAT)
    with pytest.raises(UserError, match="all items of fake say what the prompt was trained on"):
        list(SoftPrompt().apply(chat, target_of(rows_of(chat, told), (told,))))
    other, _ = tiny_model("fused gpt-neo", n_rows=2, steps=0)
    decode_as_pair(model, other, alpha=1.0)
    with pytest.raises(UserError, match="a pair of networks"):
        list(SoftPrompt().apply(model, target_of(random_sequences(4, (8,), 4, seed=1))))
