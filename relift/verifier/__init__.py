"""Verdicts on completions and golds: extraction, exact comparison, math-verify in a killable process.

The path of one answer; every step may decide it, and the name in brackets is the path that its verdict then carries::

    verifier.py        the front door: verify, verify_batch, compare, check_golds; open_verdict.py: what they leave open
      extraction.py      the last box (or ####) after the reasoning; no_answer or malformed where there is none [string]
                         boxes.py: which boxes there are; run_on.py: where another question begins; unmarked.py: answers
                         without a mark, for the form flexible alone
      kinds.py           which comparison: math, or another kind of answer
    equivalence.py     the order of what follows
      normalise.py       one spelling, by way of spelling/ (characters, commands, numerals); equal texts [string]
      rational.py        two plain numbers are compared exactly, and that is final [rational]
      forms/choices.py   choices, words, dates; forms/units.py: hours with minutes [string]
      bounds.py          what is too long or too costly for a parser is wrong [guard]
      forms/             what shape the answer has, and whether it may stand for the gold's [guard];
      values/            exact arithmetic on expressions [rational]
      guards.py          what a parser of mathematics would overlook [guard]
    cache.py           decided before?
    workers/           the pool: who gets what, until when, and what becomes of a process that hangs or dies
      pool.py lending.py slots.py batch.py process.py    this side; messages.py: what passes between the two
      worker.py          the other process
      symbolic.py        math-verify, and a second look where it is known to be too kind [sympy]
      comparisons.py     a number within a tolerance [sympy], a user's own function [callable]
      rewarding.py       a user's own reward, which decides nothing here

``cases.py``, ``case_files.py`` and ``journal.py`` do this for the rows of a file; ``configured.py`` makes the verifier
of a configuration.
"""

from relift.verifier.extraction import AnswerForm, Extraction, extract
from relift.verifier.kinds import AnswerKind, Comparison
from relift.verifier.verifier import GoldFinding, Verifier

__all__ = ["AnswerForm", "AnswerKind", "Comparison", "Extraction", "GoldFinding", "Verifier", "extract"]
