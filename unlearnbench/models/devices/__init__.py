"""On which devices and in how many processes a model runs."""
