"""What is measured of a model before anything is trained, kept for the runs that ask it again.

The stop line and the first examination are the same for every method, and take longer than all
else that stands before the first training step.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.files.cache import cache_root, read_entry, write_entry
from unlearnbench.models.devices.meter import PhaseCost

if TYPE_CHECKING:
    from unlearnbench.models.devices.meter import Meter


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
        meter.add({name: PhaseCost(**cost) for name, cost in kept["costs"].items()})
        return kept["answer"]
    with meter.apart() as costs:
        answer = measure()
    own = {
        name: asdict(cost)
        for name, cost in costs.items()  # without a phase around them, which only got shorter
        if cost.seconds > 0 or cost.forward_tokens or cost.generated_tokens
    }
    content = json.dumps({"answer": answer, "costs": own}).encode()
    write_entry(path, content)
    return json.loads(content)["answer"]  # as whoever finds it in the cache will read it


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
