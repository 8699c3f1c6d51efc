"""The judge: a language model reads each stored continuation and gives it 0 to 10 (the GPT column).

questions.py  which continuations are judged, joined by doc_id
rubric.py     the wording, and how a score is read from a reply
client.py     asking an OpenAI-compatible server
replies.py    the files beside the results that keep every reply
scores.py     from replies to the scores that a report shows
"""
