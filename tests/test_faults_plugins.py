"""Plugins that misbehave: their own cell fails and says why, everything else is as without them."""

import logging
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from fault_cases import changed, errors, leftovers, methods, with_plugin
from fault_cases import undisturbed as undisturbed
from fault_cases import world as world
from tiny import cli

pytest_plugins = ["fault_cases"]

AFTER = "trace = super().unlearn(model, forget_set, examiner)\n"
RETURN = "\nreturn trace"
# What a method does -> what its cell is told to have failed of.
FAILING = {
    "raises": ("raise RuntimeError('it is\\nbroken')", "RuntimeError: it is broken"),
    "exits": ("sys.exit(0)", "SystemExit: 0"),
    "generator_exit": ("raise GeneratorExit", "GeneratorExit:"),
    "bare_base": ("raise type('Mine', (BaseException,), {})('own')", "Mine: own"),
    "unwritable": ("raise ValueError('name \\udcff')", "ValueError: name \\udcff"),
    "memory": ("torch.empty(1 << 50)", "out of memory while asking for"),
    "none": ("return None", "returned NoneType, not an UnlearnTrace"),
    "a_dict": ("return {'outcome': 'forgotten'}", "returned dict, not an UnlearnTrace"),
    "no_epochs": (
        AFTER + "return trace.model_copy(update={'n_epochs': 1})",
        "says 1 epochs, and the last in it is 2",
    ),
    "epochs_twice": (
        AFTER + "return trace.model_copy(update={'epochs': trace.epochs + trace.epochs[-1:]})",
        "the method's trace has epoch 2 after 2",
    ),
    "invalid_trace": (
        AFTER + "return UnlearnTrace.model_construct(outcome='best', n_epochs=0, epochs=[])",
        "its result cannot be stored",
    ),
    "numberless": (
        AFTER + "next(model.network.parameters()).data[0, 0] = float('nan')" + RETURN,
        "left NaN or infinite weights: transformer.wte.weight",
    ),
    "infinite": (
        AFTER + "list(model.network.parameters())[-1].data[0] = float('inf')" + RETURN,
        "left NaN or infinite weights: transformer.ln_f.bias",
    ),
    "numberless_outputs": (
        AFTER + "model.network.register_forward_hook(lambda m, a, out: "
        "setattr(out, 'logits', out.logits * float('nan')))" + RETURN,
        "measured NaN for",
    ),
    "tokens": (AFTER + "model.tokenizer.add_tokens(['new'])" + RETURN, "changed the tokenizer"),
    "ending": (AFTER + "model.tokenizer.eos_token = 'kab'" + RETURN, "changed the tokenizer"),
    "other_tokenizer": (
        AFTER + "import copy\nmodel.tokenizer = copy.deepcopy(model.tokenizer)\n"
        "model.tokenizer.add_tokens(['new'])" + RETURN,
        "changed the tokenizer",
    ),
    "resized": (
        AFTER + "model.network.resize_token_embeddings(200)" + RETURN,
        "transformer.wte.weight is float32 [200, 32], and was float32 [97, 32]",
    ),
    "half": (AFTER + "model.network.half()" + RETURN, "is float16 [97, 32]"),
    "layer": (
        AFTER + "model.network.transformer.h[0].mlp.c_fc = torch.nn.Identity()" + RETURN,
        "transformer.h.0.mlp.c_fc.weight is gone",
    ),
    "other_network": (
        AFTER + "import copy\nmodel.network = copy.deepcopy(model.network)" + RETURN,
        "replaced model.network",
    ),
    "no_network": (AFTER + "model.network = None" + RETURN, "replaced model.network"),
    "rows": (AFTER + "forget_set.rows.input_ids.zero_()" + RETURN, "changed the rows"),
}
# What a method does to the process; nobody else may notice.
STEALTHY = {
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": AFTER + "torch.set_default_device('meta')" + RETURN,
    "no_gradients": AFTER + "torch.set_grad_enabled(False)" + RETURN,
    "threads": AFTER + "torch.set_num_threads(2)" + RETURN,
    "generators": "import random\ntorch.manual_seed(0)\nrandom.seed(0)",
    "nondeterministic": "torch.use_deterministic_algorithms(False)",
    "variables": "os.environ.clear()",
    "folder": "os.chdir('/')",
    "streams": "sys.stdout = sys.stderr = sys.stdin = None",
    "closed": "sys.stdout = sys.stderr = open(os.devnull, 'w')\nsys.stdout.close()",
    "prints": "print('NOISE')",
    "signals": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
    "silence": "import logging\nlogging.disable()\nlogging.getLogger('unlearnbench').handlers = []",
    "hook": AFTER + "model.network.register_forward_hook(lambda m, a, out: None)" + RETURN,
    "configuration": AFTER + "model.network.config.eos_token_id = 5" + RETURN,
    "padding": AFTER + "model.tokenizer.pad_token = 'kab'" + RETURN,
    "nan_metrics": AFTER + "trace.epochs[-1].metrics['el'] = float('nan')" + RETURN,
    "child": "import subprocess\nsubprocess.Popen(['sleep', '3'])",
}


