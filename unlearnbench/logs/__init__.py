"""Evaluation logs that other harnesses wrote: read as per-item values, and recomputed.

log.py            what a log holds, whoever wrote it; what recomputing it finds
contents.py       a file as JSON or rows, or one line on why not
formats.py        which kind a file is
openunlearning.py, openunlearning_checks.py, tofu_original.py, muse.py, muse_checks.py,
lm_eval_results.py, depth_score.py, semeval.py     one kind each
columns.py        what its metrics are called in a table
imports.py        from a log to a result
"""
