"""How a model is loaded, scored, asked to continue."""
