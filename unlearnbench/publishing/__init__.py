"""How an unlearned model reaches the hub, and what its model card says."""
