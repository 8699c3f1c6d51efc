"""Pools of models with and without the knowledge of a forget set, by which metrics are tested.

definition.py   the keys of a pool file, and where the shipped ones are
planning.py     the cells that measure its models
"""
