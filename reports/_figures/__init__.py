"""Drawing: what the figures share."""
