"""How much of what was unlearned do attacks bring back?"""
