"""Perplexity against the library's own loss, window by window."""

import math
from statistics import fmean

import pytest
import torch
from extraction_cases import shared_model
from perplexity_cases import DOCUMENTS, Letters, letters_model

from unlearnbench.errors import UserError
from unlearnbench.metrics.perplexity import cut_windows, window_nll
from unlearnbench.models import scoring
from unlearnbench.models.generation import room as pass_size


def library_loss(model, ids):
    ids = torch.tensor([ids])
    with torch.no_grad():
        return float(model.network(input_ids=ids, labels=ids).loss)


@pytest.mark.parametrize(("architecture", "bos"), [("gpt-neo", None), ("llama", 1), ("opt", 1)])
def test_equals_the_librarys_loss_window_by_window(architecture, bos):
    model = letters_model(architecture, bos)
    ids = Letters()("\n\n".join(DOCUMENTS)).input_ids
    own = 20 if bos is None else 19
    windows = [ids[i : i + own] for i in range(0, len(ids), own)]
    nll = [library_loss(model, ([] if bos is None else [bos]) + w) for w in windows]
    together = window_nll(model, DOCUMENTS, window=20, batch_size=3)
    assert together == pytest.approx(nll, abs=1e-6)
    assert window_nll(model, DOCUMENTS, 20, batch_size=1) == pytest.approx(together)


def test_logits_of_a_window_are_never_whole_in_memory(monkeypatch):
    model = letters_model("llama", 1)
    expected = window_nll(model, DOCUMENTS, window=20)
    made = []
    head, forward = model.network.get_output_embeddings(), torch.nn.Linear.forward

    def noted(self, given):
        if self is head:
            made.append(given.numel() // given.shape[-1])
        return forward(self, given)

    # Not a hook: where one may change the logits, they are taken whole.
    monkeypatch.setattr(torch.nn.Linear, "forward", noted)
    monkeypatch.setattr(scoring, "_BYTES_AT_ONCE", 4 * 60 * 7)  # 7 positions
    found = window_nll(model, DOCUMENTS, window=20)
    assert found == pytest.approx(expected, rel=1e-6)
    assert max(made) == 7


def test_as_many_windows_go_together_as_there_is_room_for(monkeypatch):
    model = letters_model("gpt-neo", None)
    rows = []
    model.network.register_forward_pre_hook(
        lambda _module, _args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    together = window_nll(model, ["ab" * 100], window=20, batch_size=4)
    assert max(rows) == 4
    rows.clear()
    monkeypatch.setattr(pass_size, "_CPU_BYTES", 1)
    one_by_one = window_nll(model, ["ab" * 100], window=20, batch_size=4)
    assert set(rows) == {1}
    assert one_by_one == pytest.approx(together, rel=1e-6)


def test_windows_are_the_models_context_where_that_is_shorter():
    model = letters_model("gpt-neo", None)  # 64 positions
    assert len(window_nll(model, ["ab" * 100])) == 4


def test_a_window_must_predict_something():
    assert cut_windows([5, 6, 7], 2, None) == [[5, 6]]
    assert cut_windows([5, 6, 7], 3, 1) == [[1, 5, 6], [1, 7]]
    with pytest.raises(UserError, match="at least two tokens"):
        window_nll(letters_model("gpt-neo", None), ["a"])


def test_real_text(shared):
    model = shared_model(shared / "models" / "stories260K")
    story = "Once upon a time, there was a little girl named Lily. She loved to play outside."
    noise = "girl a named little was time, there Once upon loved She outside. to Lily play a."
    assert fmean(window_nll(model, [story])) < fmean(window_nll(model, [noise])) - math.log(3)
