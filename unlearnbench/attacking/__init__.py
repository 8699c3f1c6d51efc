"""How is an unlearned model attacked?  The contract of attacks, and what they compute with."""
