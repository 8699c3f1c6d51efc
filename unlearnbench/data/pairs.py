"""Pairs (eq. 2): each target's nearest neighbour in the pool, by sentence embeddings."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root, read_entry, write_entry
from unlearnbench.files.hashing import text_sha256
from unlearnbench.models.side_models import find_side_model
from unlearnbench.models.source import weights_sha256

if TYPE_CHECKING:
    import numpy as np
    from sentence_transformers import SentenceTransformer

Metric = Literal["cosine", "l2"]

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
_TIES = 8  # candidates looked at for the lowest index among equals


def find_neighbours(
    targets: Sequence[str],
    pool: Sequence[str],
    encoder: str | None = None,
    metric: Metric = "cosine",
) -> list[int]:
    """Pool index of the text nearest to each target (eq. 2, K = 1).

    A pool text equal to any target is nobody's neighbour; of equal ones, the first counts.
    `encoder` is a hub id or a folder: a sentence-transformers model, or any BERT, whose token
    vectors are then averaged; a world's name is the one that comes with it.  Embeddings are
    cached by the content of texts and encoder.
    Raises `UserError` where the encoder cannot be had or nothing is left to choose from.
    """
    folder = encoder_folder(encoder or DEFAULT_ENCODER)
    first_at: dict[str, int] = {}
    for at, text in enumerate(pool):
        first_at.setdefault(text, at)
    candidates = [text for text in first_at if text not in set(targets)]
    if not candidates:
        raise UserError("the pool holds no text but the targets' own; give another: --pool FILE")
    # Sorted, so that all runs of one source share one cached embedding.
    texts = sorted({*targets, *candidates})
    row = {text: at for at, text in enumerate(texts)}
    vectors = embed(texts, folder)
    neighbours = nearest(
        vectors[[row[text] for text in targets]],
        vectors[[row[text] for text in candidates]],
        metric,
    )
    return [first_at[candidates[at]] for at in neighbours]


def nearest(targets: "np.ndarray", candidates: "np.ndarray", metric: Metric) -> list[int]:
    """Index of the candidate nearest to each target; of equal ones the lowest (eq. 2).

    targets [M, d] and candidates [N, d] are float32 and normalised: cosine is then the
    inner product, and L2, the released code's, ranks the same.
    """
    import faiss
    import numpy as np

    width = candidates.shape[1]
    index = faiss.IndexFlatIP(width) if metric == "cosine" else faiss.IndexFlatL2(width)
    index.add(np.ascontiguousarray(candidates, dtype=np.float32))
    queries = np.ascontiguousarray(targets, dtype=np.float32)
    scores, places = index.search(queries, min(_TIES, len(candidates)))
    # faiss leaves the order of equal scores open.
    tied = scores == scores[:, :1]
    return np.where(tied, places, len(candidates)).min(axis=1).tolist()


def embed(texts: Sequence[str], folder: Path) -> "np.ndarray":
    """[N, d] float32 normalised sentence embeddings, from the cache if they are there whole.

    Raises `UserError` for an encoder whose vectors are no numbers: they have no neighbours.
    """
    import numpy as np

    key = text_sha256("float32", weights_sha256(folder), *texts)
    path = cache_root() / "embeddings" / f"{key}.npy"
    if (content := read_entry(path)) is not None:
        return np.load(io.BytesIO(content), allow_pickle=False)
    vectors = _sentence_encoder(folder).encode(
        list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
    )
    made = np.asarray(vectors, dtype=np.float32)
    if not np.isfinite(made).all():
        raise UserError(
            f"the sentence encoder in {folder} gives NaN or infinity; copy it again or give "
            "another: --encoder DIR"
        )
    buffer = io.BytesIO()
    np.save(buffer, made)
    write_entry(path, buffer.getvalue())
    return made


def encoder_folder(encoder: str) -> Path:
    """The folder of an encoder by world, hub id or path; raises `UserError` if it cannot be had."""
    return find_side_model(encoder, "sentence encoder", "--encoder ")


def _sentence_encoder(folder: Path) -> "SentenceTransformer":
    """The encoder on the CPU, so that pairs do not depend on the device of the run.

    It computes in float32: a file in half precision would take four times as long there.
    Of a plain BERT, without sentence-transformers' own files, the mean of the token vectors is
    taken; the library's notice of it is not shown, since it is meant.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    from unlearnbench.models.quiet import quiet_transformers

    notices = logging.getLogger("sentence_transformers")
    level = notices.level
    notices.setLevel(logging.ERROR)
    try:
        with quiet_transformers():
            return SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                model_kwargs={"dtype": torch.float32},
            )
    except Exception as error:  # each layer below has its own kinds
        first = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"cannot load the sentence encoder in {folder}: {type(error).__name__}: {first}; "
            "give another: --encoder DIR"
        ) from error
    finally:
        notices.setLevel(level)
