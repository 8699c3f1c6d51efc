"""Shared beginnings and packed batches against one request at a time, without any of it."""

import random
from types import SimpleNamespace

import pytest
import torch
from extraction_cases import EOS, PAD, SOURCE, VOCAB, tiny_network
from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

from unlearnbench.models.generation import room as pass_size
from unlearnbench.models.generation.room import Room
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.likelihoods import Family, bundles, families, likelihoods, packs

MAX_LENGTH = 64


def network(architecture):
    if architecture in ("gpt-neo", "opt", "llama"):
        return tiny_network(architecture)
    torch.manual_seed(7)
    common = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": PAD}
    if architecture == "mistral":  # every layer sees the last 8 tokens only
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
        return MistralForCausalLM(MistralConfig(sliding_window=8, **common, **heads))
    return MambaForCausalLM(MambaConfig(state_size=4, **common))


def tiny(architecture):
    tokenizer = SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD)
    return LanguageModel(network(architecture), tokenizer, SOURCE)


def requests():
    """Questions of every kind, some with contexts that are too long."""
    dice = random.Random(3)

    def words(least, most):
        return [dice.randrange(3, VOCAB) for _ in range(dice.randint(least, most))]

    made = []
    for _ in range(12):  # one context, a few choices; one of them twice, one a beginning of another
        context, choices = words(1, 50), [words(1, 12) for _ in range(3)]
        made += [(context, choice) for choice in (*choices, choices[0], choices[1][:1])]
    for _ in range(4):  # one-token choices
        context = words(5, 70)
        made += [(context, [choice]) for choice in (5, 6, 7)]
    for _ in range(4):  # two beginnings, one ending
        start, ending = words(10, 20), words(4, 9)
        made += [([*start, *words(1, 3)], ending) for _ in range(2)]
    for _ in range(4):  # the same question with a few words more in front of the choice
        context = words(20, 40)
        made += [(context, words(5, 9)), ([*context, *words(3, 3)], words(5, 9))]
    made += [(words(60, 80), words(n, n)) for n in (1, 20, 40, 63, 64)]
    made += [([4], words(64, 64)), ([4], [5]), ([4], [6])]
    dice.shuffle(made)
    return made


@torch.no_grad()
def plainly(model, context, continuation, max_length=MAX_LENGTH):
    ids = torch.tensor([*context, *continuation][-(max_length + 1) :])
    scores = model.network(ids[None, :-1]).logits[0].log_softmax(-1)[-len(continuation) :]
    targets = ids[-len(continuation) :]
    total = float(scores.gather(1, targets[:, None]).double().sum())
    return total, bool((scores.argmax(-1) == targets).all())


def some_greedy(model, made):
    """The requests, some of them with what the model itself would write."""
    greedy = []
    for context, _ in made[:8]:
        context, written = context[:40], []
        for _ in range(3):
            with torch.no_grad():
                logits = model.network(torch.tensor([[*context, *written]])).logits[0, -1]
            written.append(int(logits.argmax()))
        greedy.append((context, written))
    return made + greedy


@pytest.mark.parametrize("architecture", ["gpt-neo", "opt", "llama", "mistral", "mamba"])
def test_equal_to_one_request_at_a_time(architecture, monkeypatch):
    model = tiny(architecture)
    made = some_greedy(model, requests())
    expected = [plainly(model, *request) for request in made]
    assert {greedy for _, greedy in expected} == {True, False}
    for n_bytes, batch_size in ((pass_size._CPU_BYTES, 8), (1, 1), (1 << 16, 3)):
        monkeypatch.setattr(pass_size, "_CPU_BYTES", n_bytes)
        found = likelihoods(model, made, MAX_LENGTH, batch_size)
        values = [each.log_probability for each in found]
        assert values == pytest.approx([value for value, _ in expected], rel=5e-7, abs=2e-5)
        assert [each.is_greedy for each in found] == [greedy for _, greedy in expected]


def test_a_shared_context_is_read_once():
    model = tiny("llama")
    context = list(range(3, 43))
    choices = [[50, 51, 52], [52, 51, 50], [53, 50, 51, 52, 50]]
    likelihoods(model, [(context, choice) for choice in choices], MAX_LENGTH)
    # 39 tokens are shared; each choice reads the 40th and its own but the last, with padding.
    assert model.meter.phases["other"].forward_tokens == 39 + 3 * 5
    model.meter.phases.clear()
    likelihoods(model, [(context, [choice]) for choice in (3, 4, 5)], MAX_LENGTH)
    assert model.meter.phases["other"].forward_tokens == 40


