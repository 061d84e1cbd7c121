"""Spellings of one answer become one; what only looks alike stays what it is."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from relift.verifier.normalise import normalise
from relift.verifier.spelling.characters import to_ascii

DATA = Path(__file__).parents[1] / "data"


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
    ("text", "normal"),
    [
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac\pi2", r"\frac{\pi}{2}"),
        (r"\frac{\frac12}3", r"\frac{\frac{1}{2}}{3}"),
        (r"{1 \over 2}", r"\frac{1}{2}"),
        (r"\sqrt2", r"\sqrt{2}"),
        (r"\sqrt[3]2", r"\sqrt[3]{2}"),
        (r"4\sqrt(2)", r"4\sqrt{2}"),
        (r"3\sqrt{}{3}", r"3\sqrt{3}"),
        ("√23", r"\sqrt{23}"),
        ("11z^17", "11z^{17}"),
        ("x^(2/3)", "x^{2/3}"),
        (r"x^\frac12", r"x^{\frac{1}{2}}"),
        ("10110_2", "10110_{2}"),
        ("3*s**2", r"3\cdot s^{2}"),
        ("2*sqrt(2)", r"2\cdot\sqrt{2}"),
        ("(-oo, 3]", r"(-\infty,3]"),
        ("x >= 3", r"x\ge 3"),
        ("1.5e-3", r"1.5\times 10^{-3}"),
        (r"\\frac{1}{2}", r"\frac{1}{2}"),
        (r"0.1\overline{6}", r"\frac{1}{6}"),
        ("0.(27)", r"\frac{3}{11}"),
        ("0.333...", r"\frac{1}{3}"),
        (r"11,\! 111,\! 100", "11111100"),
        ("1.234.567,89", "1234567.89"),
        ("x = 1,234", "x=1234"),
        ("(1,234)", "(1,234)"),
        (r"(1,\,234)", "(1, 234)"),
        ("$1$,$234$", "1, 234"),
        (r"15\mbox{ cm}^2", r"15\text{cm}^{2}"),
        (r"\mathrm{3 cm}", r"3\text{cm}"),
        (r"\operatorname{lcm}(4, 6)", r"\lcm(4,6)"),
        (r"\text{Wrong answer: } 3", r"\text{Wrong answer:}3"),
        (r"\cos 20^\circ", r"\cos(\frac{20\pi}{180})"),
        (r"\quadx_2", "x_{2}"),
    ],
)
def test_commands_arguments_and_powers_have_one_form(text, normal):
    assert normalise(text) == normal
    assert normalise(normal) == normal


def test_commas_stay_where_a_list_is_asked_for():
    assert normalise("100,200") == "100200"
    assert normalise("100,200", is_list=True) == "100,200"


def test_every_digit_of_the_map_is_that_digit():
    """Against Unicode's own table; ten of each of 24 scripts and styles."""
    mapped = {chr(code): to_ascii(chr(code)) for code in range(128, 0x20000)}
    digits = {char: text for char, text in mapped.items() if text.isascii() and text.isdigit()}
    assert len(digits) == 240
    for char, digit in digits.items():
        assert unicodedata.decimal(char) == int(digit), hex(ord(char))


@pytest.mark.parametrize("char", "①⑩❶Ⅲ㊀ᵃℵⅈ三十𝔸𝒜аВ")
def test_what_only_looks_like_a_digit_or_letter_stays(char):
    assert to_ascii(char) == char


def test_letters_of_the_map_are_those_that_differ_in_style_only():
    """Roman, italic, bold, sans and typewriter letters; an accent or another alphabet makes another letter."""
    mapped = {chr(code): to_ascii(chr(code)) for code in range(128, 0x20000)}
    letters = {char: text for char, text in mapped.items() if len(text) == 1 and text.isascii() and text.isalpha()}
    assert len(letters) > 400
    for char, letter in letters.items():
        assert unicodedata.normalize("NFKC", char) in (letter, char), hex(ord(char))


def test_a_power_is_not_lost_as_nfkc_would_lose_it():
    assert normalise("x²") == "x^{2}" != unicodedata.normalize("NFKC", "x²")


@pytest.mark.parametrize("text", ["\x003\x07", "\ufeff3", "3\u200b", "\u202e3", "\ud8003", "\u20663\u2069"])
def test_control_and_format_characters_and_lone_surrogates_go(text):
    assert normalise(text) == "3"


def test_what_is_normalised_is_left_alone():
    rows = [json.loads(line) for line in (DATA / "answers_by_class.jsonl").read_text().splitlines()]
    texts = {text for row in rows for text in (row["gold"], *row["right"], *row["wrong"])}
    assert len(texts) > 700
    assert [text for text in texts if normalise(normalise(text)) != normalise(text)] == []
