#!/usr/bin/env python3
"""Set unlearnbench up in a virtual environment of its own, then run it or its tests.

    python3 bootstrap.py run [options of `unlearnbench run`]
    python3 bootstrap.py test [options of pytest]

Needs Python 3.11 or newer and pip, nothing else.  The environment is made in
.venv beside this file and used again the next time.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports", "--config", str(HERE / "importlinter.ini"), "--no-cache"],
)


def main():
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python runs
        sys.exit("bootstrap: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in ("run", "test"):
        sys.exit(__doc__.strip())
    os.chdir(HERE)
    if command == "run":
        install([])
        sys.exit(subprocess.call([str(BIN / "unlearnbench"), "run", *sys.argv[2:]]))
    install(["test", "lint", "types"])
    sys.exit(test(sys.argv[2:]))


def test(pytest_options):
    """Lint, types, then the tests; the first that fails decides the exit status."""
    for check in CHECKS:
        say(*check)
        # The contracts are those of the installed package: from here the checkout would be read.
        place = VENV if check[0] == "lint-imports" else HERE
        if status := subprocess.call([str(BIN / check[0]), *check[1:]], cwd=place):
            return status
    options = pytest_options or ["-n", "2", "--durations=15"]
    # Threads that wait spinning slow down whatever runs beside them, other tests included.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"} | os.environ
    # Not `python -m pytest`: with the checkout off sys.path, the installed wheel is what is tested.
    return subprocess.call([str(BIN / "pytest"), *options], env=waiting)


def install(extras):
    """Make the environment and put the package in, unless that very state is installed."""
    stamp = VENV / "installed.json"
    source = fingerprint()
    installed = json.loads(stamp.read_text()) if stamp.is_file() else {}
    if installed.get("source") == source and set(extras) <= set(installed["extras"]):
        return
    if not PYTHON.exists():
        say("making", VENV)
        subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
    say("installing; the first time takes a few minutes and about 2 GB")
    target = str(HERE) + ("[" + ",".join(extras) + "]" if extras else "")
    pip("install", "--quiet", "--constraint", constraints(), target)
    known = set(installed.get("extras", []))
    stamp.write_text(json.dumps({"source": source, "extras": sorted(known.union(extras))}))


def say(*words):
    """Talk goes to stderr; stdout is the answer's."""
    print("bootstrap:", *words, file=sys.stderr, flush=True)


def pip(*arguments):
    """Run this Python's pip on the environment: Debian's venv may lack one of its own."""
    command = [sys.executable, "-m", "pip", "--python", str(PYTHON), *arguments]
    if subprocess.call(command, stdout=sys.stderr):
        sys.exit("bootstrap: pip failed; the lines above say why (pip 22.3 or newer is needed)")


def constraints():
    """The constraints file; without its torch line where there is a GPU."""
    original = HERE / "constraints.txt"
    if shutil.which("nvidia-smi") is None:
        return str(original)
    kept = [line for line in original.read_text().splitlines() if not line.startswith("torch==")]
    copy = Path(tempfile.mkdtemp()) / "constraints.txt"
    copy.write_text("\n".join(kept) + "\n")
    return str(copy)


def fingerprint():
    """A hash over the files the installed package is made of."""
    digest = hashlib.sha256(sys.version.encode())
    roots = [
        HERE / name
        for name in (
            *("unlearnbench", "methods", "wrappers", "tasks", "attacks", "benchmarks", "reports"),
        )
    ]
    files = [f for root in roots for f in root.rglob("*") if "__pycache__" not in f.parts]
    for file in sorted(
        [*files, *(HERE / name for name in ("pyproject.toml", "setup.py", "constraints.txt"))]
    ):
        if file.is_file():
            digest.update(str(file.relative_to(HERE)).encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
