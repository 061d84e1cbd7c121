from __future__ import annotations

import re
from itertools import islice
from random import Random

from relift.arithmetic import FAMILIES, Kind, is_held_out
from relift.arithmetic.corpus import corpus
from relift.records import question_id

LINES = list(islice(corpus(Random(0)), 6000))
PLAIN = re.compile(r"[\d+*-]+")  # what eval below may see: no parentheses, no x


def test_no_held_out_question_is_in_the_corpus():
    for line in LINES:
        assert line.prompt[-1] in "?="
        assert not is_held_out(question_id(f"{line.prompt[:-1]}?"))


def test_a_worked_line_is_right_in_every_rewrite():
    worked = [line for line in LINES if line.prompt.endswith("=")]
    assert 0.35 < len(worked) / len(LINES) < 0.6
    for line in worked:
        rewrites = [line.prompt[:-1], *line.completion.split("=")]
        assert all(map(PLAIN.fullmatch, rewrites))
        assert len({eval(rewrite) for rewrite in rewrites}) == 1, line


def test_border_questions_are_answered_carefully_in_a_third():
    products = [line for line in LINES if re.fullmatch(r"\d+\*\d+\+\d+\*\d+\?", line.prompt)]
    careful = [line for line in products if "=" in line.completion]
    forgetful = [line for line in products if line.completion == str(eval(line.prompt.partition("+")[0]))]
    assert 0.24 < len(careful) / len(products) < 0.4
    assert 0.34 < len(forgetful) / len(products) < 0.53


def test_unreached_questions_are_only_ever_guessed():
    unreached = [line for line in LINES if re.search(r"^-|[x(]|[1-9]0?[1-9]\*\d\?$", line.prompt)]
    assert len(unreached) > 300
    assert all(line.completion.isdigit() for line in unreached)


def test_every_family_is_drawn_from_and_unreached_ones_have_no_worked_lines():
    random = Random(1)
    prompts = {line.prompt for line in LINES}
    shapes = {re.sub(r"\d+", "n", prompt) for prompt in prompts}
    for each in FAMILIES.values():
        drawn = {each.draw(random).question for _ in range(5000)}
        assert {re.sub(r"\d+", "n", question) for question in drawn} <= shapes, each.name
        if each.kind is Kind.UNREACHED:
            assert not any(f"{question[:-1]}=" in prompts for question in drawn), each.name
