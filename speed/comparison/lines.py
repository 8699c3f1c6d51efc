"""What was measured, as lines of the tables: counts, ratios, seconds, and differences of values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from speed.baseline.counts import probability_bytes, validation_tokens
from speed.comparison.cases import FULL_SET, Case
from speed.comparison.states import KNOWN
from unlearnbench.protocol import Protocol

Told = dict[str, Any]
GIB = 2**30


@dataclass(frozen=True)
class Line:
    """A quantity of both ways; `aim` is what released / ours shall at least be."""

    case: str
    quantity: str
    released: float
    ours: float
    aim: float | None = None
    machine_independent: bool = True
    unit: str = ""

    @property
    def ratio(self) -> float:
        """How many times less ours is."""
        return self.released / self.ours if self.ours else float("nan")


@dataclass(frozen=True)
class Difference:
    """The largest one between the two ways' values."""

    case: str
    quantity: str
    largest: float
    of: str


def validation_lines(case: Case, ours: Told, released: Told) -> Iterator[Line]:
    """EL and MA alone, then the whole validation."""
    ma, el = fmean(ours["scores"]["ma"]), fmean(ours["scores"]["el"])
    name = f"{case.title}, {case.state}: MA {ma:.2f}, EL {el:.2f}"
    known = 40 if ma >= KNOWN else 25 if ma >= 0.45 else None
    for part, title in (("extraction", "EL + MA"), ("whole", "validation")):
        aim = known if part == "extraction" else None
        yield _counted(name, title, "forward_tokens", released[part], ours[part], aim)
        yield _counted(name, title, "generated_tokens", released[part], ours[part])
    yield _counted(name, "validation", "bert_tokens", released["whole"], ours["whole"])
    if case.protocol == "paper":
        theirs = released_validation(ours["n_rows"])
        title = "validation, forward tokens, the released one being of 200"
        yield Line(name, title, theirs, ours["whole"]["forward_tokens"])
    for part, title in (("extraction", "EL + MA"), ("whole", "validation")):
        yield from _timed(name, title, released[part], ours[part], 20)
    yield _memory(name, "peak memory of the process", released["peak_bytes"], ours["peak_bytes"])


def released_validation(n_rows: int) -> int:
    """Forward tokens of the released code's own validation: 3,871,744 for 128 rows."""
    return validation_tokens(Protocol.named("released"), n_rows, 200, 150).forward


def training_lines(case: Case, ours: Told, released: Told) -> Iterator[Line]:
    """One epoch's passes, what is kept for the KL term, and the largest tensor of scores."""
    return _training(f"{case.title}, training, {ours['n_rows']} rows", ours, released)


def crossed_lines(told: Mapping[tuple[str, str], Told]) -> Iterator[Line]:
    """Our epoch by the paper's protocol beside the released code's own, by model and protocol."""
    for model, protocol in told:
        if protocol == "paper" and (other := told.get((model, "released"))):
            ours, released = told[model, protocol]["ours"], other["released"]
            name = f"{model}, training: ours by the paper's protocol, the released code by its own"
            yield from _training(name, ours, released)


def _training(name: str, ours: Told, released: Told) -> Iterator[Line]:
    full = probability_bytes(FULL_SET, released["length"], released["vocabulary"])
    kept = ours["kept_bytes"] + (FULL_SET - ours["n_rows"]) * ours["kept_bytes_per_row"]
    for quantity in ("forward_tokens", "backward_tokens"):
        yield _counted(name, "epoch", quantity, released["second"], ours["second"])
    once = [t["first"]["forward_tokens"] - t["second"]["forward_tokens"] for t in (released, ours)]
    yield Line(name, "once per run, forward tokens", *once)
    yield Line(name, "kept of theta_0", released["kept_bytes"], ours["kept_bytes"], unit="MiB")
    yield Line(name, f"kept of theta_0 for {FULL_SET} rows", full, kept, unit="MiB")
    title = "largest tensor over the vocabulary"
    yield Line(name, title, released["widest_bytes"], ours["widest_bytes"], unit="MiB")
    more = (full - released["kept_bytes"], kept - ours["kept_bytes"])
    yield from _training_measured(name, ours, released, more)


def _training_measured(
    name: str, ours: Told, released: Told, more: tuple[float, float]
) -> Iterator[Line]:
    """Seconds and peaks; `more` bytes would be kept of the rows that were left out."""
    wall, memory = (1 / 0.6, 1 / 0.4) if _is_of_the_aim(name) else (None, None)
    yield from _timed(name, "epoch", released["second"], ours["second"], wall)
    yield from _timed(name, "first epoch and reference", released["first"], ours["first"], None)
    peaks = (released["peak_bytes"], ours["peak_bytes"])
    yield _memory(name, "peak memory of the process", *peaks)
    title = f"peak memory with what {FULL_SET} rows keep"
    yield _memory(name, title, peaks[0] + more[0], peaks[1] + more[1], memory)


def _is_of_the_aim(name: str) -> bool:
    return any(size in name for size in ("125m", "1.3b"))


def validation_differences(case: Case, ours: Told, released: Told) -> Iterator[Difference]:
    """Of a row's score."""
    for name, values in released["scores"].items():
        pairs = zip(values, ours["scores"][name], strict=True)
        worst = max(abs(a - b) for a, b in pairs)
        yield Difference(f"{case.title}, {case.state}", name, worst, "a row's score")


def training_differences(case: Case, ours: Told, released: Told) -> Iterator[Difference]:
    """Of an epoch's mean loss, relative to the largest term."""
    for epoch, (a, b) in enumerate(zip(released["losses"], ours["losses"], strict=True), 1):
        scale = max(abs(value) for value in a.values())
        for name, value in a.items():
            worst = abs(value - b[name]) / scale
            yield Difference(f"{case.title}, epoch {epoch}", f"loss {name}", worst, "relative")


def _counted(
    case: str, title: str, field: str, released: Told, ours: Told, aim: float | None = None
) -> Line:
    words = field.replace("bert", "BERT").replace("_", " ")
    return Line(case, f"{title}, {words}", released[field], ours[field], aim)


def _timed(case: str, title: str, released: Told, ours: Told, aim: float | None) -> Iterator[Line]:
    for field, word in (("wall_seconds", "wall"), ("cpu_seconds", "CPU")):
        wanted = aim if word == "wall" else None
        values = (released[field], ours[field])
        yield Line(case, f"{title}, {word}", *values, wanted, machine_independent=False, unit="s")


def _memory(case: str, title: str, released: float, ours: float, aim: float | None = None) -> Line:
    return Line(case, title, released, ours, aim, machine_independent=False, unit="GiB")
