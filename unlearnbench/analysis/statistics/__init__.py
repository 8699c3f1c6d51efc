"""What a table's numbers are worth: intervals, paired comparisons and the stability of ranks.

Imports nothing, so that a table is printed without it at no cost; see `docs/statistics.md`.
"""
