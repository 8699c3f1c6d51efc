"""How two folders of results differ."""