def test_scores_are_made_where_something_is_predicted_only():
    model = tiny("gpt-neo")
    seen = []
    head = model.network.get_output_embeddings()
    head.register_forward_hook(lambda _module, _args, output: seen.append(output.shape[:-1]))
    made = requests()
    likelihoods(model, made, MAX_LENGTH)
    n_predicted = len({(*c, *e)[:-1][:k] for c, e in made for k in range(len(c), len(c) + len(e))})
    assert sum(shape.numel() for shape in seen) <= 1.5 * n_predicted


def test_what_is_not_a_number_is_not_hidden():
    model = tiny("llama")
    with torch.no_grad():
        model.network.lm_head.weight[7] = float("nan")
    found = likelihoods(model, [([3, 4], [5]), ([3, 4], [6, 8])], MAX_LENGTH)
    assert all(each.log_probability != each.log_probability for each in found)


def random_sequences(dice, n):
    stems = [tuple(dice.choices("abc", k=dice.randint(0, 40))) for _ in range(n // 4)]
    found = {(*dice.choice(stems), *dice.choices("abc", k=dice.randint(1, 9))) for _ in range(n)}
    return sorted(found, key=lambda _: dice.random())


def test_families_hold_every_sequence_once_and_share_what_is_common():
    dice = random.Random(1)
    for _ in range(50):
        sequences = random_sequences(dice, 40)
        at_most = [dice.randint(0, len(s) - 1) if dice.random() < 0.2 else len(s) - 1
                   for s in sequences]  # fmt: skip
        found = families(sequences, at_most)
        members = [i for family in found for i in family.members]
        assert sorted(members) == list(range(len(sequences)))
        for family in found:
            assert len({sequences[i][: family.shared] for i in family.members}) == 1
            assert all(family.shared <= at_most[i] for i in family.members)
            assert (family.shared > 0) == (len(family.members) > 1)
        assert any(family.shared for family in found)


def test_a_stranger_with_the_same_first_words_does_not_join_a_question():
    opening, question = tuple("question: "), tuple("what is it? answer:")
    choices = [(*opening, *question, *choice) for choice in ("one", "two", "three")]
    strangers = [(*opening, *"never mind"), (*opening, *"why?"), (*opening, *"x")]
    found = families(choices + strangers, [len(s) - 1 for s in choices + strangers])
    (own,) = [family for family in found if 0 in family.members]
    assert sorted(own.members) == [0, 1, 2]
    assert own.shared == len(opening) + len(question)


def test_bundles_cut_little_and_hold_what_fits():
    dice = random.Random(2)
    found = [Family(tuple(range(3)), dice.randint(8, 99)) for _ in range(200)]
    made = list(bundles(found, lambda n, tokens: n * tokens <= 800))
    assert sum(len(bundle) for _, bundle in made) == 200
    for cut, bundle in made:
        assert cut == min(family.shared for family in bundle)
        assert len(bundle) == 1 or (len(bundle) - 1) * cut <= 800
        assert sum(3 * (family.shared - cut) for family in bundle) <= 48 * len(bundle)
    assert len(made) < 40


def test_packs_hold_every_row_once_with_little_padding():
    dice = random.Random(4)
    lengths = [dice.randint(1, 200) for _ in range(300)]
    made = list(packs(lengths, lambda pack: len(pack) <= 16))
    assert sorted(i for pack in made for i in pack) == list(range(300))
    for pack in made:
        assert len(pack) <= 16
        assert sum(lengths[pack[0]] - lengths[i] for i in pack) <= 48
    assert list(packs([5, 9], lambda _pack: False)) == [[1], [0]]
    assert list(packs([], lambda _pack: True)) == []


def test_room_grows_with_what_is_free_and_never_ends():
    room = Room(8, 1 << 20, 1 << 20, width=64, n_layers=2, n_heads=4, vocabulary=1000)
    assert room.holds(8, 10_000)  # what the user asks for goes, whatever it takes
    assert room.holds(9, 4)
    assert not room.holds(9, 4, 0, n_predicting=1000)
    assert not room.holds(64, 64)
    assert not room.keeps(1, 10_000)
    assert Room.of(tiny("llama"), 3).n_rows == 3
