"""LoRA: what full rank can reach, merging, what is left of it afterwards, and what it refuses."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from unlearning_fakes import MaExaminer, forget_set, random_sequences, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.saving import save_model
from unlearnbench.registry import find
from unlearnbench.running.checks import shapes_of
from unlearnbench.wrappers.lora import Lora

NEVER = StopLine(el=-1.0, ma=-1.0)


class Toy(nn.Module):
    """y = W x."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)
        text = SimpleNamespace(tie_word_embeddings=False)
        self.config = SimpleNamespace(model_type="toy", get_text_config=lambda: text)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(12.0).reshape(3, 4) / 12)
        self.double()

    def get_output_embeddings(self):
        return None

    def forward(self, x):
        return self.layer(x)


def toy_model():
    source = SimpleNamespace(location="toy")
    return SimpleNamespace(network=Toy(), source=source, saved_beside={}, saved_instead=None)


def toy_data():
    dice = torch.Generator().manual_seed(2)
    return tuple(torch.randn(20, n, generator=dice, dtype=torch.float64) for n in (4, 3))


def fitted(network):
    """The weights' least squares, by Newton-like steps until nothing changes."""
    x, y = toy_data()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(
        trained,
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = ((network(x) - y) ** 2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def test_of_full_rank_it_converges_to_what_training_the_layer_converges_to():
    """The least squares of a linear layer are one matrix, and a full B A reaches every one."""
    x, y = toy_data()
    want = torch.linalg.lstsq(x, y).solution.T
    plain = Toy()
    fitted(plain)
    torch.testing.assert_close(plain.layer.weight.detach(), want, rtol=0, atol=1e-6)
    full, lower = toy_model(), toy_model()
    for model, rank in ((full, 3), (lower, 1)):
        with Lora(rank=rank, target_modules=("layer",)).around(model, seed=1):
            fitted(model.network)
    torch.testing.assert_close(full.network.layer.weight.detach(), want, rtol=0, atol=1e-6)
    assert float((lower.network.layer.weight - want).detach().abs().max()) > 1e-2


def test_one_gradient_step_of_full_rank_with_an_orthogonal_a_is_that_of_the_layer():
    """dL/dB = s G A^T with s = alpha / rank, so that s B A moves by -eta s^2 G A^T A = -eta G."""
    (x, y), eta, s = toy_data(), 0.1, 2.0
    plain = Toy()
    ((plain(x) - y) ** 2).mean().backward()
    want = (plain.layer.weight - eta * plain.layer.weight.grad).detach()
    model = toy_model()
    with Lora(rank=4, alpha=4 * s, target_modules=("layer",)).around(model, seed=1):
        a = model.network.layer.lora_A["default"].weight
        with torch.no_grad():
            a.copy_(torch.linalg.qr(a).Q / s)
        trained = [p for p in model.network.parameters() if p.requires_grad]
        assert len(trained) == 2
        ((model.network(x) - y) ** 2).mean().backward()
        torch.optim.SGD(trained, lr=eta).step()
    torch.testing.assert_close(model.network.layer.weight.detach(), want, rtol=0, atol=1e-12)


def gpt2():
    model = tiny_model()
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GPT2LMHeadModel(config)
    return type(model)(network, model.tokenizer, model.source)


MODELS = {name: lambda name=name: tiny_model(name) for name in ("gpt-neo", "opt", "llama")}
MODELS["gpt2"] = gpt2


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("targets", [(), ("all-linear",)])
def test_merged_it_says_what_it_said_and_the_network_is_what_it_was(architecture, targets):
    model = MODELS[architecture]()
    network, shapes = model.network, shapes_of(model.network)
    kinds = [(name, type(module)) for name, module in network.named_modules()]
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    rows = random_sequences(3, (12,), 4, seed=5)

    def logits():
        with torch.no_grad():
            return model.logits(rows.input_ids, rows.attention_mask)

    original = logits()
    lora = Lora(rank=4, alpha=16.0, target_modules=targets)
    with model.training(), lora.around(model, seed=3):
        torch.testing.assert_close(logits(), original, rtol=0, atol=1e-6)  # B is zero
        trained = [p for p in network.parameters() if p.requires_grad]
        assert sum(p.numel() for p in trained) == lora.n_trained(MODELS[architecture]().network)
        adam = torch.optim.Adam(trained, lr=1e-2)
        for _ in range(5):
            adam.zero_grad()
            (
                -model.logits(rows.input_ids, rows.attention_mask).log_softmax(-1)[..., 5].mean()
            ).backward()
            adam.step()
        assert acts_by_weights_alone(network)
        adapted = logits()
    torch.testing.assert_close(logits(), adapted, rtol=0, atol=1e-5)
    assert float((adapted - original).abs().max()) > 1e-2
    assert model.network is network
    assert shapes_of(network) == shapes
    assert [(name, type(module)) for name, module in network.named_modules()] == kinds
    assert not hasattr(network, "peft_config")
    assert all(p.requires_grad for p in network.parameters())
    targeted = {f"{name}.weight" for name in lora.targets(network)}
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == targeted


def test_training_moves_the_targets_alone_and_the_seed_decides():
    def run(seed):
        model = tiny_model()
        method = find("methods", "icu+lora")(
            learning_rate=1e-2,
            max_epochs=2,
            batch_size=3,
            seed=seed,
            lora_target_modules=("out_proj",),
        )
        before = torch.get_rng_state()
        trace = method.unlearn(model, forget_set(n_rows=7), MaExaminer(NEVER))
        assert torch.equal(before, torch.get_rng_state())
        return dict(model.network.named_parameters()), trace

    (one, trace), (again, _), (other, _) = run(1), run(1), run(2)
    was = dict(tiny_model().network.named_parameters())
    moved = {name for name in was if not torch.equal(one[name], was[name])}
    assert moved == {f"transformer.h.{i}.attn.attention.out_proj.weight" for i in (0, 1)}
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)
    assert trace.epochs[2].losses["target"] < trace.epochs[1].losses["target"]


def test_a_module_that_is_not_there_names_the_nearest():
    with pytest.raises(
        UserError, match=r"unknown linear layer of GPTNeo.* 'q_prj' \(did you mean 'q_proj'"
    ):
        Lora(target_modules=("q_prj",)).check(None, lambda: tiny_model().network)


def test_a_tied_head_takes_no_adapter_and_a_head_of_its_own_does():
    with pytest.raises(UserError, match="'lm_head'"):
        Lora(target_modules=("lm_head",)).targets(tiny_model("gpt-neo").network)
    assert list(Lora(target_modules=("lm_head",)).targets(tiny_model("llama").network)) == [
        "lm_head"
    ]


def test_without_peft_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("unlearnbench.models.adapter_folder.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[lora\]'"):
        Lora().check(None, lambda: None)


def test_a_kept_adapter_is_one_that_peft_reads(tmp_path):
    from peft import PeftModel

    model = tiny_model()
    method = find("methods", "kumpr+lora")(learning_rate=1e-2, max_epochs=2, lora_keep="adapter")
    method.unlearn(model, forget_set(), MaExaminer(NEVER))
    save_model(model, tmp_path / "kept")
    read = PeftModel.from_pretrained(tiny_model().network, str(tmp_path / "kept" / "adapter"))
    rows = random_sequences(3, (12,), 4, seed=5)
    with torch.no_grad():
        got = read(input_ids=rows.input_ids).logits
        want = model.network(input_ids=rows.input_ids).logits
        original = tiny_model().network(input_ids=rows.input_ids).logits
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert float((want - original).abs().max()) > 1e-3
    assert (tmp_path / "kept" / "model.safetensors").is_file()


def test_a_method_that_chooses_what_is_trained_is_refused():
    network = tiny_model().network
    Lora().check(find("methods", "rmu+lora")(), lambda: network)
    with pytest.raises(UserError, match=r"rmu\+lora with these settings chooses which weights"):
        Lora().check(find("methods", "rmu+lora")(trained="q_proj"), lambda: network)
