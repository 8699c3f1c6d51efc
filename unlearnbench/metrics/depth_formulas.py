"""The unlearning depth score (UDS): how deep in the layers what was unlearned is gone.

Source: 'Measuring Knowledge Recoverability in Unlearned Language Models via Activation Patching'
(gnueaj/unlearning-depth-score), section 3.
"""

from collections.abc import Sequence


def knowledge_layers(lacks: Sequence[float], threshold: float = 0.05) -> list[int]:
    """FT = {l : D1_l > threshold}: where the retrained model lacks what the original knows.

    `lacks` [L] is by how many nats the original's mean log-probability of an answer drops with
    the retrained model's states of a layer in it.
    """
    return [layer for layer, lack in enumerate(lacks) if lack > threshold]


def depth_score(
    lacks: Sequence[float], losses: Sequence[float], threshold: float = 0.05
) -> float | None:
    """UDS of an item: sum of D1_l clip(D2_l / D1_l, 0, 1) over sum of D1_l, over knowledge layers.

    1 is as gone as from the retrained model, 0 all still there; None without knowledge layers.
    `losses` [L] are the same as `lacks` with the unlearned model's states; others than the
    knowledge layers' are not looked at.
    """
    layers = knowledge_layers(lacks, threshold)
    if not layers:
        return None
    erased = sum(lacks[at] * min(max(losses[at] / lacks[at], 0.0), 1.0) for at in layers)
    return erased / sum(lacks[at] for at in layers)
