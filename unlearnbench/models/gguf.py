"""A model in a GGUF file, as a folder that is read like any other: converted once, and kept.

The weights of such a file are mostly quantized.  They are widened to float32 here: the numbers are
those of the quantized model, which is another model than the one it was made of.
"""

import io
import warnings
from contextlib import redirect_stderr
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import file_sha256, text_sha256
from unlearnbench.files.software import code_of, versions_of
from unlearnbench.models.configuration import (
    in_one_line,
    raw_configuration,
    read_tokenizer,
    save_tokenizer,
    write_json,
)
from unlearnbench.models.finite import check_finite
from unlearnbench.models.kept_folders import kept_folder, megabytes
from unlearnbench.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_READ_BY = ("gguf", "transformers", "tokenizers", "safetensors")
_MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """Whether a path is named as a GGUF file, existing or not, and is no folder."""
    return path.suffix.lower() == ".gguf" and not path.is_dir()


def gguf_folder(path: Path) -> Path:
    """The folder in the cache with a GGUF file's model: safetensors, configuration, tokenizer.

    It is found again by the file's content and the libraries that read it, wherever the file is.
    Raises `UserError` for a file that is damaged or holds no causal language model that
    transformers reads whole, and where gguf is not installed.
    """
    _check_file(path)
    if find_spec("gguf") is None:
        raise UserError("a GGUF file needs gguf to be read: pip install 'unlearnbench[gguf]'")
    return kept_folder("gguf", _key(path), path.name, partial(_convert, path))


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError as error:
        raise UserError(
            f"no GGUF file at {path}: give an existing one; or: --model nano-neo"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it readable") from error
    if magic != _MAGIC:
        raise UserError(f"{path} is no GGUF file: it does not begin with 'GGUF'; download it again")


def _key(path: Path) -> str:
    versions = sorted(versions_of(_READ_BY).items())
    code = code_of(Path(__file__).read_text(encoding="utf-8"))
    return text_sha256(file_sha256(path), repr(versions), code)


def _convert(path: Path, folder: Path) -> None:
    # Its bars heed no setting.
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        network, tokenizer = _read(path)
        network.save_pretrained(folder)
        _save_tokenizer(tokenizer, folder, network.config.vocab_size)
        _check_tokenizer(folder, network.config.vocab_size, path)
    warnings.warn(
        f"{path.name}: its weights are kept as float32 in the cache, {megabytes(folder)}, so that "
        "it is converted once only",
        stacklevel=2,
    )


def _save_tokenizer(tokenizer: Any, folder: Path, vocabulary_size: int) -> None:
    """Write a tokenizer so that it is read as it is here, without what it is given by default."""
    # Within tokenizer_config.json the chat template is a part of the model's identity.
    save_tokenizer(tokenizer, folder, save_jinja_files=False)
    # GPT-2's mark is added to every vocabulary of its kind, also where the model does not know it.
    vocabulary = {**raw_configuration(folder, "tokenizer.json")}
    added = vocabulary.get("added_tokens", [])
    vocabulary["added_tokens"] = [token for token in added if token["id"] < vocabulary_size]
    write_json(folder / "tokenizer.json", vocabulary)


def _check_tokenizer(folder: Path, vocabulary_size: int, path: Path) -> None:
    try:
        read_tokenizer(folder, vocabulary_size)
    except UserError as error:  # which names a folder that is gone by then
        raise UserError(str(error).replace(str(folder), str(path))) from error


def _read(path: Path) -> tuple["PreTrainedModel", Any]:
    """The network in float32, which can be saved, and the tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        contents = _Contents(path)
        config = AutoConfig.from_pretrained(str(path.parent), **place)
        contents.check(config)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(path.parent), config=config, output_loading_info=True, **_dense(), **place
        )
        network, report = loaded
        contents.check_loaded(network, report)
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **place)
    except UserError:
        raise
    except Exception as error:  # gguf and transformers each have their own kinds
        raise UserError(
            f"cannot read the model in {path}: {in_one_line(error)}; download it again, or give "
            "the model's own folder with safetensors"
        ) from error
    return _plain(network, config), tokenizer


def _dense() -> dict[str, Any]:
    """Options by which the weights come as float32, and not in their blocks."""
    import torch
    from transformers.utils import quantization_config

    # Before there was this class, all weights were widened.
    packed = getattr(quantization_config, "GgufConfig", None)
    options = {} if packed is None else {"quantization_config": packed(dequantize=True)}
    return {"dtype": torch.float32, **options}


class _Contents:
    """What a GGUF file says that it holds, to compare with what was made of it."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        reader = GGUFReader(path)
        self._path = path
        self._sizes = {tensor.name: int(tensor.n_elements) for tensor in reader.tensors}
        parts = reader.get_field("split.count")
        self._n_parts = 1 if parts is None else int(parts.contents())

    def check(self, config: "PretrainedConfig") -> None:
        """Raises `UserError` for what `config` says, before a network is built by it."""
        from transformers import AutoModelForCausalLM

        if self._n_parts > 1:
            raise UserError(
                f"{self._path} is one of {self._n_parts} parts of a model; join them: "
                "llama-gguf-split --merge FIRST_PART WHOLE.gguf"
            )
        if type(config) not in AutoModelForCausalLM._model_mapping:
            raise UserError(
                f"{self._path.name} is a {config.model_type}, no causal language model; "
                "see: unlearnbench list models"
            )
        layers = int(getattr(config, "num_hidden_layers", 0))
        if layers > len(self._sizes):  # building them alone could take hours
            raise UserError(
                f"{self._path} declares {layers} layers and holds {len(self._sizes)} tensors; "
                "download it again"
            )

    def check_loaded(self, network: "PreTrainedModel", report: dict[str, Any]) -> None:
        """Raises `UserError` where file and network differ: another model would be measured."""
        kind, path = type(network).__name__, self._path
        if apart := sorted((*report["missing_keys"], *map(str, report["mismatched_keys"]))):
            raise UserError(
                f"{path} does not fill {len(apart)} tensors of a {kind} ({apart[0]}); "
                "download it again, or give the model's own folder with safetensors"
            )
        tied = network.config.get_text_config().tie_word_embeddings
        sizes = {n: size for n, size in self._sizes.items() if not (tied and n == "output.weight")}
        taken = {v.data_ptr(): v.numel() for v in network.state_dict().values()}  # tied ones once
        if surplus := sum(sizes.values()) - sum(taken.values()):
            # Scaled rotary frequencies are such a tensor, and are left out without a word.
            rotary = ", ".join(name for name in sizes if name.startswith("rope_"))
            left_out = f" (not {rotary})" if rotary else ""
            raise UserError(
                f"{path} holds {sum(sizes.values())} values, and a {kind} as transformers makes it "
                f"takes {surplus} fewer{left_out}: it would be another model; give the model's own "
                "folder with safetensors"
            )
        check_finite(network, path)


def _plain(network: "PreTrainedModel", config: "PretrainedConfig") -> "PreTrainedModel":
    """The same weights in a network that does not remember their file, which cannot be saved."""
    import torch
    from transformers import AutoModelForCausalLM

    config.dtype = torch.float32
    with torch.device("meta"):
        plain: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(network.state_dict(), assign=True)
    plain.tie_weights()
    return plain
