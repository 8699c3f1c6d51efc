"""How a file is written whole, hashed, cached, checked."""
