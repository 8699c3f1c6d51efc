"""unlearnbench's own code beside the released algorithm, each in a process of its own."""
