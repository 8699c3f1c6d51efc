"""How a method trains."""
