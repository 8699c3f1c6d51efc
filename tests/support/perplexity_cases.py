"""A model over letters whose perplexity is known."""

from types import SimpleNamespace

from extraction_cases import tiny_network

from unlearnbench.models.language_model import LanguageModel, ModelSource


class Letters:
    """A tokenizer of letters, with or without BOS."""

    eos_token_id, pad_token_id, bos_token_id = 0, 2, 1

    def __call__(self, text, **_):
        return SimpleNamespace(input_ids=[3 + ord(c) % 57 for c in text])


def letters_model(architecture, bos):
    model = LanguageModel(tiny_network(architecture), Letters(), ModelSource("x", "x", None, ""))
    model.__dict__["bos_token_id_to_prepend"] = bos
    return model


DOCUMENTS = ("It was a bright cold day.", "The clocks were striking thirteen.", "x" * 9)
