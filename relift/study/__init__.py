"""A study: methods of training compared over seeds, at an equal budget, with intervals. It knows no Prefect.

study.py       a study file: methods, seeds, budget        settings.py    tables over a recipe, and what differs
comparison.py  a study that is worked on: what stands      planned.py     a run that it still wants
check.py       whether all of them could begin             collect.py     a run's folder -> its result
results.py     what runs and the whole came to             stored.py      such records as JSON
files.py       where they stand in a folder of studies
intervals.py   over seeds, or over questions               whole.py       the whole out of its runs
page/          the page people show, and its figures
"""
