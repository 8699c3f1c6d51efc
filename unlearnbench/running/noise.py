"""Has a sham row's model: noise in place of what a method changed."""

from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.running.unlearned import kept_model, load_kept, one_at_a_time, unlearn_and_keep
from unlearnbench.unlearning.noise import Noise

if TYPE_CHECKING:
    from torch import Tensor, nn

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.examiner import Examiner

PHASE = "noise"


def put_noise(
    cell: "Cell", model: "LanguageModel", forget_set: "ForgetSet", examiner: "Examiner"
) -> "LanguageModel":
    """The model with noise as large as the method's update; the method unlearns it if need be.

    `model` is the one before unlearning.  The kept model of the method's own cell is taken where
    there is one, by the same software: unlearning again gives the same weights.
    Raises `UserError` where the method collapsed, so that there is no update to measure.
    """
    from unlearnbench.models.paired import networks_of

    assert cell.noise is not None
    with one_at_a_time(cell):
        kept = kept_model(cell)
        if kept is None:
            original = {n: p.detach().cpu().clone() for n, p in model.network.named_parameters()}
            trace = unlearn_and_keep(cell, model, forget_set, examiner, cell.model_key)
            if trace.outcome == "collapsed":
                raise UserError(
                    f"{cell.method_label} collapsed ({trace.reason}), so its update has no norm"
                )
    if kept is not None:
        original = _moved_to_the_cpu(model.network)
        with model.meter.phase("load"):
            meter, model = model.meter, load_kept(cell, kept)
            model.meter = meter
    with model.meter.phase(PHASE):
        noise = Noise(**cell.noise.settings)
        noise.replace_updates(networks_of(model), original, cell.seed)
    examiner.forget()  # what it measured while the method unlearned
    return model


def _moved_to_the_cpu(network: "nn.Module") -> "dict[str, Tensor]":
    """The network's parameters, no longer on its device: another model is to have the room."""
    for parameter in network.parameters():
        parameter.data = parameter.data.cpu()
    return {name: parameter.detach() for name, parameter in network.named_parameters()}
