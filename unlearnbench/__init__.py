"""unlearnbench compares methods that make a language model forget.

The package is light: importing it loads no torch.  See `unlearnbench.unlearning.method`
to write a method, `unlearnbench.metrics.task` for a measurement, `unlearnbench.reporting.report`
for an output format.
"""

from pathlib import Path

__version__ = "0.1.0"

# A wheel holds methods, tasks and reports inside this package; a checkout has them beside it.
_here = Path(__file__).resolve().parent
if not (_here / "methods").is_dir():
    __path__.append(str(_here.parent))
