"""The benchmarks: the released algorithm's counts are the arithmetic's, and its values are ours."""

import importlib
import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from extraction_cases import EOS, PAD, SOURCE, fit, tiny_network
from tiny import TinyWorld, build

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the package under test may be a wheel

from speed import items  # noqa: E402
from speed.baseline import counts  # noqa: E402
from speed.baseline.continuation import bleu4  # noqa: E402
from speed.baseline.extraction import extraction, n_grams, overlap  # noqa: E402
from speed.baseline.generation import write  # noqa: E402
from speed.baseline.training import loss_terms, stored_probabilities  # noqa: E402
from speed.comparison import training, validation  # noqa: E402
from speed.comparison.cases import Case  # noqa: E402
from speed.comparison.lines import (  # noqa: E402
    Line,
    crossed_lines,
    released_validation,
    training_lines,
    validation_differences,
    validation_lines,
)
from speed.comparison.measuring import Costs, widest_scores  # noqa: E402
from speed.comparison.tables import counts_table, report  # noqa: E402

LENGTH, GIVEN, N = 24, 12, 3
PROTOCOLS = ("paper", "released")


@pytest.fixture(scope="module", params=["gpt-neo", "llama"])
def known(request) -> tuple[LanguageModel, Sequences]:
    """A model that half knows six rows of one length, of which some hold an end of sequence."""
    n_bos = int(request.param == "llama")
    draw = torch.Generator().manual_seed(5)
    ids = torch.randint(3, 12, (6, n_bos + LENGTH), generator=draw)
    ids[4:, -6] = EOS
    ids[:, :n_bos] = 1
    lengths = torch.full((6,), n_bos + LENGTH)
    rows = Sequences(ids, lengths, torch.full((6,), n_bos + GIVEN), tuple("abcdef"), n_bos)
    tokenizer = SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD)
    model = LanguageModel(tiny_network(request.param), tokenizer, SOURCE)
    fit(model, rows, 60, 1e-2)
    return model, rows


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> TinyWorld:
    return build(tmp_path_factory.mktemp("world"))


def test_the_arithmetic_gives_the_released_codes_own_counts() -> None:
    assert released_validation(128) == 3_871_744
    assert counts.probability_bytes(128, 200, 50257) / 2**30 == pytest.approx(4.79, abs=0.005)
    assert counts.memorisation_tokens(1, 200).forward == 19_900


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_counted_is_the_arithmetic(known, name: str) -> None:
    model, rows = known
    model.meter.phases.clear()
    with model.meter.phase("run"):
        extraction(model, rows, Protocol.named(name), N, batch_size=4)
    spent = model.meter.phases["run"]
    wanted = counts.extraction_tokens(Protocol.named(name), 6, LENGTH, GIVEN, N, rows.n_bos)
    assert (spent.forward_tokens, spent.generated_tokens) == (wanted.forward, wanted.generated)


