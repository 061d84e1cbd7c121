"""Exact arithmetic on expressions: two routes to one number, and samples that tell values apart."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from relift.verifier.forms.regions import parse_region, same_region
from relift.verifier.normalise import normalise
from relift.verifier.values.exact import same
from relift.verifier.values.polynomials import prime_powers
from relift.verifier.values.reader import read
from relift.verifier.values.samples import Sample, are_apart


def value(text: str):
    found = read(normalise(text))
    assert found is not None, text
    return found


def tree(draw: random.Random, depth: int) -> tuple[str, Fraction]:
    """A random expression in LaTeX and, computed on the way, its value."""
    if depth == 0:
        whole = draw.randrange(1, 20)
        return str(whole), Fraction(whole)
    (left, first), (right, second) = tree(draw, depth - 1), tree(draw, depth - 1)
    kinds = ["+", "-", r"\cdot", r"\frac", "^", "()"]
    kind = draw.choice(kinds)
    if kind == r"\frac" and second:
        return rf"\frac{{{left}}}{{{right}}}", first / second
    if kind == r"\cdot":
        return rf"({left})\cdot ({right})", first * second
    if kind == "^":
        return f"({left})^{{2}}", first**2
    if kind == "()":
        return f"({left})({right})", first * second
    return (f"({left})-({right})", first - second) if kind == "-" else (f"({left})+({right})", first + second)


def test_random_expressions_have_the_value_that_python_gives_them():
    draw = random.Random(3)
    for _ in range(400):
        text, expected = tree(draw, draw.choice([1, 2, 3]))
        assert value(text).rational == expected, text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sqrt{8}", r"2\sqrt{2}"),
        (r"\frac{1}{\sqrt{2}-1}", r"\sqrt{2}+1"),
        (r"\sqrt{6}", r"\sqrt{2}\sqrt{3}"),
        (r"(\sqrt{2}+\sqrt{3})^2", r"5+2\sqrt{6}"),
        (r"\sqrt[3]{16}", r"2\sqrt[3]{2}"),
        (r"2^{3/2}", r"2\sqrt{2}"),
        (r"\sqrt{-4}", "2i"),
        ("(1+i)^4", "-4"),
        (r"\frac{1}{i}", "-i"),
        ("2^{n+1}", r"2\cdot 2^{n}"),
        ("6^{n}", r"2^{n}3^{n}"),
        (r"\frac{x^2-1}{x-1}", "x+1"),
        ("(a+b)(a-b)", "a^2-b^2"),
        (r"\sqrt{4x+4}", r"2\sqrt{x+1}"),
        (r"e^{x}e^{y}", "e^{x+y}"),
        (r"\ln 2+\ln 2", r"2\ln 2"),
        (r"\ln 24", r"3\ln 2+\ln 3"),
        (r"\ln\sqrt{\frac{e}{9}}", r"\frac{1}{2}-\ln 3"),
        (r"\log_{9}25", r"\log_{3}5"),
        (r"\frac{\log 8}{\log 2}", "3"),
        (r"\log 9", r"2\log 3"),
        (r"17.5\%", r"\frac{7}{40}"),
        (r"1\frac{1}{2}", r"\frac{3}{2}"),
        ("10!", "3628800"),
        (r"\binom{10}{3}", "120"),
    ],
)
def test_equal_values_have_one_form(one, other):
    assert same(value(one), value(other)) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5}"),
        (r"\pi", r"\frac{355}{113}"),
        ("x^2", "2x"),
        ("2^{n}", "n^{2}"),
        ("10^{-30}", "10^{-31}"),
        ("(x+y)^{200}", "(x+y)^{200}+1"),
        (r"\sin x", r"\cos x"),
        (r"\ln 3", r"\ln 2"),
        (r"\ln 9", r"3\ln 2"),
        (r"\log_{2}3", r"\log_{3}2"),
        (r"\log 2", r"\ln 2"),
        ("n!", "(n+1)!"),
        (r"\sqrt{x+1}", r"\sqrt{x}+1"),
        ("X", "x"),
        ("x_{1}", "x_{2}"),
    ],
)
def test_different_values_are_told_apart(one, other):
    assert same(value(one), value(other)) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
        (r"\sin^2 x+\cos^2 x", "1"),
        (r"\sqrt{x^2}", "x"),
        ("(-1)^{n}", "(-1)^{n+2}"),
        (r"(\sqrt{n^{20}+1}-n^{10})n^{10}", r"\frac{1}{2}"),
        (r"\cosh^2 x-\sinh^2 x", "1"),
        (r"\log 2", r"\log_{10}2"),
        (r"\ln x^2", r"2\ln x"),
    ],
)
def test_what_arithmetic_cannot_tell_is_left_open(one, other):
    """Nested roots and identities; where a difference of large floats has lost its digits, too."""
    assert same(value(one), value(other)) is None


@pytest.mark.parametrize(
    "text",
    [
        "1/2x",
        "x2",
        r"\sin xy",
        r"\sin(x)^2",
        "1 2",
        "3!!",
        "1/0",
        "0^{0}",
        "9^{9^{9}}",
        "10^{9999999}",
        "1,2",
        "(1",
        "5!!",
        r"\int x dx",
        r"\sqrt[3]{-8i}",
        "",
        "+",
    ],
)
def test_what_is_ambiguous_or_large_is_not_read(text):
    assert read(normalise(text)) is None


def test_a_number_is_factorised_unless_two_large_primes_may_be_in_it():
    assert prime_powers(360) == {"2": 3, "3": 2, "5": 1}
    assert prime_powers(2 * 8_999_993) == {"2": 1, "8999993": 1}
    assert read(normalise(r"\sqrt{1000000016000000063}")) is None


def test_samples_are_apart_only_beyond_their_doubt():
    assert are_apart(Sample(Fraction(1, 3)), Sample(Fraction(1, 3) + Fraction(1, 10**40)))
    assert not are_apart(Sample(1.0, 0.0), Sample(1.0 + 1e-9, 0.0))
    assert are_apart(Sample(1.0, 0.0), Sample(1.0 + 1e-5, 0.0))
    assert not are_apart(Sample(1.0, 1e-3), Sample(1.5, 0.0))
    assert not are_apart(None, Sample(1.0))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (r"(-\infty,1)\cup(2,\infty)", r"(2,\infty)\cup(-\infty,1)", True),
        ("[1,3]", r"[1,2]\cup(2,3]", True),
        ("[1,3]", r"[1,2)\cup(2,3]", False),
        (r"(-1,0)\cup(0,1)", r"(-1,1)\setminus\{0\}", True),
        (r"\{1,2\}", r"\{2\}\cup\{1\}", True),
        ("(0,1)", r"(0,1)\cup\emptyset", None),
        ("[0,1)", "(0,1)", False),
        (r"(-\sqrt{3},\sqrt{3})", "(-1.7,1.7)", False),
        (r"\mathbb{R}", r"(-\infty,\infty)", True),
    ],
)
def test_regions_have_one_form(one, other, is_same):
    first, second = parse_region(normalise(one)), parse_region(normalise(other))
    assert first is not None
    assert (second and same_region(first, second).is_equal) is is_same