def test_a_method_that_misbehaves_fails_alone_and_says_of_what(undisturbed, world, tmp_path):
    text = methods(**{name: body for name, (body, _) in FAILING.items()})
    out = tmp_path / "out"
    status, table, told = cli(*with_plugin(world, tmp_path, text, out, ",".join(FAILING)))
    assert status == 1, told
    assert f"{len(FAILING) + 3} cells run, 0 from before, {len(FAILING)} failed" in told
    found = errors(out)
    said = {name: found.pop(f"Odd {name}") for name in FAILING}
    unlike = {n: said[n] for n, (_, expected) in FAILING.items() if expected not in (said[n] or "")}
    assert unlike == {}
    assert set(found.values()) == {None}
    assert changed(undisturbed[0], out) == []
    rows = table.partition("¹ best")[0]
    assert "model + Push" in rows
    assert "nan" not in rows
    assert leftovers(out) == []


def test_what_a_method_does_to_the_process_reaches_nobody(
    undisturbed, world, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ), signal.getsignal(signal.SIGINT), sys.stdout, sys.stdin
    command = with_plugin(world, tmp_path, methods(**STEALTHY), Path("out"), ",".join(STEALTHY))
    status, table, told = cli(*command)
    assert status == 0, told
    assert "Odd prints" in table
    assert "NOISE" not in table
    assert "NOISE" in told
    assert f"[{len(STEALTHY) + 3}/{len(STEALTHY) + 3}]" in told
    assert changed(undisturbed[0], tmp_path / "out") == []
    assert Path.cwd() == tmp_path
    assert (dict(os.environ), signal.getsignal(signal.SIGINT), sys.stdout, sys.stdin) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not logging.root.manager.disable
    # Whatever it was that a method did to its process, its own row was measured without it.
    assert set(errors(tmp_path / "out").values()) == {None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise RuntimeError('at import')", "failed to import: RuntimeError: at import"),
        ("import sys\nsys.exit(0)", "failed to import: SystemExit: 0"),
        ("def broken(:", "failed to import: SyntaxError"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        (methods(kumpr=""), "two methods are called 'kumpr'"),
        (methods(push=""), "two methods are called 'push'"),
        ("\0", "failed to import"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told_before_anything_runs(world, tmp_path, text, told):
    status, table, error = cli(*with_plugin(world, tmp_path, text, tmp_path / "out", ""))
    assert (status, table) == (2, "")
    assert told in error
    assert "odd.py" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_constructor_that_raises_is_told_before_anything_runs(world, tmp_path):
    text = methods(odd="") + "\n    def __post_init__(self):\n        raise ValueError('no such')\n"
    status, table, told = cli(*with_plugin(world, tmp_path, text, tmp_path / "out", "odd"))
    assert (status, table) == (2, "")
    assert told == "unlearnbench: error: odd: no such; see: unlearnbench show odd\n"


TASK = '''
from dataclasses import dataclass
from unlearnbench.registry import register
from unlearnbench.metrics.task import Metric, Score, Task


@register
@dataclass(kw_only=True)
class OddTask(Task):
    """A task that misbehaves."""

    name = "odd"
    metrics = (Metric("m", "M", higher_is_better=True),)

    def measure(self, model, context):
        {body}


def score(value, **more):
    return {{"m": Score(value=value, n=1, higher_is_better=True, **more)}}
'''


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("return None", "task 'odd' returned NoneType"),
        ("return {'m': 0.5}", "task 'odd' returned float for 'm'"),
        ("return score(float('nan'))", "task 'odd' measured NaN for 'm'"),
        ("return score('high')", "ValidationError"),
        ("return {'other': score(1.0)['m']}", "'other', which is none of its metrics"),
        ("return score(1.0, documents={'a': 1.0, 'b': 1.0})", "documents: 2, where n is 1"),
        ("return score(1.0, parts=['x'])", "'m': a mean of 'x', which was not returned"),
        ("return score(float('inf'))", None),
    ],
)
def test_a_task_that_misbehaves_fails_the_cell_and_says_of_what(world, tmp_path, body, told):
    file = tmp_path / "odd.py"
    file.write_text(TASK.format(body=body))
    options = [*world.options(tmp_path / "out", methods="kumpr"), "--plugin", file]
    options[options.index("--tasks") + 1] = "forgetting,odd"
    status, table, said = cli(*options, "--references", "none")
    (error,) = errors(tmp_path / "out").values()
    if told is None:
        assert (status, error) == (0, None)
        assert "KUMPR" in table
    else:
        assert (status, table) == (1, "")
        assert told in error
        assert told in said
