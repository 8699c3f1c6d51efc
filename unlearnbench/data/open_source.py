"""Sources of forget sets: extraction benchmark, text files, hub data sets, synthetic worlds."""

from dataclasses import replace

from unlearnbench.data.extraction_benchmark import open_extraction
from unlearnbench.data.forget_source import ForgetRequest, ForgetSource
from unlearnbench.data.text_files import open_texts
from unlearnbench.nano import find_world

__all__ = ["ForgetRequest", "ForgetSource", "open_source"]


def open_source(request: ForgetRequest) -> ForgetSource:
    """The source a request means, without loading a model; raises `UserError` for none."""
    if world := find_world(request.forget_set):
        request = replace(request, forget_set=str(world.data() / "extraction"))
    if request.forget_set.startswith("hf:"):
        return open_texts(request)
    return open_extraction(request) or open_texts(request)
