"""A deletion request: from rows that must go to an unlearned model and a certificate."""
