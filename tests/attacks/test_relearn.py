"""Relearning: the training against a plain loop, what is held out, and what is refused."""

from collections import Counter
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
import torch
from architectures import language_model
from transformers import GPT2Config, GPT2LMHeadModel
from unlearning_fakes import forget_set, random_sequences, tiny_model

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.held_out import divided, drawn, held_out_context, n_beside
from unlearnbench.attacking.recipes import PUBLISHED, Recipe
from unlearnbench.attacking.relearning import fine_tuned, text_rows
from unlearnbench.attacks.relearn import Relearn
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.experiments.method_settings import construct
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.paired import decode_as_pair
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find
from unlearnbench.settings import parse_setting
from unlearnbench.unlearning.steps import seeded_generator

ATTACKS = ("relearn", "relearn-split", "relearn-benign", "relearn-text", "relearn-lora")
DOCUMENTS = tuple(" ".join(f"t{3 + (i * j) % 90}" for j in range(40)) for i in range(1, 4))


def gpt2():
    model = tiny_model()
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GPT2LMHeadModel(config)
    return type(model)(network, model.tokenizer, model.source)


def target(**of_set):
    given = forget_set(**of_set)
    return Target(given, TaskContext(given, {"wikitext": DOCUMENTS}))


def weights(model):
    return [p.detach().clone() for p in model.network.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def states(model, recipe, rows=None, seed=1, span="suffix"):
    """The weights at each state, by steps."""
    rows = rows if rows is not None else random_sequences(6, (16, 11), 5, seed=1, n_bos=1)
    return {s.n_steps: weights(model) for s in fine_tuned(model, rows, recipe, span, seed, "me")}


# What changes nothing.


@pytest.mark.parametrize("name", ATTACKS)
def test_zero_steps_are_the_model_bit_for_bit(name):
    model = tiny_model()
    before = weights(model)
    (point,) = find("attacks", name)(steps=(0,)).apply(model, target())
    assert equal(before, weights(model))
    assert (point.name, point.label, point.position) == ("steps=0", "0 steps", 0)
    assert all(p.grad is None for p in model.network.parameters())


def test_adapters_of_rank_zero_change_nothing_bit_for_bit():
    model = tiny_model()
    before = weights(model)
    attack = find("attacks", "relearn-lora")(rank=0, steps=(0, 3))
    points = [point.facts["tokens"] for point in attack.apply(model, target())]
    assert points == [0, 0]
    assert equal(before, weights(model))
    assert attack.forward_tokens(6, 16) == 0


# The training.


def plain_training(model, rows, span, n_steps, batches, rate, decay, clip):
    """AdamW on the library's own loss, row after row of a batch, the rate of each step by hand."""
    network = model.network.eval()
    named = dict(network.named_parameters())
    groups = [
        {"params": [p for p in named.values() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in named.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    for step in range(n_steps):
        for group in adam.param_groups:
            group["lr"] = rate(step)
        adam.zero_grad()
        total, count = 0, 0
        for row in batches[step]:
            ids = rows.input_ids[row : row + 1, : int(rows.lengths[row])]
            labels = ids.clone()
            labels[:, : rows.n_given[row] if span == "suffix" else rows.n_bos] = -100
            n_labels = int((labels[:, 1:] != -100).sum())
            if span == "all":
                labels[:, : rows.n_bos + 1] = -100  # nothing stands before a row's first token
                n_labels = int((labels != -100).sum())
            total = total + network(input_ids=ids, labels=labels).loss * n_labels
            count += n_labels
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        adam.step()
    network.zero_grad(set_to_none=True)


def linear(step, n_steps=7, n_warmup=2, peak=3e-3):
    """Up over the first steps, then down to 0 at the end."""
    if step < n_warmup:
        return peak * step / n_warmup
    return peak * (n_steps - step) / (n_steps - n_warmup)


@pytest.mark.parametrize(("span", "accumulation"), [("suffix", 1), ("all", 3)])
def test_it_is_a_plain_loop_of_adamw(span, accumulation):
    recipe = Recipe(
        steps=(7,),
        learning_rate=3e-3,
        batch_size=4,
        accumulation=accumulation,
        schedule="linear",
        warmup=0.2,  # of 7 steps: 1.4, and so 2
        weight_decay=0.1,
        max_grad_norm=0.5,
    )
    rows = random_sequences(6, (16, 11, 13), 5, seed=1, n_bos=1)
    model, plain = tiny_model(), tiny_model()
    order, batches = seeded_generator(1, "order of rows"), []
    while len(batches) < 7:
        epoch = torch.randperm(6, generator=order).tolist()
        batches += [epoch[:4], epoch[4:]]
    plain_training(plain, rows, span, 7, batches, linear, 0.1, 0.5)
    trained = states(model, recipe, rows, span=span)[7]
    torch.testing.assert_close(trained, weights(plain), rtol=0, atol=2e-5)
    assert float((trained[0] - weights(tiny_model())[0]).abs().max()) > 1e-3


@pytest.mark.parametrize("weights_trained", ["all", "lora"])
def test_a_state_that_is_looked_at_moves_nothing(weights_trained):
    """Whatever is measured in between: gradients, global draws, the network's mode."""
    recipe = Recipe(
        steps=(3, 5, 5), learning_rate=1e-3, batch_size=4, weights=weights_trained, rank=3
    )
    rows = random_sequences(6, (16, 11), 5, seed=1)
    model, watched = tiny_model("llama"), tiny_model("llama")
    kinds = [type(module) for module in watched.network.modules()]
    want = states(model, replace(recipe, steps=(5,)), rows)[5]
    for state in fine_tuned(watched, rows, recipe, "suffix", 1, "me"):
        assert [type(module) for module in watched.network.modules()] == kinds
        assert not watched.network.training
        assert all(p.grad is None and p.requires_grad for p in watched.network.parameters())
        watched.network(input_ids=rows.input_ids).logits.sum().backward()
        watched.network.train()
        torch.rand(3)
        assert state.loss is not None
    assert equal(want, weights(watched))


def test_a_falling_rate_makes_each_number_of_steps_a_training_of_its_own():
    recipe = Recipe(steps=(2, 4), learning_rate=1e-3, schedule="cosine")
    made = states(tiny_model(), recipe)
    for n_steps, got in made.items():
        alone = states(tiny_model(), replace(recipe, steps=(n_steps,)))
        assert equal(got, alone[n_steps])
    lora = replace(recipe, weights="lora", rank=2)
    assert equal(states(tiny_model(), lora)[4], states(tiny_model(), replace(lora, steps=(4,)))[4])


@pytest.mark.parametrize("make", [gpt2, tiny_model], ids=["Conv1D", "GPT-Neo"])
def test_adapters_are_trained_as_peft_trains_them(make):
    """Three steps of a PeftModel by torch's AdamW, with the same A at the start."""
    from peft import LoraConfig, get_peft_model

    model, plain = make(), make()
    rows = random_sequences(4, (12,), 5, seed=1)
    recipe = Recipe(
        steps=(3,), learning_rate=1e-2, batch_size=4, weights="lora", rank=2, alpha=8.0,
        max_grad_norm=0.0,
    )  # fmt: skip
    (state,) = fine_tuned(model, rows, recipe, "suffix", 1, "me")
    names = ["c_attn", "c_proj", "c_fc"] if make is gpt2 else ["q_proj", "k_proj", "v_proj",
             "out_proj", "c_fc", "c_proj"]  # fmt: skip
    config = LoraConfig(r=2, lora_alpha=8.0, target_modules=names, fan_in_fan_out=make is gpt2)
    adapted = get_peft_model(plain.network, config).eval()
    matrices = dict(adapted.named_parameters())
    a_matrices = [p for n, p in matrices.items() if "lora_A" in n]
    random = seeded_generator(1, "adapter")
    with torch.no_grad():
        for a in a_matrices:
            torch.nn.init.kaiming_uniform_(a, a=5**0.5, generator=random)
    adam = torch.optim.AdamW([p for p in matrices.values() if p.requires_grad], lr=1e-2,
                             weight_decay=0.0)  # fmt: skip
    labels = rows.input_ids.clone()
    labels[:, :5] = -100
    for _ in range(3):
        adam.zero_grad()
        adapted(input_ids=rows.input_ids, labels=labels).loss.backward()
        adam.step()
    with torch.no_grad():
        want = adapted(input_ids=rows.input_ids).logits
        got = model.logits(rows.input_ids, rows.attention_mask)
        before = make().logits(rows.input_ids, rows.attention_mask)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-4)
    assert float((got - before).abs().max()) > 1e-2
    assert state.n_tokens == 3 * 4 * 7


def test_every_model_gets_the_same_rows_in_the_same_order():
    given = target(n_rows=9)

    def seen(seed):
        model, read = tiny_model(seed=seed), []
        decoder = model.network.get_decoder()
        hook = decoder.register_forward_pre_hook(lambda _, args: read.append(args[0].clone()))
        facts = [p.facts for p in Relearn(rows=5, steps=(4,), batch_size=2).apply(model, given)]
        hook.remove()
        return read[-4:], facts[0]["rows"], facts[0]["tokens"]

    (one, *facts), (other, *others) = seen(1), seen(2)
    assert equal(one, other)
    assert facts == others == [5, (2 + 2 + 1 + 2) * 8]
    taught = given.forget_set.rows.select(drawn(9, 42, "rows to train on")[:5]).input_ids
    rows = [tuple(row) for batch in one for row in batch.tolist()]
    assert Counter(rows).keys() == {tuple(row) for row in taught.tolist()}


def test_training_that_diverges_says_so_in_one_line():
    with pytest.raises(UserError, match=r"relearn: .* after \d steps?; take smaller .*rate=…"):
        list(
            Relearn(learning_rate=1e18, steps=(6,), max_grad_norm=0.0).apply(tiny_model(), target())
        )


# Points and settings.


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("relearn", {"rows": 4, "epochs": (2, 0, 2), "batch_size": 3}),
        ("relearn-split", {"like": "muse-books", "steps": (0, 2, 3)}),
        ("relearn-benign", {"like": "tofu-ou"}),
        ("relearn-text", {"steps": (3,), "rows": 2, "batch_size": 8}),
        ("relearn-text", {"steps": (3,), "rows": 0, "batch_size": 8}),
        ("relearn-benign", {"steps": (3,), "rows": 9, "batch_size": 9}),
        ("relearn-lora", {"steps": (2, 3)}),
    ],
)
def test_points_and_tokens_are_no_more_than_said(name, settings):
    attack, model, given = find("attacks", name)(**settings), tiny_model(), target()
    names = [point.name for point in attack.apply(model, given)]
    spent = sum(cost.forward_tokens for cost in model.meter.phases.values())
    probe = 32  # of whether the head has the last word, once for a network
    assert len(set(names)) == len(names) == attack.n_points
    assert 0 < spent - probe <= attack.forward_tokens(6, 16)


def test_what_is_given_wins_over_published_settings_and_those_over_the_attacks_own():
    assert Relearn().recipe == Recipe(rows=16, steps=(0, 5, 10, 20, 40))
    tofu = Relearn(like="tofu-ou")
    assert tofu.recipe == PUBLISHED["tofu-ou"]
    assert [s.n_steps for s in tofu.recipe.stops(400)] == [0, 13]
    changed = Relearn(like="tofu-ou", steps=(0, 8), learning_rate=1e-4, rows=0, batch_size=8)
    want = replace(PUBLISHED["tofu-ou"], steps=(0, 8), epochs=(), learning_rate=1e-4, batch_size=8)
    assert changed.recipe == replace(want, rows=0)
    assert find("attacks", "relearn-split")(like="tofu-ou").recipe.held_out == 0.5
    assert find("attacks", "relearn-split")(held_out=0.25).recipe.held_out == 0.25
    assert find("attacks", "relearn-lora")(like="tofu-ou").recipe.weights == "lora"
    assert find("attacks", "relearn-benign")(like="deeb-roger").recipe.held_out == 0


def test_the_page_of_each_attack_names_all_published_settings():
    (names, _) = get_args(get_type_hints(Relearn)["like"])
    assert set(get_args(names)) == PUBLISHED.keys()
    for name in ATTACKS:
        assert all(f"\n  {one} " in find("attacks", name).__doc__ for one in PUBLISHED)


def test_steps_and_epochs_at_once_are_refused():
    steps = parse_setting(Relearn, "relearn", "steps", "0,5")
    with pytest.raises(UserError, match="relearn: give steps or epochs, not both; see"):
        construct(Relearn, {"steps": steps, "epochs": (1,)})
    with pytest.raises(UserError, match="is not a list of whole number, at least 0"):
        parse_setting(Relearn, "relearn", "epochs", "-1")


# What is held out.


def test_a_division_is_one_and_few_rows_are_among_many():
    for n_rows, share, n_held in ((2, 0.5, 1), (9, 0.5, 4), (9, 1.0, 8), (9, 0.01, 1)):
        taught, held_out = divided(n_rows, n_beside(n_rows, share), seed=3)
        assert sorted([*taught, *held_out]) == list(range(n_rows))
        assert len(held_out) == n_held
    assert divided(9, 5, 3) == divided(9, 5, 3) != divided(9, 5, 4)


def test_what_was_taught_is_not_scored_in_rows_and_splits():
    model, given = tiny_model(), forget_set(n_rows=6)
    texts = [model.decode(given.rows.suffix(row)) for row in range(6)]
    plain = Template("plain", prompt="{question}")

    def split(name, role="forget", question="t4", answers=texts, first=0):
        items = tuple(Item(f"row-{first + i}", question, text) for i, text in enumerate(answers))
        return Split(name, role, items, plain)

    others = [texts[-1], *texts[:-1]]
    splits = (
        split("forget"),
        split("elsewhere", answers=others),  # other items under the rows' names
        split("holdout", "holdout", answers=others),
        split("rephrased", question="t5 t6"),
        split("part", answers=texts[:2]),
        split("unknown", first=10),
        split("whole", question="", answers=[model.decode(given.rows.tokens(i)) for i in range(6)]),
    )
    context = TaskContext(given, {}, splits=splits)
    (point,) = find("attacks", "relearn-split")(steps=(0,)).apply(model, Target(given, context))
    taught, held_out = divided(6, 3, 42)
    scored = [given.rows.doc_ids[row] for row in held_out]
    assert list(point.context.forget_set.rows.doc_ids) == scored
    assert point.facts["rows_scored"] == point.facts["rows"] == len(taught) == 3
    named = {split.name: [item.doc_id for item in split.items] for split in point.context.splits}
    of_part = {"part": [i for i in scored if i in ("row-0", "row-1")]}
    assert named == {
        "forget": scored,
        "holdout": [f"row-{i}" for i in range(6)],
        "rephrased": scored,
        "whole": scored,
        **{name: ids for name, ids in of_part.items() if ids},
    }
    pairs = given.pairs()
    assert point.context.forget_set.pairs().doc_ids == pairs.select(held_out).doc_ids
    assert held_out_context(model, context, list(range(6))).splits[0].items == splits[0].items


def test_an_item_that_says_what_was_taught_is_not_held_out():
    model, given = tiny_model(), forget_set(n_rows=6)
    taught, (first, *others) = divided(6, 3, 42)
    ids, rows = given.rows.input_ids.clone(), given.rows
    ids[first] = ids[taught[0]]  # two rows say the same
    given = replace(given, rows=replace(rows, input_ids=ids, lengths=rows.lengths.clone()))
    texts = [model.decode(given.rows.suffix(row)) for row in range(6)]
    items = tuple(Item(f"row-{i}", "t4", text) for i, text in enumerate(texts))
    split = Split("forget", "forget", items, Template("plain", prompt="{question}"))
    target = Target(given, TaskContext(given, {}, splits=(split,)))
    (point,) = find("attacks", "relearn-split")(steps=(0,)).apply(model, target)
    assert [i.doc_id for i in point.context.splits[0].items] == [f"row-{row}" for row in others]


def test_without_held_out_rows_all_is_scored():
    given = target()
    for name in ("relearn", "relearn-benign", "relearn-text"):
        (point,) = find("attacks", name)(steps=(1,)).apply(tiny_model(), given)
        assert point.context is given.context


# Harmless rows.


def test_text_rows_are_windows_with_bos_whose_tokens_all_count():
    model = tiny_model("llama")
    rows = text_rows(model, DOCUMENTS, 16, 5, seed=1)
    start = int(model.bos_token_id_to_prepend is not None)
    assert start == rows.n_bos == 1
    assert rows.input_ids[:, 0].tolist() == [1] * 5
    assert rows.n_given.tolist() == [1] * 5
    assert rows.lengths.tolist() == [16, 16, 11, 16, 16]
    first = drawn(3, 1, "documents")[0]
    words = [int(word[1:]) for word in DOCUMENTS[first].split()]
    assert [t for row in range(3) for t in rows.tokens(row)] == words
    assert len(text_rows(model, DOCUMENTS, 16, 100, seed=1)) == 9


def test_benign_rows_are_the_pools():
    given = target()
    attack = find("attacks", "relearn-benign")(rows=4)
    rows = attack.trained_rows(tiny_model(), given)
    assert set(rows.doc_ids) <= set(given.forget_set.pool.doc_ids)
    assert len(rows) == 4
    assert len(replace(attack, rows=None).trained_rows(tiny_model(), given)) == 6
    assert len(replace(attack, rows=100).trained_rows(tiny_model(), given)) == 9
    assert len(replace(attack, rows=0).trained_rows(tiny_model(), given)) == 9
    assert len(replace(attack, rows=None, like="tofu-ou").trained_rows(tiny_model(), given)) == 6


def test_text_rows_are_as_many_as_told():
    text, model, given = find("attacks", "relearn-text"), tiny_model(), target()
    n_rows = {n: len(text(rows=n).trained_rows(model, given)) for n in (None, 2, 0)}
    every = text_rows(model, DOCUMENTS, 16, None, seed=42)
    assert n_rows == {None: 6, 2: 2, 0: len(every)}
    assert len(every) == 9
    assert len(text(rows=0).trained_rows(model, target(n_rows=2))) == 9


def test_a_page_says_on_how_many_rows_is_trained_without_a_word():
    for name in ("relearn-benign", "relearn-text"):
        page = find("attacks", name).__doc__
        assert "all rows" not in page
        assert page.count("  as many rows as are to be forgotten, ") == 5
    assert "  tofu-ou     all rows, " in find("attacks", "relearn").__doc__


# What is refused.


def check(name, model=None, n_rows=4, n_pool=4, **settings):
    source = SimpleNamespace(
        targets=lambda _run: range(n_rows),
        pool=lambda _run: range(n_pool),
        title=lambda _run: "one",
    )
    find("attacks", name)(**settings).check(model or tiny_model(), source, "0", ())


def test_one_row_cannot_be_divided():
    with pytest.raises(UserError, match="relearn-split: forget set 'one' has one row"):
        check("relearn-split", n_rows=1)
    check("relearn", n_rows=1)
    with pytest.raises(UserError, match="forget set 'fake' has one row"):
        next(Relearn(held_out=0.5).apply(tiny_model(), target(n_rows=1)))


def test_without_a_pool_there_are_no_retain_rows():
    with pytest.raises(UserError, match=r"relearn-benign: .*no pool .*--pool FILE"):
        check("relearn-benign", n_pool=0)
    check("relearn", n_pool=0)
    given = target()
    empty = replace(given.forget_set, pool=given.forget_set.pool.select([]))
    with pytest.raises(UserError, match="has no pool"):
        next(
            find("attacks", "relearn-benign")().apply(
                tiny_model(), replace(given, forget_set=empty)
            )
        )


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, r"\(there is none\)"),
        ({"pile": DOCUMENTS}, "there are: pile"),
        ({"wikitext": ("t4",)}, "two tokens"),
    ],
)
def test_a_text_that_is_not_there_is_named(texts, said):
    given = target()
    given = replace(given, context=replace(given.context, texts=texts))
    with pytest.raises(UserError, match=f"relearn-text: .*{said}.*--text wikitext=FILE"):
        next(find("attacks", "relearn-text")().apply(tiny_model(), given))


