"""What a cell will cost at most, computed before anything runs: tokens and memory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """What the estimates are made of."""

    n_rows: int  # M, sequences to forget
    length: int  # T, tokens per sequence
    max_epochs: int
    batch_size: int
    n_parameters: int
    vocabulary: int
    bytes_per_parameter: int = 4


def training_tokens(size: Size) -> int:
    """Upper bound of forward tokens spent on optimisation.

    Each epoch shows at most three sequences of T tokens per row: the target, its
    pair, and another completion; rows that sit out and epochs saved by the stop
    rule make it less.
    """
    return 3 * size.n_rows * size.length * size.max_epochs


def examination_tokens(size: Size) -> int:
    """Upper bound of forward tokens spent on deciding what is forgotten.

    One teacher-forced pass (T), one continuation (at most T), and for EL at most
    one continuation per start position (1 + 2 + ... + T), once per epoch and once
    before the first.  A model that knows its rows costs a fraction: every start
    before the same miss shares one continuation.
    """
    per_row = 2 * size.length + size.length * (size.length + 1) // 2
    return size.n_rows * per_row * (size.max_epochs + 1)


def training_memory(size: Size) -> int:
    """Bytes while unlearning: weights, gradients, Adam's two states, and one batch's logits.

    Logits are held with their gradient, [batch, T, V] in float32, twice (target
    and pair).  The layers' activations come on top.
    """
    states = 4 * size.n_parameters * size.bytes_per_parameter
    logits = 2 * 2 * size.batch_size * size.length * size.vocabulary * 4
    return states + logits


def in_words(n_bytes: int) -> str:
    """Bytes as a person says them: '3.2 GB'."""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
