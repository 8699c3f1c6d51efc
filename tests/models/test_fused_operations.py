"""GPT-Neo with fused operations against transformers' own, values, gradients and continuations."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers.cache_utils import DynamicCache
from unlearning_fakes import VOCABULARY, tiny_network

from unlearnbench.models.gpt_neo import FusedSelfAttention, fuse_operations

# The window of the local layer is 8 of 16 positions.
LENGTH = 16


def both() -> tuple[Any, Any]:
    plain = tiny_network()
    fused = copy.deepcopy(plain)
    fuse_operations(fused)
    return plain, fused


def ids(n_rows: int = 3) -> torch.Tensor:
    return torch.randint(
        3, VOCABULARY, (n_rows, LENGTH), generator=torch.Generator().manual_seed(1)
    )


def masks() -> dict[str, torch.Tensor | None]:
    at = torch.arange(LENGTH)[None, :]
    right = (at < torch.tensor([[16], [11], [3]])).long()
    left = (at >= torch.tensor([[0], [5], [12]])).long()
    return {"none": None, "ones": torch.ones(3, LENGTH).long(), "right": right, "left": left}


@pytest.mark.parametrize("padding", ["none", "ones", "right", "left"])
def test_logits_and_gradients_are_those_of_the_plain_network(padding: str) -> None:
    mask = masks()[padding]
    counted = torch.ones(3, LENGTH).bool() if mask is None else mask.bool()
    found = []
    for network in both():
        logits = network(input_ids=ids(), attention_mask=mask, use_cache=False).logits
        network.zero_grad()
        logits[counted].log_softmax(-1)[:, 5].sum().backward()
        found.append((logits[counted], [p.grad.clone() for p in network.parameters()]))
    (plain, plain_gradients), (fused, fused_gradients) = found
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
    for got, want in zip(fused_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["none", "left"])
@torch.inference_mode()
def test_positions_one_by_one_and_in_pieces_are_those_of_one_pass(padding: str) -> None:
    plain, fused = both()
    mask = masks()[padding]
    want = plain(input_ids=ids(), attention_mask=mask).logits[:, 5:]
    for pieces in ([5, *[1] * 11], [5, 7, 4]):
        cache, done, found = DynamicCache(), 0, []
        for n in pieces:
            seen = None if mask is None else mask[:, : done + n]
            # positions as the plain pass has them: padding is not left out of the count
            at = torch.arange(done, done + n)[None, :]
            piece = ids()[:, done : done + n]
            found.append(
                fused(
                    input_ids=piece, attention_mask=seen, past_key_values=cache, position_ids=at
                ).logits
            )
            done += n
        counted = slice(None) if mask is None else mask[:, 5:].bool()
        got = torch.cat(found, dim=1)[:, 5:]
        torch.testing.assert_close(got[counted], want[counted], rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_sixteen_bits_attend_in_float32() -> None:
    plain, fused = (network.to(torch.bfloat16) for network in both())
    for n in (LENGTH, 1):
        a, b = (network(input_ids=ids()[:, :n]).logits.float() for network in (plain, fused))
        assert (a - b).abs().max() <= 2 * (a.abs().max() * 2**-8)


def test_attention_keeps_no_tensor_of_all_pairs_of_positions_for_the_gradient() -> None:
    kept: list[tuple[int, ...]] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    network = tiny_network()
    network.config.window_size = 64  # so that no layer needs a mask
    fuse_operations(network)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(input_ids=ids(), use_cache=False)
    assert not [shape for shape in kept if shape[-2:] == (LENGTH, LENGTH)]


def test_every_attention_and_gelu_is_replaced_and_a_copy_stays_whole() -> None:
    _, fused = both()
    copied = copy.deepcopy(fused)
    for network in (fused, copied):
        assert sum(isinstance(m, FusedSelfAttention) for m in network.modules()) == 2
        assert sum(isinstance(m, nn.GELU) for m in network.modules()) == 2
    assert torch.equal(copied(input_ids=ids()).logits, fused(input_ids=ids()).logits)


def test_weights_and_saved_configuration_are_untouched(tmp_path: Any) -> None:
    plain, fused = both()
    assert list(plain.state_dict()) == list(fused.state_dict())
    for name, network in (("plain", plain), ("fused", fused)):
        network.save_pretrained(tmp_path / name)
    assert (tmp_path / "plain/config.json").read_text() == (
        tmp_path / "fused/config.json"
    ).read_text()


def test_other_architectures_are_left_alone() -> None:
    network = tiny_network("llama")
    before = [type(m) for m in network.modules()]
    fuse_operations(network)
    assert [type(m) for m in network.modules()] == before
