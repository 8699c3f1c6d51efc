"""The straightforward algorithm of the field's released code, written again from its description.

Rows of one length, as it has them.  Nothing here uses unlearnbench's own scoring, decoding or
losses: it is what they are held against, in tokens, in time and in values.
"""
