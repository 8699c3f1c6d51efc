"""How results lie in a folder and come back; `unlearnbench.results.store.Store` is the door.

record.py     what a result is, with its trace and its key
score.py      what a metric is, and a measured value
files.py      its two files: a header, and the documents
upgrades.py   the files of older versions
claims.py     who computes which cell
"""
