"""How numbers become a table."""
