"""A study: methods of training compared over seeds, at an equal budget, with intervals. It knows no Prefect.

study.py       a study file: methods, seeds, budget        settings.py    tables over a recipe, and what differs
results.py     what runs and the whole came to, as JSON    whole.py       the whole out of its runs
intervals.py   over seeds, or over questions               page/          the page people show, and its figures
"""
