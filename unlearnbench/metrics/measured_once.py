"""What is measured of a model before anything is trained, kept for the runs that ask it again.

The stop line and the first examination are the same for every method, and take longer than all
else that stands before the first training step.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.files.cache import cache_root, read_entry, write_entry
from unlearnbench.models.devices.meter import PhaseCost

if TYPE_CHECKING:
    from unlearnbench.models.devices.meter import Meter

Costs = dict[str, PhaseCost]


def measured_once(kind: str, what: Any, meter: "Meter", measure: Callable[[], Any]) -> Any:
    """The JSON that `measure` gives, from the cache if it was measured there before.

    `what` is JSON, too, and names all that can change the answer but the software, which is added
    here.  The cost of measuring is put on the meter each time: what a cell reports does not depend
    on which one was first.  An answer that is damaged is measured again.
    """
    path = cache_root() / kind / f"{_sha256(what)}.json"
    content = read_entry(path)
    if content is not None:
        kept = json.loads(content)
        _add(meter, {name: PhaseCost(**cost) for name, cost in kept["costs"].items()})
        return kept["answer"]
    before = {name: replace(cost) for name, cost in meter.phases.items()}
    answer = measure()
    costs = {name: asdict(cost) for name, cost in _since(before, meter).items()}
    write_entry(path, json.dumps({"answer": answer, "costs": costs}).encode())
    # As whoever finds it in the cache will read it.
    return json.loads(json.dumps(answer))


def _sha256(what: Any) -> str:
    from unlearnbench.files.software import harness_sha256, package_versions
    from unlearnbench.files.strict_json import canonical

    question = [package_versions(), harness_sha256(), _processor(), what]
    return sha256(canonical(question).encode()).hexdigest()


def _processor() -> str:
    """What rounds as this machine does, and takes as long: its processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = {line for line in lines if line.startswith("model name")}
    return f"{platform.machine()} {platform.processor()} {sorted(names)}"


def _since(before: Costs, meter: "Meter") -> Costs:
    """What the phases have cost since then, without a phase around them, which got shorter."""
    spent = {}
    for name, now in meter.phases.items():
        then = before.get(name, PhaseCost())
        cost = PhaseCost(
            forward_tokens=now.forward_tokens - then.forward_tokens,
            generated_tokens=now.generated_tokens - then.generated_tokens,
            seconds=now.seconds - then.seconds,
            peak_memory_bytes=now.peak_memory_bytes,
        )
        if cost.seconds > 0 or cost.forward_tokens or cost.generated_tokens:
            spent[name] = cost
    return spent


def _add(meter: "Meter", costs: Costs) -> None:
    for name, cost in costs.items():
        total = meter.phases.setdefault(name, PhaseCost())
        total.forward_tokens += cost.forward_tokens
        total.generated_tokens += cost.generated_tokens
        total.seconds += cost.seconds
        total.peak_memory_bytes = max(total.peak_memory_bytes, cost.peak_memory_bytes)
