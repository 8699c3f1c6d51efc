"""Each way of each case in a fresh process, so that its peak memory is its own.

    python -m speed.comparison.processes '{"part": "training", "way": "ours", "case": {...}}'

is such a process; it prints one line of JSON.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speed.comparison.cases import Case

MODULE = "speed.comparison.processes"
ROOT = Path(__file__).resolve().parents[2]


def in_a_process(part: str, way: str, case: Case) -> dict[str, Any]:
    """What a fresh process measured; raises RuntimeError with the end of what it said."""
    asked = json.dumps({"part": part, "way": way, "case": asdict(case)})
    done = subprocess.run(
        [sys.executable, "-m", MODULE, asked],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode:
        raise RuntimeError(f"{part}, {way}, {case.title}:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def environment() -> dict[str, str]:
    """This process's environment, with the folder that holds `speed` last on the path."""
    paths = [os.environ.get("PYTHONPATH", ""), str(ROOT)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def main(asked: str) -> None:
    """Measure what is asked for and print it."""
    from speed.comparison import training, validation

    told = json.loads(asked)
    part = {"validation": validation, "training": training}[told["part"]]
    print(json.dumps(part.measured(Case(**told["case"]), told["way"])))


if __name__ == "__main__":
    main(sys.argv[1])
