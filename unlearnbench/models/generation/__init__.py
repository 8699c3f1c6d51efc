"""How a model continues a text."""
