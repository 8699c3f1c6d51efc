"""The human study: a blind sheet, a page to rate it on, and what the ratings say."""
