"""The judge: a language model gives each stored continuation 0 to 10 (the GPT column)."""
