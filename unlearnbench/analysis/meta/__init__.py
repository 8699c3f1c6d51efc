"""Can a metric be believed?  Metrics tested on models of which it is known what they know.

faithfulness.py   does a metric tell models with the knowledge from models without it?
robustness.py     does it stay where it is when the model is relearned or quantised?
redundancy.py     which metrics say the same?
measured.py       a model's value of every metric, derived scores included
table.py          the record of all this, meta.json, and the tables that come with the package
making.py         the table from what was measured
marking.py        ? at the columns of a comparison table that are not told from chance
"""
