"""Whether every weight of a network is a number."""

from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def check_finite(network: "nn.Module", where: Path) -> None:
    """Raises `UserError` for a weight that is no number: every loss would be none either.

    `where` the weights were read from stands in the message.
    """
    for name, values in network.named_parameters():
        # The sum of squares of large finite weights may overflow, their extremes cannot.
        low, high = values.detach().aminmax() if values.numel() else (values.sum(),) * 2
        if not bool(low.isfinite() & high.isfinite()):
            raise UserError(
                f"the weights in {where} hold NaN or infinity ({name}); download or copy them "
                "again, or train them again"
            )
