"""The judge: a language model reads each stored continuation and gives it 0 to 10 (the GPT column).

rubric.py    what the judge is asked, and the digest that names it
parsing.py   from its reply to a number, or to none
items.py     which texts are asked about, joined by doc_id
endpoint.py  the server's address and the key, which is never stored
client.py    one question to an OpenAI-compatible server
asking.py    many questions, a few at a time, until all are answered or it is hopeless
records.py   who judged, and a reply
replies.py   the files beside the results that keep every reply
joining.py   from replies to the scores a report shows
stand_in.py  a stated rule in the judge's place, marked as one, to rehearse without a model
"""
