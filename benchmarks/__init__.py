"""Benchmarks of unlearnbench: `python -m benchmarks` sets it beside the released algorithm."""
