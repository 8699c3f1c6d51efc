"""Requests one after the other: has the model in which the earlier ones are forgotten."""

from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.devices.meter import Meter
from unlearnbench.running.shared_measurements import make_examiner
from unlearnbench.running.unlearned import load_kept, one_at_a_time, unlearn_and_keep

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.language_model import LanguageModel


def model_before(cell: "Cell") -> "LanguageModel":
    """The model that a cell's unlearning begins with: the original, or that of the step before.

    The kept model of that step is taken; where there is none it is unlearned again, which gives the
    same weights, at a cost that is not this cell's.  Raises `UserError` where it collapsed.
    """
    if cell.after is None:
        return cell.model.load()
    step = cell.after
    with one_at_a_time(step):
        folder = Path(step.models) / step.key if step.models is not None else None
        if folder is not None and folder.is_dir():
            return load_kept(step, folder)
        model = model_before(step)
        model.meter = Meter()
        examiner = make_examiner(step, model, is_fresh=step.after is None)
        trace = unlearn_and_keep(step, model, requested_rows(step, model), examiner, step.key)
    if trace.outcome == "collapsed":
        raise UserError(
            f"{cell.method_label} collapsed on the requests {step.run} ({trace.reason}), so there "
            f"is no model to forget {cell.request} from"
        )
    return model


def requested_rows(cell: "Cell", model: "LanguageModel") -> "ForgetSet":
    """The rows that a step unlearns; no row of an earlier request stands in their pool."""
    return cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol, cell.request)
