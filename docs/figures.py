"""The gallery's figures: python docs/figures.py RESULTS ATTACKED.

RESULTS is the folder of tutorials/new_method.md with its attack, ATTACKED that of nano.md's panel.
"""

import sys
from pathlib import Path

from PIL import Image

from unlearnbench.cli import status_of

HERE = Path(__file__).resolve().parent / "gallery"
OF_RESULTS = ("score-bars", "trade-off", "epoch-curves", "attack-curves")
OF_ATTACKED = ("recovery-map", "leak-curves")


def draw(folder: str, name: str) -> None:
    """One figure as a small PNG: 64 colours are enough for it."""
    file = HERE / f"{name}.png"
    if status := status_of(["report", folder, f"--{name}", "-o", str(file)]):
        sys.exit(status)
    Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)


if __name__ == "__main__":
    results, attacked = sys.argv[1:]
    for figure in OF_RESULTS:
        draw(results, figure)
    for figure in OF_ATTACKED:
        draw(attacked, figure)
