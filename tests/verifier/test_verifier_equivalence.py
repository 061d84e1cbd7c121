"""What is settled in process: spelling, exact numbers, text, bounds and shapes."""

from __future__ import annotations

import random
import time
from fractions import Fraction

import pytest

from relift.records import DecidedBy, Status
from relift.verifier.equivalence import (
    LITERAL_ONLY,
    Decision,
    Undecided,
    check_gold,
    check_number,
    decide,
    decide_number,
)
from relift.verifier.rational import exact_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        ("-0", Fraction(0)),
        ("+3.50", Fraction(7, 2)),
        (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        (r"-1\frac12", Fraction(-3, 2)),
        ("1 1/2", Fraction(3, 2)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"1.2\overline{34}", Fraction(1222, 990)),
        ("2^{10}", Fraction(1024)),
        ("2^{-3}", Fraction(1, 8)),
        (r"1.5\times 10^{3}", Fraction(1500)),
        (r"50\%", Fraction(1, 2)),
    ],
)
def test_exact_numbers_are_read_as_fractions(text, value):
    found = exact_value(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", r"\frac{1}{0}", "1,2", "--3", "1e5", "2^{99999}", "1" * 700, "9^{9^{9}}"]
)
def test_whatever_is_no_plain_number_is_not_read_as_one(text):
    assert exact_value(text) is None


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("72", "72.0", Status.CORRECT),
        ("1/3", "0.3333", Status.WRONG),
        ("100000000000000000001", "100000000000000000000", Status.WRONG),
        ("10^{-20}", "10^{-21}", Status.WRONG),
        ("50", r"50\%", Status.CORRECT),
        ("0.5", r"50\%", Status.CORRECT),
        (r"50\%", "0.5", Status.CORRECT),
        (r"50\%", "50", Status.CORRECT),
        (r"50\%", "0.005", Status.WRONG),
        ("50", "0.5", Status.WRONG),
        ("5/2", r"5\frac{1}{2}", Status.WRONG),
    ],
)
def test_two_exact_numbers_are_settled_both_ways(gold, answer, status):
    assert decide(gold, answer) == Decision(status, DecidedBy.RATIONAL)


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("B", r"\textbf{B}", Status.CORRECT),
        (r"(\text{C})", "C", Status.CORRECT),
        ("E", "2.718281828", Status.WRONG),
        ("B", "AB", Status.WRONG),
        (r"\text{Yes}", r"\text{yes}", Status.CORRECT),
        (r"\text{ab}", r"\text{ba}", Status.WRONG),
        ("2024-01-05", "2024-01-06", Status.WRONG),
    ],
)
def test_choices_words_and_dates_are_compared_as_text(gold, answer, status):
    assert decide(gold, answer) == Decision(status, DecidedBy.STRING)


@pytest.mark.parametrize(
    "answer",
    [
        *("9**9**9", "9^{9^9}", "2^{10^{9}}", "x^{100000}", "100000000!", "((9!)!)!"),
        *("(" * 100 + "x", "3} x {", "1+" * 400 + "x", "x" * 1_000_000),
    ],
)
def test_answers_too_large_to_compute_with_reach_no_parser(answer):
    started = time.perf_counter()
    decision = decide("3", answer)
    assert isinstance(decision, Decision)
    assert (decision.status, decision.path) == (Status.WRONG, DecidedBy.GUARD)
    assert time.perf_counter() - started < 0.1


def test_a_gold_too_large_to_parse_still_matches_itself():
    gold = "1" + "0" * 5_000
    assert decide(gold, gold) == Decision(Status.CORRECT, DecidedBy.STRING)


@pytest.mark.parametrize(
    "answer",
    ["0=1=2=3", "1+2=3", "1,2,3", "[3,3]", r"\{3,4\}", r"\pm 3", r"x\ge 3", r"3\text{ or any other number}"],
)
def test_a_gold_that_is_one_number_refuses_chains_lists_relations_and_words(answer):
    decision = decide("3", answer)
    assert isinstance(decision, Decision)
    assert (decision.status, decision.path) == (Status.WRONG, DecidedBy.GUARD)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("(1,2)", r"\{1,2\}"), ("15_{7}", "15_{8}"), (r"10\text{ cm}", r"10\text{ m}"), (r"\Gamma", r"\gamma")],
)
def test_kinds_that_the_parser_does_not_tell_apart_are_told_apart(gold, answer):
    assert decide(gold, answer).status is Status.WRONG


