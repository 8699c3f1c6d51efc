"""The BERT behind BERTScore: where it is, and which of its layers is read."""

import json
from pathlib import Path

from unlearnbench.nano import find_world

DEFAULT_BERT = "bert-base-uncased"
NO_BERT = "off"  # BERTScore is not computed


def bert_folder(bert: str | None) -> Path:
    """The folder of a BERT: the default one, a world's, a hub id or a folder of one's own.

    Raises `UserError` where it cannot be had, or would be unpickled or run code of its own.
    """
    from unlearnbench.models.side_models import find_side_model
    from unlearnbench.models.source import is_path

    name = bert or DEFAULT_BERT
    if name == DEFAULT_BERT and not is_path(name):
        # The hub knows the default one under its owner's name; bert-score's table, without it.
        name = f"google-bert/{DEFAULT_BERT}"
    return find_side_model(name, "BERT", "--bert ")


def bert_sha256(bert: str | None) -> str:
    """Digest of the BERT's weights; empty for none.  Raises `UserError` like `bert_folder`."""
    from unlearnbench.models.source import weights_sha256

    return "" if bert == NO_BERT else weights_sha256(bert_folder(bert))


def bert_layers(bert: str | None, folder: Path) -> int:
    """The layer BERTScore reads: bert-score's own choice where it has one (9 of 12 for BERT base).

    A BERT it does not know is read at three quarters of its depth, as BERT base is.
    """
    from bert_score.utils import model2layers

    name = bert or DEFAULT_BERT
    for known in (name, name.rpartition("/")[2], folder.name):
        if known in model2layers:
            return int(model2layers[known])
    if world := find_world(bert):
        return world.encoder_layers
    depth = int(json.loads((folder / "config.json").read_text())["num_hidden_layers"])
    return max(1, round(0.75 * depth))
