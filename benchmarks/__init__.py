"""Benchmarks, one TOML file each: where a benchmark's data are and how it is measured."""
