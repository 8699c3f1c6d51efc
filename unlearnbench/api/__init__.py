"""What `import unlearnbench as ub` offers: the command line's steps as functions of Python.

Every function checks its options as the command line checks its flags, with the same errors;
prints nothing unless asked for; and leaves the process as it was: random generators, torch's
threads and flags, folder and environment.  Warnings come by `warnings`.
"""

from unlearnbench.api.grids import attack, meta, run
from unlearnbench.api.in_memory import (
    LoadedForgetSet,
    evaluate,
    load_forget_set,
    load_model,
    make_examiner,
    unlearn,
)
from unlearnbench.api.requests import forget

__all__ = [
    "LoadedForgetSet",
    "attack",
    "evaluate",
    "forget",
    "load_forget_set",
    "load_model",
    "make_examiner",
    "meta",
    "run",
    "unlearn",
]
