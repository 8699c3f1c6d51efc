"""How results lie in a folder and come back; `unlearnbench.results.store.Store` is the door.

record.py, trace.py, score.py   what a result is
identity.py   what can change its numbers, and the key made of it
files.py      its two files: a header, and the documents
upgrades.py   the files of older versions
claims.py     who computes which cell
"""
