"""A study: methods of training compared over seeds, at an equal budget, with intervals. It knows no Prefect.

results.py     what a run and the whole of it came to, as JSON: the records that everything here is about
"""
