"""How much a row's numbers vary over items, seeds of unlearning and trainings of the original."""
