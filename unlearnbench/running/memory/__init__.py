"""What a cell takes of memory, predicted before it runs, and what to change where it is too much.

Nothing here imports torch before a cell's need is predicted.
"""