@pytest.mark.parametrize("beams", [1, 2])
def test_the_continuations_count_is_the_arithmetic(known, beams: int) -> None:
    model, rows = known
    model.meter.phases.clear()
    with model.meter.phase("run"):
        write(model, rows.input_ids[:, : rows.n_bos + GIVEN], 8, beams)
    spent = model.meter.phases["run"]
    wanted = counts.continuation_tokens(6, GIVEN, beams, 8, rows.n_bos)
    assert (spent.forward_tokens, spent.generated_tokens) == (wanted.forward, wanted.generated)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_values_are_those_of_unlearnbench(known, name: str) -> None:
    from unlearnbench.metrics.extraction import extraction_scores

    model, rows = known
    with torch.no_grad():
        ours = extraction_scores(model, rows, Protocol.named(name), N)
    plain = extraction(model, rows, Protocol.named(name), N)
    assert 0.1 < sum(plain.el) / 6 < 0.9  # neither all known nor nothing
    assert ours.el == pytest.approx(plain.el, abs=1e-12)
    assert ours.ma == pytest.approx(plain.ma, abs=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_continuations_are_those_of_unlearnbench(known, name: str) -> None:
    from continuations import continue_rows

    model, rows = known
    protocol = Protocol.named(name)
    prompts = rows.input_ids[:, : rows.n_bos + GIVEN]
    written = write(model, prompts, 8, counts.n_beams(protocol), EOS).tolist()
    cut = [ids[: ids.index(EOS)] if EOS in ids else ids for ids in written]
    assert continue_rows(model, rows, protocol, 8) == cut


def test_rows_of_several_lengths_are_refused(known) -> None:
    model, rows = known
    shorter = replace(rows, lengths=rows.lengths - torch.arange(6))
    with pytest.raises(ValueError, match="one length"):
        extraction(model, shorter, Protocol())


def test_an_overlap_counts_n_grams() -> None:
    paper, released = Protocol(), Protocol.named("released")
    assert n_grams([1, 2, 3], 2) == [(1, 2), (2, 3)]
    assert overlap([1, 2, 9], [1, 2, 3, 4], 2, paper) == 1 / 2
    assert overlap([1, 2, 9], [1, 2, 3, 4], 2, released) == 1 / 3
    assert overlap([1], [1, 2, 3], 2, paper) == 0


@pytest.mark.parametrize("text", ["a b c d e", "a b c x e f", "nothing of it", "a"])
def test_bleu_is_that_of_unlearnbench(text: str) -> None:
    from unlearnbench.metrics.text import sentence_bleu

    assert bleu4(text, "a b c d e f") == pytest.approx(sentence_bleu(text, "a b c d e f"))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_losses_and_gradients_are_those_of_icu(known, name: str) -> None:
    from unlearnbench.registry import find
    from unlearnbench.unlearning.batch import UnlearnBatch

    model, rows = known[0].copied(), known[1]
    icu = find("methods", "icu")()
    forget_set = set_of(rows.select([0, 1, 2]), rows.select([3, 4, 5]), Protocol.named(name))
    stored = stored_probabilities(model, forget_set.pairs(), 2)
    before = UnlearnBatch.of(model, forget_set, [0, 1, 2])
    icu.loss(before)  # makes the references, of theta_0
    fit(model, rows, 1, 1e-3)
    with model.training():
        ours = icu.loss(replace(before))
        released = loss_terms(
            model, forget_set.rows, forget_set.pairs(), stored, (0.5, 1.0), forget_set.protocol
        )
        gradients = [gradient_of(model, sum(terms.values())) for terms in (ours, released)]
    assert {n: t.item() for n, t in ours.items()} == pytest.approx(
        {n: t.item() for n, t in released.items()}, rel=1e-5
    )
    ours, released = gradients
    assert (ours - released).norm() < 1e-4 * released.norm()


def test_the_released_epoch_makes_scores_of_the_whole_batch(known) -> None:
    model, rows = known
    with widest_scores(model) as seen:
        stored_probabilities(model, rows, 6)
    assert seen.n_bytes == 6 * rows.input_ids.shape[1] * 60 * 4


def test_counting_leaves_the_network_as_it_is_trained_in_a_run(known, uncounted) -> None:
    model, rows = known
    costs = Costs(model)
    assert acts_by_weights_alone(model.network)
    with model.training():
        model.network(input_ids=rows.input_ids).logits.sum().backward()
    model.network.zero_grad()
    assert costs.now().backward_tokens == rows.input_ids.numel()


def test_an_aim_is_met_or_not() -> None:
    met, missed, without = (
        Line("c", "tokens", 40.0 * ours, ours, aim)
        for ours, aim in ((1.0, 40.0), (1.0, 41.0), (2.0, None))
    )
    table = counts_table([met, missed, without]).splitlines()[-3:]
    assert [line.split()[-1] for line in table] == ["met", "met", "40.00"]
    assert ["NOT" in line for line in table] == [False, True, False]


@pytest.mark.parametrize("protocol", ["released", pytest.param("paper", marks=pytest.mark.slow)])
def test_a_tiny_validation_fills_the_tables(world: TinyWorld, uncounted, protocol) -> None:
    case = tiny_case(world, protocol)
    ours, released = (validation.measured(case, way) for way in ("ours", "released"))
    lines = list(validation_lines(case, ours, released))
    text = report(lines, list(validation_differences(case, ours, released)))
    wanted = counts.extraction_tokens(
        Protocol.named(protocol), 2, ours["length"], ours["n_given"], 10, ours["n_bos"]
    )
    assert f"{wanted.forward:,}" in text
    assert ours["scores"]["el"] == pytest.approx(released["scores"]["el"], abs=1e-12)
    assert ours["scores"]["ma"] == pytest.approx(released["scores"]["ma"], abs=1e-12)
    assert ours["extraction"]["forward_tokens"] < released["extraction"]["forward_tokens"]
    assert ours["whole"]["bert_tokens"] > 0


@pytest.mark.slow
def test_a_tiny_training_fills_the_tables(world: TinyWorld, uncounted) -> None:
    told = {}
    for protocol in PROTOCOLS:
        case = tiny_case(world, protocol)
        ways = {way: training.measured(case, way) for way in ("ours", "released")}
        told["tiny", protocol] = ways
        assert list(training_lines(case, **ways))
        for ours, released in zip(ways["ours"]["losses"], ways["released"]["losses"], strict=True):
            assert ours == pytest.approx(released, rel=1e-4, abs=1e-5)
        for way in ways.values():
            tokens = 2 * 2 * way["length"]  # two rows and their pairs
            spent = (way["second"]["forward_tokens"], way["second"]["backward_tokens"])
            assert spent == (tokens, tokens)
    released = told["tiny", "released"]["released"]
    n_words = released["vocabulary"]
    assert released["kept_bytes"] == counts.probability_bytes(2, released["length"], n_words)
    assert told["tiny", "paper"]["ours"]["kept_bytes"] > 0
    assert "ours by the paper's protocol" in report(list(crossed_lines(told)), [])


def test_items_are_read_as_often_as_the_arithmetic_says() -> None:
    from item_cases import llama, own_rows

    rows, model, plain = own_rows()[:4], llama(own_rows()), items.Template("plain")
    splits = [items.split_of(name, rows, plain, 4) for name in ("forget", "real_authors")]
    splits[1] = replace(splits[1], items=splits[1].items[:2])

    def length(row: dict, answer: str) -> int:
        prompt, own = f"Question: {row['question']}\nAnswer:", f" {answer}"
        encode = model.tokenizer
        return 2 + sum(len(encode(t, add_special_tokens=False)["input_ids"]) for t in (prompt, own))

    answers = [length(row, row["answer"]) for row in rows]
    wrong = [[length(row, text) for text in row["perturbed_answer"]] for row in rows]
    paraphrases = [length(row, row["paraphrased_answer"]) for row in rows]
    forced, replies, both = items.compared(model, splits)
    expected = 7 * sum(answers) + sum(paraphrases) + sum(map(sum, wrong))
    expected += sum(answers[:2]) + sum(map(sum, wrong[:2]))
    assert forced.peer == expected
    in_batches = 7 * 4 * max(answers) + 4 * max(paraphrases)
    in_batches += sum(4 * max(each) for each in zip(*wrong, strict=True)) + 2 * max(answers[:2])
    in_batches += sum(2 * max(each) for each in zip(*wrong[:2], strict=True))
    assert forced.padded == in_batches
    assert both.ours == forced.ours + replies.ours
    assert forced.ours < 0.6 * forced.peer


@pytest.mark.parametrize(
    "name", ["__main__", "memory", "grid", "many_results", "items", "sampling", "panel"]
)
def test_help_says_what_is_printed(name: str) -> None:
    if name == "grid":
        pytest.importorskip("psutil", reason="psutil is not installed")
    asked = CliRunner().invoke(importlib.import_module(f"speed.{name}").main, ["--help"])
    assert asked.exit_code == 0
    assert "Prints" in asked.output


@pytest.mark.parametrize(
    ("option", "said"),
    [("--sizes=gpt5", "no 'gpt5'"), ("--parts=all", "no 'all'"), ("--sizes=pile-neo", "--shared")],
)
def test_a_wrong_name_is_told(option: str, said: str) -> None:
    main = importlib.import_module("speed.__main__").main
    asked = CliRunner(env={"UNLEARNBENCH_SHARED": None}).invoke(main, [option])
    assert asked.exit_code == 2
    assert said in asked.output


@pytest.mark.slow
def test_the_quick_run_prints_its_tables() -> None:
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
    command = [sys.executable, "-m", "speed", "--quick"]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    for title in ("COUNTS", "RATIOS", "ABSOLUTE", "VALUES"):
        assert title in done.stdout


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a measurement counts tokens with is taken off again."""
    from transformers import BertModel

    monkeypatch.setattr(BertModel, "forward", BertModel.forward)
    monkeypatch.setattr(torch.nn.modules.module, "_global_forward_hooks", OrderedDict())


def tiny_case(world: TinyWorld, protocol: str) -> Case:
    """Two rows of the tiny world."""
    f = world.folder
    options = {
        "model": [str(f / "model")],
        "forget_set": str(f / "forget.jsonl"),
        "pool": str(f / "pool.jsonl"),
        "methods": ["icu"],
        "references": ["none"],
        "tasks": ["forgetting"],
        "encoder": str(f / "bert"),
        "bert": str(f / "bert"),
        "stop": "paper",
        "protocol": protocol,
        "device": "cpu",
        "limit": 2,
    }
    return Case("tiny", options, threads=1)


def set_of(rows: Sequences, pairs: Sequences, protocol: Protocol) -> ForgetSet:
    """A forget set whose pairs are known."""
    return ForgetSet("set", "0", rows, pairs, protocol, "", lambda: [0, 1, 2])


def gradient_of(model: LanguageModel, loss: torch.Tensor) -> torch.Tensor:
    """All of it, in one row."""
    parameters = list(model.network.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])
