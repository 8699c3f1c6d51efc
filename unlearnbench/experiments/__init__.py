"""Experiments by name: each a small TOML file beside this one, to be run, copied and changed."""
