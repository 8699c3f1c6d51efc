"""What the released algorithm costs by arithmetic: tokens through the network, bytes it stores."""

from dataclasses import dataclass

from unlearnbench.protocol import Protocol

FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Tokens:
    """Tokens that go through the network, and tokens that it writes."""

    forward: int
    generated: int

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.forward + other.forward, self.generated + other.generated)


def n_beams(protocol: Protocol) -> int:
    """Of the continuation that BERTScore and BLEU read."""
    return 1 if protocol.continuation == "greedy" else 2


def start_positions(protocol: Protocol, length: int, n_given: int, n: int) -> range:
    """EL's starts t, in tokens of the row: all that leave an n-gram, or those of the suffix."""
    return range(1, length - n + 1) if protocol.el_positions == "every" else range(n_given, length)


def memorisation_tokens(n_rows: int, length: int, n_bos: int = 0) -> Tokens:
    """MA: a prompt of t tokens for each t = 1..T-1, and one token written."""
    return Tokens(n_rows * sum(t + n_bos for t in range(1, length)), n_rows * (length - 1))


def likelihood_tokens(n_rows: int, length: int, starts: range, n_bos: int = 0) -> Tokens:
    """EL: a prompt of t tokens and T-t written ones, of which the last is not read again."""
    forward = len(starts) * (length - 1 + n_bos)
    return Tokens(n_rows * forward, n_rows * sum(length - t for t in starts))


def continuation_tokens(
    n_rows: int, n_given: int, beams: int, new_tokens: int = 50, n_bos: int = 0
) -> Tokens:
    """The continuation: every beam reads the prompt again."""
    forward = beams * (n_given + n_bos + new_tokens - 1)
    return Tokens(n_rows * forward, n_rows * new_tokens)


def extraction_tokens(
    protocol: Protocol, n_rows: int, length: int, n_given: int, n: int = 10, n_bos: int = 0
) -> Tokens:
    """EL and MA of `n_rows` rows of `length` tokens (BOS not counted), none of them shared."""
    starts = start_positions(protocol, length, n_given, n)
    known = memorisation_tokens(n_rows, length, n_bos)
    return known + likelihood_tokens(n_rows, length, starts, n_bos)


def validation_tokens(
    protocol: Protocol, n_rows: int, length: int, n_given: int, n: int = 10, n_bos: int = 0
) -> Tokens:
    """EL, MA and the continuation: 3,871,744 for 128 rows of 200 as the released code has it."""
    known = extraction_tokens(protocol, n_rows, length, n_given, n, n_bos)
    return known + continuation_tokens(n_rows, n_given, n_beams(protocol), n_bos=n_bos)


def probability_bytes(n_rows: int, length: int, vocabulary: int) -> int:
    """float32 probabilities [M, L, V] of all pairs: 4.79 GiB for 128 rows of GPT-2's vocabulary."""
    return n_rows * length * vocabulary * FLOAT32
