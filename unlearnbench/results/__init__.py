"""How results lie in a folder and come back; `unlearnbench.results.store.Store` is the door.

one_file.py    one result file in full, or what is wrong with it
contradictions.py  what no run can say, though every field has its type
records.py     a result whose longest parts are read when somebody asks for them
entry.py       what the summary keeps of one result, and the result made of it
summary.py     the file of entries beside the results, never believed unless whole and current
many_files.py  the entries of many files, in several processes where that is sooner
folder.py      all the results of a folder, through the summary
"""
