"""How the nano models are made: `unlearnbench nano build`."""
