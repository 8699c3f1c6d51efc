"""Costs by phase: what a phase holds counts for it, and not for the phase around or inside it."""

import time
from pathlib import Path

import pytest
import torch

from unlearnbench.models.devices import meter as meters
from unlearnbench.models.devices.meter import Meter

MIB = 1 << 20
BLOCK = 200 * MIB


@pytest.fixture
def resettable_peak() -> None:
    """Only where the process's peak memory can be set back to what it holds now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        pytest.skip(f"/proc/self/clear_refs cannot be written: {error}")
    if torch.cuda.is_initialized():
        pytest.skip("memory is counted on the GPU in this process")


def hold_a_block() -> None:
    """Take memory, touch every page of it, and give it back."""
    block = bytearray(BLOCK)
    block[:: 1 << 12] = b"x" * len(range(0, BLOCK, 1 << 12))


def peaks(meter: Meter) -> tuple[int, int]:
    """Of the outer and the inner phase, bytes."""
    outer, inner = meter.phases["outer"], meter.phases["inner"]
    return outer.peak_memory_bytes, inner.peak_memory_bytes


@pytest.mark.usefixtures("resettable_peak")
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_outer_phase_keeps_its_own_peak(when: str) -> None:
    meter = Meter()
    with meter.phase("outer"):
        if when == "before":
            hold_a_block()
        with meter.phase("inner"):
            pass
        if when == "after":
            hold_a_block()
    outer, inner = peaks(meter)
    assert outer - inner > 0.9 * BLOCK


@pytest.mark.usefixtures("resettable_peak")
def test_the_inner_phases_peak_is_not_the_outer_ones() -> None:
    meter = Meter()
    with meter.phase("outer"), meter.phase("inner"):
        hold_a_block()
    outer, inner = peaks(meter)
    assert inner - outer > 0.9 * BLOCK


def test_seconds_and_tokens_go_to_the_innermost_phase() -> None:
    meter = Meter()
    with meter.phase("outer"):
        meter.count_forward(3)
        with meter.phase("inner"):
            meter.count_forward(5)
            meter.count_generated(2)
            time.sleep(0.05)
    outer, inner = meter.phases["outer"], meter.phases["inner"]
    assert (outer.forward_tokens, inner.forward_tokens, inner.generated_tokens) == (3, 5, 2)
    assert outer.seconds < 0.05 <= inner.seconds
    assert set(meter.phases) == {"outer", "inner"}


def test_memory_of_every_gpu_counts_and_none_means_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resident = meters.peak_memory_bytes()
    held = {0: 0, 1: 7 * MIB}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(held))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", held.__getitem__)
    assert meters.peak_memory_bytes() == 7 * MIB, "a model on the second GPU"
    held[1] = 0
    assert meters.peak_memory_bytes() >= resident > 7 * MIB, "a model on the CPU"
