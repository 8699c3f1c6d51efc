"""Benchmarks of unlearnbench: `python -m speed` sets it beside the released algorithm."""
