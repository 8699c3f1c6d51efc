"""A model as a run needs it before any weights are loaded: identity, size, device, dtype."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unlearnbench.experiments.strategy import strategy_of
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.models.devices.device import choose_device, choose_dtype
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.language_model import ModelSource

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class ModelChoice:
    """A model that a run will load, once per cell."""

    asked: str  # alias, hub id or path, as `load_model` takes it
    source: ModelSource
    architecture: str
    n_parameters: int
    vocabulary: int
    dtype: str
    device: str
    device_name: str
    trust_remote_code: bool
    allow_pickle: bool = False
    strategy: Strategy = field(default_factory=Strategy)

    @property
    def alias(self) -> ModelAlias | None:
        """The short name's record, if it was asked for by one."""
        return aliases().get(self.asked)

    @property
    def family(self) -> str:
        """How rows of a table call it: 'NEO'; its own name if it is none of the paper's."""
        return self.alias.family if self.alias else self.source.name.rpartition("/")[2]

    @property
    def is_nano(self) -> bool:
        """Whether it is one of the models that come with unlearnbench."""
        return self.alias is not None and self.alias.hub_id is None

    @property
    def identity(self) -> dict[str, Any]:
        """What of the model can change a number; where it was found cannot."""
        return {
            "weights_sha256": self.source.weights_sha256,
            "dtype": self.dtype,
            "device": self.device_name,
        }

    def load(self) -> "LanguageModel":
        """The model in memory, fresh from its files."""
        from unlearnbench.models.loading import load_model

        dtype: Any = self.dtype
        return load_model(
            self.asked,
            self.source.revision,
            self.device,
            dtype,
            self.trust_remote_code,
            self.allow_pickle,
        )


def choose_model(experiment: "Experiment", name: str, download: bool = True) -> ModelChoice:
    """Look a model up without loading it; fetch it from the hub if need be.

    Raises `UserError` where it cannot be had.
    """
    from unlearnbench.models.loading import model_facts
    from unlearnbench.models.source import absent, find_folder

    revision = experiment.revision
    found = find_folder(name, revision, download, experiment.allow_pickle)
    facts = (
        model_facts(name, revision, experiment.trust_remote_code, experiment.allow_pickle)
        if found is not None
        else None
    )
    if facts is None:
        raise absent(name, revision)
    device, device_name = choose_device(experiment.device)
    return ModelChoice(
        asked=name,
        source=facts.source,
        architecture=facts.architecture,
        n_parameters=facts.n_parameters,
        vocabulary=facts.vocabulary_size,
        dtype=choose_dtype(experiment.dtype),
        device=device,
        device_name=device_name,
        trust_remote_code=experiment.trust_remote_code,
        allow_pickle=experiment.allow_pickle,
        strategy=strategy_of(experiment),
    )
