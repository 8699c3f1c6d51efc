"""`run --track`: which of accelerate's trackers there are, and which are installed."""

from collections.abc import Sequence

from unlearnbench.errors import UserError, unknown

#: Those whose libraries, in versions that were tried, are extras of this package.
_EXTRAS = ("tensorboard", "wandb", "mlflow")


def check_trackers(names: Sequence[str]) -> None:
    """Raise `UserError` for a tracker that accelerate does not know, or whose library is absent."""
    if not names:
        return  # accelerate takes seconds to import
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    available = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise unknown("tracker", name, LOGGER_TYPE_TO_CLASS, "unlearnbench run --help")
        if name not in available:
            package = f"'unlearnbench[{name}]'" if name in _EXTRAS else name
            raise UserError(
                f"--track {name} needs a library that is not installed: pip install {package}"
            )
