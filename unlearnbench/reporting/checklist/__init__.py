"""What reviewers ask of a table, answered from its results: one module a subject.

An answer is read from what the results record.  What was not done is a line that says so, and
what older results do not record is "not recorded"; nothing is left out.
"""
