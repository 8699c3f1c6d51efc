"""Runs the cells of a grid: in this process, in several, or on a Ray cluster.

`grid` decides what is missing, claims it, hands it to a launcher and stores what comes
back; a launcher only runs cells and says what became of each.
"""
