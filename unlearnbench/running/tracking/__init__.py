"""`run --track`: every cell as a run of TensorBoard, Weights & Biases, MLflow and their like.

A tracker works in a process of its own.  Its library draws random numbers, sets variables of the
environment, takes memory and waits for servers; nothing of this happens where a cell is measured.
"""