@pytest.mark.parametrize(
    ("gold", "answer", "undecided"),
    [
        ("3", r"\int_0^3 1\,dx", Undecided("3", r"\int_{0}^{3}1 dx")),
        ("3", r"x = \lim_{n\to\infty} 3", Undecided("3", r"\lim_{n\to\infty}3")),
        (r"3\text{ cm}", r"\sum_{k=1}^{2} k\text{ cm}", Undecided("3", r"\sum_{k=1}^{2}k")),
        (r"\tan^2 y + 1", r"\sec^2 y", Undecided(r"\tan^{2}y+1", r"\sec^{2}y")),
    ],
)
def test_what_a_computer_algebra_system_must_decide_is_left_undecided(gold, answer, undecided):
    """Both sides without units and names, which a parser would read in its own way."""
    assert decide(gold, answer) == undecided


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("3", "1+2", Status.CORRECT),
        ("3", "x=3", Status.CORRECT),
        ("3", r"\sqrt{9}", Status.CORRECT),
        ("3", r"3\text{ dollars}", Status.CORRECT),
        ("3", "(3)", Status.CORRECT),
        ("(x+1)^2", "x^2+2x+1", Status.CORRECT),
        ("(x+1)^2", "x^2+1", Status.WRONG),
        (r"\{1,2\}", r"\{2,1\}", Status.CORRECT),
        ("x>3", "2x>6", Status.CORRECT),
    ],
)
def test_exact_arithmetic_is_done_here(gold, answer, status):
    assert decide(gold, answer) == Decision(status, DecidedBy.RATIONAL)


@pytest.mark.parametrize("answer", ["40*6+7*6", "281+1", r"\frac{564}{2}0", "2 82", "x=282", "282 apples"])
def test_where_a_number_must_be_written_out_no_expression_counts(answer):
    assert decide_number("282", answer) == Decision(Status.WRONG, DecidedBy.STRING, "not a plain number")
    assert decide_number("282", "282.0") == Decision(Status.CORRECT, DecidedBy.RATIONAL)
    assert check_number("x+1").status is Status.BAD_GOLD


@pytest.mark.parametrize("gold", ["", "  ", "$$", "nan", "N/A", "9^{9^{9}}", r"\frac{1}{", "y" * 20_000])
def test_a_gold_that_nothing_can_equal_is_bad(gold):
    decision = check_gold(gold)
    assert isinstance(decision, Decision)
    assert decision.status is Status.BAD_GOLD
    assert decision.reason


@pytest.mark.parametrize("gold", ["1 +", r"\frac{1}", "x=", "???", "$t(0,4]$", r"\frac{1}{2"])
def test_a_damaged_gold_is_not_waved_through_here(gold):
    decision = check_gold(gold)
    is_literal = isinstance(decision, Decision) and decision.reason == LITERAL_ONLY
    assert isinstance(decision, Undecided) or is_literal or decision.status is Status.BAD_GOLD


def test_a_long_answer_is_not_even_normalised(monkeypatch):
    seen = []
    monkeypatch.setattr("relift.verifier.equivalence.normalise", lambda text, **_: seen.append(len(text)) or "4")
    decide("a gold of its own", "x" * 5_000)
    assert seen == [len("a gold of its own")]


def test_random_texts_of_latex_raise_nothing():
    """Both sides, with brackets that do not match, and each text as a gold of its own."""
    words = r"\frac \sqrt { } ( ) [ ] \{ \} ^ _ + - * / = < \le , ; : | ! 12 0.5 x i \pi \infty \cup \text{or} and \pm"
    words = [
        *words.split(),
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        "\\\\",
        "&",
        "%",
        "...",
        "B.",
        "4:30",
        "°",
        "²",
        "é",
        "\0",
    ]
    draw = random.Random(7)
    for _ in range(3_000):
        text = "".join(draw.choices(words, k=draw.choice([2, 5, 12, 40])))
        found = [decide("3", text), decide(text, "(1,2]"), decide(r"x \ge 3", text), check_gold(text)]
        assert all(isinstance(one, (Decision, Undecided)) for one in found)


@pytest.mark.parametrize(
    "bomb",
    [
        r"\sin(" * 24 + "x" + ")" * 24,
        r"\lfloor " * 24 + "x" + r"\rfloor" * 24,
        r"\sqrt[3]{x+" * 24 + "1" + "}" * 24,
        "(x+" * 24 + "1" + ")^{12}" * 24,
        r"\frac{1}{1+" * 24 + "x" + "}" * 24,
        "2^{" * 24 + "x" + "}" * 24,
        "sqrt(" * 390,
        "factorial(" * 190,
        r"\frac1" * 330,
        "√" * 1_900,
        "(a+b+c+d+e+f+g+h)^{12}",
        "((x+1)^{12}+(y+1)^{12})^{12}",
        "(200!)^{9999}",
        r"\ln " + "9" * 580,
    ],
)
def test_what_is_nested_or_long_is_decided_at_once_in_this_process(bomb):
    """Nothing could kill it here, so nothing may grow, such as the names of functions in functions."""
    began = time.perf_counter()
    for gold in ("3", "x", "1,2", bomb.replace("x", "y")):
        decide(gold, bomb)
    assert time.perf_counter() - began < 2.0
