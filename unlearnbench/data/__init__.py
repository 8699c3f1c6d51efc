"""How a file of data is read."""
