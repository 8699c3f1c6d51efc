"""How many token sequences go through a network together: what a pass takes, and may take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

_FLOAT = 4  # bytes
# Of one pass.  With larger tensors a CPU is slower: they leave its cache, and from 32 MiB on the C
# library gives each back to the system, so that all its pages are made anew.
_CPU_BYTES = 16 << 20
_KEPT_BYTES = 128 << 20  # of shared keys and values on a CPU
_GPU_SHARE = 16  # a pass, and what is kept, may each take this part of a GPU's free memory


@dataclass(frozen=True)
class Room:
    """Bytes that a pass may take, and what a network of these dimensions takes of them."""

    n_rows: int  # so many always go together
    pass_bytes: int
    kept_bytes: int
    width: int  # of a hidden state
    n_layers: int
    n_heads: int
    vocabulary: int

    @classmethod
    def of(cls, model: "LanguageModel", n_rows: int) -> "Room":
        """The room there is for a model where it is now."""
        config = model.network.config.get_text_config()
        pass_bytes, kept_bytes = _CPU_BYTES, _KEPT_BYTES
        if model.device.type == "cuda":
            import torch

            # What torch holds and does not use is free as well.
            held = torch.cuda.memory_reserved(model.device)
            free = torch.cuda.mem_get_info(model.device)[0] + held
            free -= torch.cuda.memory_allocated(model.device)
            pass_bytes = kept_bytes = free // _GPU_SHARE
        return cls(
            n_rows,
            pass_bytes,
            kept_bytes,
            width=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=getattr(config, "num_attention_heads", 1),
            vocabulary=config.vocab_size,
        )

    def holds(self, n_rows: int, n_new: int, n_kept: int = 0, n_predicting: int = 0) -> bool:
        """Whether rows of `n_new` tokens after `n_kept` kept ones may go together.

        `n_predicting` positions of them all get scores over the vocabulary.
        """
        columns = n_kept + n_new
        hidden = 8 * self.width * n_new  # the four of a feed-forward layer, and their activation
        attention = 2 * self.n_heads * n_new * columns + 2 * self.width * columns  # whole in some
        scores = 2 * self.vocabulary * n_predicting
        taken = _FLOAT * (n_rows * (hidden + attention) + scores)
        return n_rows <= self.n_rows or taken <= self.pass_bytes

    def keeps(self, n_rows: int, n_tokens: int, n_later: int = 0) -> bool:
        """Whether rows may go together whose keys and values, with later tokens', are kept."""
        kept = _FLOAT * n_rows * (n_tokens + n_later) * 2 * self.width * self.n_layers
        return kept <= self.kept_bytes and self.holds(n_rows, n_tokens)

    def continues(self, n_rows: int, n_columns: int) -> bool:
        """Whether rows may be written on together, each of which keeps so many columns of its own.

        A token is drawn from scores over the vocabulary by four arrays of their size.
        """
        own = n_columns * 2 * self.width * self.n_layers
        return _FLOAT * n_rows * (own + 4 * self.vocabulary) <= self.kept_bytes
