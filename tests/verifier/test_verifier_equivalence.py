"""What is settled in process: spelling, exact numbers, text, bounds and shapes."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from relift.records import DecidedBy, Status
from relift.verifier.equivalence import Decision, Undecided, check_gold, decide
from relift.verifier.normalise import normalise
from relift.verifier.rational import exact_value


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("１２３", "123"),
        ("٣", "3"),
        ("\u22123", "-3"),
        ("½", r"\frac{1}{2}"),
        ("x²", "x^{2}"),
        ("1,234,567", "1234567"),
        ("1{,}000", "1000"),
        (r"1\,000", "1000"),
        ("1\u00a0000", "1000"),
        ("$ 1,000.50$", "1000.50"),
        ("32, 349", "32, 349"),
        ("(1, 2)", "(1,2)"),
        ("1 2", "1 2"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"\$10", "10"),
        (r"2\pi x", r"2\pi x"),
        (r"\text{Answer: } 3", "3"),
        ("\u200b3\u200b", "3"),
        ("185\\", "185"),
        ("5.", "5"),
        ("28 percent", r"28\%"),
        (r"1-\frac{1}{\mathrm{e}}", r"1-\frac{1}{e}"),
    ],
)
def test_spellings_of_one_answer_become_one(text, normal):
    assert normalise(text) == normal
    assert normalise(normal) == normal


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
        (r"50\%", "50", Status.WRONG),
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


@pytest.mark.parametrize("answer", ["1+2", "x=3", r"\sqrt{9}", r"\max(1,3)", r"3\text{ dollars}", "(3)"])
def test_what_mathematics_must_decide_is_left_undecided(answer):
    assert decide("3", answer) == Undecided("3", normalise(answer))


@pytest.mark.parametrize("gold", ["", "  ", "$$", "nan", "N/A", "9^{9^{9}}", r"\frac{1}{", "y" * 20_000])
def test_a_gold_that_nothing_can_equal_is_bad(gold):
    decision = check_gold(gold)
    assert isinstance(decision, Decision)
    assert decision.status is Status.BAD_GOLD
    assert decision.reason
