"""The model that a run kept, OUT/models/KEY, with the results that speak of it."""

from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError, unknown
from unlearnbench.publishing.upload import Upload, left_out, model_files
from unlearnbench.results.files import Damage
from unlearnbench.results.record import Result, attacked_model_in
from unlearnbench.results.store import Store, newest

_MODELS, _ADAPTER = "models", "adapter"
_SHOWN = 5  # of the models of a folder, in one line
_SHORT = 8  # of a key's digits


@dataclass(frozen=True)
class KeptModel:
    """A kept model and what was measured of it."""

    folder: Path
    store: Store
    result: Result  # of the cell that made it

    def beside(self) -> tuple[list[Result], list[Result]]:
        """Results of the models it is compared with (before, retrained), and of it under attack.

        They are of the same rows, measured in the same way.
        """
        from unlearnbench.analysis.build_table import comparable

        results = newest(self.store.load_all(documents=False)[0])[0]
        alike, model = comparable(self.result), attacked_model_in(self.result.identity)
        references = [
            one
            for one in results
            if one.role in ("before", "retrained")
            and (one.attack is not None or comparable(one) == alike)
        ]
        attacked = [one for one in results if one.attack is not None and one.attack.model == model]
        kinds = {one.attack.name for one in attacked if one.attack is not None}
        plain = [one for one in references if one.attack is None]
        models = {attacked_model_in(one.identity) for one in plain}
        attacked += [
            one
            for one in references
            if one.attack is not None and one.attack.name in kinds and one.attack.model in models
        ]
        return plain, attacked

    def upload(self) -> Upload:
        """Model and card; raises `UserError` for what nobody could load."""
        from unlearnbench.publishing.result_card import result_card

        files = model_files(self.folder)
        if (self.folder / _ADAPTER).is_dir():
            files |= model_files(self.folder / _ADAPTER, f"{_ADAPTER}/")
        others = tuple(name for name in left_out(self.folder) if name != _ADAPTER)
        card = result_card(self.folder, self.result, *self.beside())
        about = f"{self.result.label}, seed {self.result.seed}"
        return Upload(files, card, about, others)


def is_results(folder: Path) -> bool:
    """Whether a folder is one that runs write their results into."""
    return (folder / "cells").is_dir()


def kept_model(folder: Path, method: str | None = None) -> KeptModel:
    """The kept model in OUT/models/KEY, or the one that a method made into OUT.

    Raises `UserError` for whatever else is there, and for several.
    """
    if is_results(folder):
        folder = _only(folder, method)
    elif method is not None:
        raise UserError(f"--method chooses among the models of a results folder, not of {folder}")
    place = folder.absolute()
    out = place.parent.parent
    if place.parent.name != _MODELS or not is_results(out):
        raise UserError(
            f"{folder} is no folder that `unlearnbench forget` wrote, and no OUT/models/KEY of "
            "`run --save-models`, so nothing is known to say of its model; with your own card: "
            f"hf upload USER/NAME {folder}"
        )
    store = Store(out)
    result = store.load(place.name)
    if isinstance(result, Damage):
        raise UserError(f"the result of this model cannot be read: {result.path}: {result.reason}")
    if result is None:
        raise UserError(
            f"{out} has no result of the model {place.name[:_SHORT]}…, so there is nothing to say "
            "of it; run its cell again: unlearnbench run --save-models"
        )
    if result.role != "method":
        raise UserError(f"{result.label} is no unlearned model ({result.role}); nothing to push")
    if result.status == "failed" or result.trace is None or result.trace.outcome == "collapsed":
        why = result.error or (result.trace.reason if result.trace else "it has no trace")
        raise UserError(f"{result.label} failed or collapsed ({why}): no model to hand out")
    if not place.is_dir():
        raise UserError(
            f"{folder} is not there: the model was not kept; run it again with --save-models"
        )
    return KeptModel(place, store, result)


def _only(out: Path, method: str | None) -> Path:
    """The folder of the only kept model of a results folder, or of the method's only one."""
    store = Store(out)
    every = {one.key: one for one in store.load_all(documents=False)[0]}
    kept = [every[p.name] for p in sorted((out / _MODELS).glob("*")) if p.name in every]
    if not kept:
        raise UserError(
            f"{out} holds no kept model; keep some with: unlearnbench run --save-models"
        )
    if method is not None and method not in {one.method.name for one in kept}:
        names = dict.fromkeys(one.method.name for one in kept)
        raise unknown("method with a kept model", method, names, f"ls {out / _MODELS}")
    chosen = [one for one in kept if method in (None, one.method.name)]
    if len(chosen) == 1:
        return out / _MODELS / chosen[0].key
    named = [
        f"{out / _MODELS / one.key[:_SHORT]}* ({one.label}, forget set {one.forget_set.run}, "
        f"seed {one.seed})"
        for one in chosen
    ]
    more = f"; … ({len(named) - _SHOWN} more)" if len(named) > _SHOWN else ""
    raise UserError(
        f"{out} holds {len(named)} such models; name one of them: "
        f"{'; '.join(named[:_SHOWN])}{more}; or the only one of a method: --method NAME"
    )
