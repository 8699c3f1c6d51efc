"""How continuations are rated, by a judge or by people."""
