"""Making the models that are not shipped: retrainings of the last stage, and pools.

Each is written whole into the cache when it is done, so that a build that was stopped goes on
where it was.
"""

import contextlib
import dataclasses
import io
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from unlearnbench.errors import UserError, unknown
from unlearnbench.nano import pools
from unlearnbench.nano.builder.recipes import ON_DEMAND, RECIPES, Recipe
from unlearnbench.nano.builder.tofu import TOFU_ON_DEMAND, TofuRecipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Fuse = Callable[..., None]
_STARTS_FROM = "nano-neo"  # whose first stage the models of rows share
MADE = (*ON_DEMAND, *TOFU_ON_DEMAND)


def build_on_demand(
    models: Sequence[str],
    folder: Path,
    fuse: Fuse,
    jobs: int,
    scale: float,
    say: Callable[[str], None],
) -> None:
    """Make the named models, all if none is named, that are not in `folder` yet.

    So many `jobs` are trained side by side, each on one thread.  `say` is told what is done.
    Raises `UserError` for a name that is none of them, and for a folder that cannot be written.
    """
    names = list(models or MADE)
    for name in names:
        if name not in MADE:
            raise unknown("model", name, MADE, "unlearnbench nano build --help")
    missing = [name for name in names if not is_made(name, folder, scale)]
    say(f"{len(missing)} of {len(names)} models are to be made in {folder}")
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write models to {folder} ({error.strerror}); set UNLEARNBENCH_CACHE to "
            "another folder, or give --out"
        ) from error
    # A worker goes on when its terminal is interrupted: this process stops it, at once.
    workers = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_ignore_interrupts)
    try:
        _make_all(missing, workers, partial(_make, folder=folder, fuse=fuse, scale=scale), say)
    except BaseException:
        for process in list((workers._processes or {}).values()):
            process.terminate()
        workers.shutdown(wait=False, cancel_futures=True)
        raise
    workers.shutdown()


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_all(
    missing: Sequence[str],
    workers: ProcessPoolExecutor,
    make: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Whatever needs no first stage is trained beside it, the others after it."""
    of_rows = [name for name in missing if name in ON_DEMAND]
    others = [name for name in missing if name not in ON_DEMAND]
    began, n_made = time.monotonic(), 0
    running: dict[Future[None], str] = {}

    def submit(names: Sequence[str]) -> None:
        running.update({workers.submit(make, name): name for name in names})

    submit([pools.FIRST_STAGE] if of_rows else [])
    submit(others)
    while running:
        done = next(as_completed(running))
        name = running.pop(done)
        done.result()
        if name == pools.FIRST_STAGE:
            submit(of_rows)
            continue
        n_made += 1
        minutes = (time.monotonic() - began) / 60
        say(f"{name} is made ({n_made} of {len(missing)}, {minutes:.0f} min)")


def is_made(name: str, folder: Path, scale: float = 1.0) -> bool:
    """Whether a model is there, made by the recipe that it has now."""
    try:
        record = json.loads((folder / name / "recipe.json").read_text())
    except (OSError, ValueError):
        return False
    recipe = json.loads(json.dumps(dataclasses.asdict(_recipe(name, scale))))
    return isinstance(record, Mapping) and record.get("recipe") == recipe


def _recipe(name: str, scale: float) -> Recipe | TofuRecipe:
    from unlearnbench.nano.builder.build import scaled

    if name in TOFU_ON_DEMAND:
        return scaled(TOFU_ON_DEMAND[name], scale)
    if name == pools.FIRST_STAGE:
        recipe = dataclasses.replace(RECIPES[_STARTS_FROM], name=name)
        recipe = dataclasses.replace(recipe, stages=recipe.stages[:1])
    else:
        recipe = ON_DEMAND[name]
    return dataclasses.replace(recipe, stages=tuple(scaled(s, scale) for s in recipe.stages))


def _make(name: str, folder: Path, fuse: Fuse, scale: float) -> None:
    """Make one model, in a process of its own, unless another build has made it by now."""
    with FileLock(folder / f".{name}.lock"):
        for left in folder.glob(f".{name}-*"):  # by a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        if not is_made(name, folder, scale):
            _make_anew(name, folder, fuse, scale)


def _make_anew(name: str, folder: Path, fuse: Fuse, scale: float) -> None:
    """Make one model and put it in its place when it is whole."""
    from unlearnbench.nano.builder.build import one_seeded_thread
    from unlearnbench.nano.builder.tofu import build_tofu_model
    from unlearnbench.nano.tokenizer import load_tokenizer

    recipe, tokenizer = _recipe(name, scale), load_tokenizer()
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch,
        contextlib.redirect_stderr(io.StringIO()),  # the bars of several would cross
        one_seeded_thread(),
    ):
        if isinstance(recipe, TofuRecipe):
            build_tofu_model(recipe, tokenizer, Path(scratch), fuse, measure_every=20)
        else:
            _build_model_of_rows(recipe, tokenizer, Path(scratch), folder, fuse)
        shutil.rmtree(folder / name, ignore_errors=True)
        (Path(scratch) / name).rename(folder / name)


def _build_model_of_rows(
    recipe: Recipe, tokenizer: "Tokenizer", out: Path, folder: Path, fuse: Fuse
) -> None:
    """Train the first stage alone, or the last one of a model that starts from it."""
    from safetensors.torch import load_file

    from unlearnbench.nano.builder.build import run_stage
    from unlearnbench.nano.builder.saving import save_model, save_recipe
    from unlearnbench.nano.builder.train import new_model
    from unlearnbench.nano.tokenizer import save_tokenizer

    model = new_model(recipe, tokenizer.get_vocab_size())
    fuse(model)
    stage = 0
    if recipe.name != pools.FIRST_STAGE:
        stage = len(recipe.stages) - 1
        weights = load_file(folder / pools.FIRST_STAGE / "model.safetensors")
        model.load_state_dict({n: w.float() for n, w in weights.items()}, strict=False)
        model.tie_weights()
    run = run_stage(model, recipe, stage, tokenizer)
    place = out / recipe.name
    save_model(model, place, run.log)
    save_tokenizer(tokenizer, place)
    save_recipe(recipe, {"text_sha256": [run.text_sha256]}, place)
