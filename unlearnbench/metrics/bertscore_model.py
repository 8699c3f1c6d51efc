"""The BERT behind BERTScore: where it is, and which of its layers is read."""

import json
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.models.side_models import data_only

DEFAULT_BERT = "bert-base-uncased"
NANO = "nano"


def bert_folder(bert: str | None) -> Path:
    """The folder of a BERT: the default one, 'nano', a hub id or a folder of one's own.

    Its weights are safetensors and it brings no Python code, whatever a run allows its model.
    Raises `UserError` where it is neither on this machine nor to be had from the hub.
    """
    from unlearnbench.models import hub
    from unlearnbench.models.source import is_path

    if bert == NANO:
        from unlearnbench.nano import encoder_path

        return encoder_path()
    name = bert or DEFAULT_BERT
    if is_path(name):
        return data_only(_checked(Path(name).expanduser()), "the BERT", "--bert")
    # The hub knows the default one under its owner's name; bert-score's table, without it.
    found = hub.snapshot(f"google-bert/{name}" if name == DEFAULT_BERT else name, None)
    if found is None:
        raise _absent(name)
    return data_only(found, "the BERT", "--bert")


def bert_layers(bert: str | None, folder: Path) -> int:
    """The layer BERTScore reads: bert-score's own choice where it has one (9 of 12 for BERT base).

    A BERT it does not know is read at three quarters of its depth, as BERT base is.
    """
    from bert_score.utils import model2layers

    name = bert or DEFAULT_BERT
    for known in (name, name.rpartition("/")[2], folder.name):
        if known in model2layers:
            return int(model2layers[known])
    depth = int(json.loads((folder / "config.json").read_text())["num_hidden_layers"])
    return depth if bert == NANO else max(1, round(0.75 * depth))


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UserError(f"no BERT in {folder}: no config.json; give a folder or hub id: --bert DIR")
    return folder


def _absent(name: str) -> UserError:
    hub_id = f"google-bert/{name}" if name == DEFAULT_BERT else name
    return UserError(
        f"BERTScore's model '{name}' is not on this machine and the hub cannot be reached; "
        f"where it can: hf download {hub_id}, or give another: --bert DIR (--bert nano: the "
        "small one that comes with unlearnbench)"
    )
