"""How a cell is run, where, and what it needs."""
