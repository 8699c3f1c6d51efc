"""What is known of a model before its weights are read."""

from dataclasses import dataclass
from pathlib import Path

from unlearnbench.models.language_model import ModelSource
from unlearnbench.models.source import find_folder, resolve, source_of
from unlearnbench.models.weight_files import is_pickled, weight_files


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its files, before its weights are loaded."""

    source: ModelSource
    architecture: str  # class name, e.g. GPTNeoForCausalLM
    n_parameters: int  # tied ones once
    vocabulary_size: int


def model_facts(
    name: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> ModelFacts | None:
    """Identity, architecture and size of a model that is on this machine; None if it is not.

    Raises `UserError` for a name that stands for no model and for files that are none, are
    damaged or do not belong together.
    """
    from unlearnbench.files.checked import found_in

    folder = find_folder(name, revision, download=False, allow_pickle=allow_pickle)
    if folder is None:
        return None
    source = source_of(name, resolve(name)[1], folder)

    def check() -> tuple[str, int, int]:
        return _check(folder, trust_remote_code, allow_pickle)

    # Code that comes with a model may say something else each time.
    is_known = not trust_remote_code and not is_pickled(weight_files(folder, allow_pickle))
    kept = f"model {source.weights_sha256}"
    return ModelFacts(source, *(found_in(folder, kept, check) if is_known else check()))


def _check(folder: Path, trust_remote_code: bool, allow_pickle: bool) -> tuple[str, int, int]:
    """Class name, number of parameters, size of the vocabulary."""
    from unlearnbench.models.configuration import read_configuration
    from unlearnbench.models.loading import check_model

    config = read_configuration(folder, trust_remote_code)
    architecture = (getattr(config, "architectures", None) or [type(config).__name__])[0]
    n_parameters = check_model(folder, config, trust_remote_code, allow_pickle)
    return str(architecture), n_parameters, int(config.vocab_size)
