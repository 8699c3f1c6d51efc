"""What the nano world says, and in which words."""
