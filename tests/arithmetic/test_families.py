"""Every chain of every family is checked by a route of its own: Fraction arithmetic over Python's parse tree."""

from __future__ import annotations

import ast
import operator
from fractions import Fraction
from random import Random

import pytest

from relift.arithmetic import FAMILIES, Kind, Worked, family
from relift.arithmetic.families import split_product, sum_chain
from relift.errors import ConfigError

DRAWS = 400
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def value(expression: str, x: Fraction | None = None) -> Fraction:
    def of(node: ast.expr) -> Fraction:
        match node:
            case ast.BinOp(left, operation, right):
                return OPERATIONS[type(operation)](of(left), of(right))
            case ast.UnaryOp(ast.USub(), operand):
                return -of(operand)
            case ast.Constant(int(number)):
                return Fraction(number)
            case ast.Name("x") if x is not None:
                return x
        raise AssertionError(f"{ast.dump(node)} is not arithmetic")

    return of(ast.parse(expression, mode="eval").body)


def expected_answer(question: str) -> Fraction:
    expression = question.removesuffix("?")
    if "=" not in expression:
        return value(expression)
    left, right = expression.split("=")  # linear in x with coefficient 1
    return value(right) - value(left, x=Fraction(0))


def draws(name: str) -> list[Worked]:
    random = Random(f"test/{name}")
    return [FAMILIES[name].draw(random) for _ in range(DRAWS)]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_the_value_of_the_question(name):
    for worked in draws(name):
        assert worked.question.endswith("?")
        assert Fraction(worked.answer) == expected_answer(worked.question), worked


@pytest.mark.parametrize("name", FAMILIES)
def test_every_rewrite_of_a_chain_keeps_the_value(name):
    for worked in draws(name):
        expected = expected_answer(worked.question)
        assert [value(rewrite) for rewrite in worked.solution.split("=")] == [expected] * (
            worked.solution.count("=") + 1
        ), worked


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_rewrite_is_a_plain_number_as_one_would_write_it(name):
    for worked in draws(name):
        assert worked.answer == str(int(worked.answer)), worked


@pytest.mark.parametrize("name", [each.name for each in FAMILIES.values() if each.kind is Kind.UNREACHED])
def test_answers_of_unreached_families_are_too_many_to_guess(name):
    answers = [worked.answer for worked in draws(name)]
    assert max(map(answers.count, answers)) / DRAWS < 0.04
    assert len(set(answers)) > 70


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_generators_draw_equal_questions(name):
    first, second = Random(7), Random(7)
    assert [FAMILIES[name].draw(first) for _ in range(20)] == [FAMILIES[name].draw(second) for _ in range(20)]


def test_the_demo_has_three_families_of_each_kind_and_leaves_some_to_others():
    demo = {
        Kind.MASTERED: ["add3", "sub3", "mul1"],
        Kind.BORDER: ["add5", "prod2", "mulsub"],
        Kind.UNREACHED: ["mul2", "eq", "par"],
    }
    for kind, names in demo.items():
        assert [FAMILIES[name].kind for name in names] == [kind] * 3
    unreached = {each.name for each in FAMILIES.values() if each.kind is Kind.UNREACHED}
    assert len(unreached - set(demo[Kind.UNREACHED])) >= 2


def test_chains_read_as_in_the_manual():
    assert sum_chain([41, 25, 14]) == "66+14=80"
    assert split_product(47, 6) == "40*6+7*6=240+42=282"
    assert split_product(407, 6) == "400*6+7*6=2400+42=2442"
    assert split_product(147, 6) == "100*6+40*6+7*6=600+240+42=840+42=882"
    assert split_product(40, 6) == "240"
    assert Worked("7*8?", "56").answer == "56"


def test_a_misspelt_family_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'mull2'.*mul1.*mul2"):
        family("mull2")
