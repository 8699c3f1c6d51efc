"""Benchmarks: their definitions, the tables they name, and the splits made of these."""
