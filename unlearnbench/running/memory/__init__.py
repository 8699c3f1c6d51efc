"""What a cell takes of memory: told before it runs, and what to change where it is too much.

Importing this imports no torch; `predict` does.
"""

from unlearnbench.running.memory.need import MemoryNeed, PhaseNeed, in_words

__all__ = ["MemoryNeed", "PhaseNeed", "in_words"]
