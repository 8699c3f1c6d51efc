"""What a process holds before any model is loaded: measured once per set of packages."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache

from unlearnbench.files.cache import cache_root, write_atomically
from unlearnbench.results.identity import canonical
from unlearnbench.running.environment import package_versions

# Used when no process can be started to measure it: torch, transformers and the scorers.
_USUAL = 600 * 10**6

# Imports what a cell imports, and takes one step, so that the kernels' pages are there too.
_PROBE = """
import json, importlib, sys
from unlearnbench.models.devices.meter import peak_memory_bytes
for name in sys.argv[1].split(","):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
import torch
torch.set_num_threads(1)
layer = torch.nn.Linear(64, 64)
layer(torch.ones(64, 64)).log_softmax(-1).sum().backward()
torch.optim.Adam(layer.parameters()).step()
print(json.dumps(peak_memory_bytes()))
"""

_EVERY_CELL = (
    "transformers.models.gpt_neo.modeling_gpt_neo",
    "accelerate",
    "bert_score",
    "sacrebleu",
    "sentence_transformers",
    "faiss",
    "unlearnbench.running.cell_run",
)


@cache
def libraries_bytes(*more: str) -> int:
    """Resident bytes of a process that has imported what a cell needs, and `more` modules.

    Measured in a process of its own, some seconds long, and kept in the cache folder
    until a package changes.
    """
    modules = (*_EVERY_CELL, *more)
    key = hashlib.sha256(canonical([_PROBE, modules, package_versions()]).encode()).hexdigest()
    path = cache_root() / "libraries" / f"{key}.json"
    try:
        return int(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        found = _measured(modules)
    if found is None:
        return _USUAL
    write_atomically(path, json.dumps(found).encode())
    return found


def _measured(modules: tuple[str, ...]) -> int | None:
    command = [sys.executable, "-c", _PROBE, ",".join(modules)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=environment
        )
        return int(json.loads(done.stdout.strip().splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