def test_adapters_need_peft_and_linear_layers(monkeypatch):
    check("relearn-lora")
    bare = tiny_model()
    bare.network.transformer.h = torch.nn.ModuleList()
    with pytest.raises(UserError, match=r"no linear layer .*relearn-lora.weights=all"):
        check("relearn-lora", model=bare)
    monkeypatch.setattr("unlearnbench.models.adapter_folder.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"relearn.weights=lora needs peft: pip install"):
        check("relearn", weights="lora")
    check("relearn-lora", rank=0)
    check("relearn")


def test_a_pair_of_networks_is_refused():
    model = tiny_model()
    decode_as_pair(model, tiny_model(seed=1), 1.0)
    with pytest.raises(UserError, match="relearn: the model answers as a pair of networks"):
        list(Relearn(steps=(0,)).apply(model, target()))


def test_splits_that_cannot_be_divided_are_warned_of():
    model = tiny_model()
    rows = forget_set().rows

    class Source:
        def title(self, run):
            return f"one/{run}"

        def targets(self, run):
            return self

        def pool(self, run):
            return self

        def __len__(self):
            return len(rows)

        def encode(self, model, protocol):
            return rows

    known = tuple(Item(d, "t4", model.decode(rows.suffix(i))) for i, d in enumerate(rows.doc_ids))
    splits = [
        Split("forget", "forget", known),
        Split("questions", "forget", (Item("7", "t4", "t5"),)),
        Split("retain", "retain", (Item("7", "t4", "t5"),)),
    ]
    with pytest.warns(UserWarning, match="the split 'questions' of one/0 is not measured") as said:
        find("attacks", "relearn-split")().check(model, Source(), "0", splits)
    assert len(said) == 1


def test_settings_can_be_stored():
    """A cell keeps them as JSON, and makes the attack of them again."""
    attack = Relearn(like="ethz", steps=(1, 2))
    assert Relearn(**asdict(attack)) == attack
    assert Protocol().loss_span == "suffix"


def test_layers_that_peft_does_not_know_are_named():
    model = language_model("mamba")
    with pytest.raises(UserError, match="peft puts no adapters into MambaForCausalLM"):
        states(model, Recipe(steps=(1,), weights="lora"))
