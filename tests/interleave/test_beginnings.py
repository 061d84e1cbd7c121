"""What may be given of a demonstration."""

from __future__ import annotations

import pytest

from relift.config import GuidedRuleConfig
from relift.interleave.beginnings import beginnings_of
from relift.verifier.extraction import AnswerForm

CONFIG = GuidedRuleConfig()


def test_at_most_three_quarters_are_given_in_at_most_eight_parts_and_never_the_last_step() -> None:
    assert beginnings_of("40*6+7*6=240+42=282", "equals", CONFIG) == ("40*6+7*6=", "40*6+7*6=240+42=")
    assert beginnings_of("282", "equals", CONFIG) == beginnings_of("", "equals", CONFIG) == ()
    for count in range(2, 40):
        text = "=".join(map(str, range(count)))
        found = beginnings_of(text, "equals", CONFIG)
        assert len(found) == int(0.75 * min(8, count)) and list(found) == sorted(set(found), key=len)
        assert all(text.startswith(one) and one.endswith("=") for one in found)
        assert all(one.count("=") <= 0.75 * count for one in found)
    assert beginnings_of("a\nb\n\nc\n7", "hashes", CONFIG) == ("a\n", "a\nb\n\n", "a\nb\n\nc\n")


@pytest.mark.parametrize(("longest", "characters"), [(0.5, 9), (0.75, 13), (0.9, 15)])
def test_cut_at_characters_what_is_given_is_at_most_its_share_too_and_nothing_of_the_last_step(
    longest: float, characters: int
) -> None:
    finer = GuidedRuleConfig(cut_at="characters", longest=longest)
    text = "40*6+7*6=240+2=242"
    assert beginnings_of(text, "equals", finer) == tuple(
        text[:end] for end in (2, 4, 6, 9, 11, 13, 15) if end <= characters
    )
    assert beginnings_of("1=2", "equals", finer)[:1] == ("1",) and beginnings_of("2", "equals", finer) == ()


@pytest.mark.parametrize("cut_at", ["steps", "characters"])
def test_the_tag_that_opens_the_reasoning_is_never_cut_nor_given_alone(cut_at: str) -> None:
    config = GuidedRuleConfig(cut_at=cut_at)  # type: ignore[arg-type]
    found = beginnings_of("<think>\nab\ncd\n</think>\n7", "hashes", config)
    assert found == tuple(f"<think>\n{one}" for one in beginnings_of("ab\ncd\n</think>\n7", "hashes", config)) and found


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("56*9=504\n#### 504", "hashes", ("56*9=",)),
        ("5*8=40\n40+7=47\nIt is 47.\n#### 47", "hashes", ("5*8=", "5*8=40\n", "5*8=40\n40+7=")),
        ("2*500=1000\nThat is 1,000\n7\n#### 1000", "hashes", ("2*500=",)),
        ("7-9\nHe owes -2\n\n#### -2", "hashes", ("7-9\n",)),
        ("Try.\nSo \\boxed{42}.\nWe are done.\nReally.", "boxed", ("Try.\n",)),
        ("Try.\nSo \\boxed{1/2}.\n0.5 it is.\nSo \\boxed{0.5}", "boxed", ("Try.\n",)),
        ("It is \\frac{1}{2}.\nx\n\\boxed{\\frac{1}{2}}", "boxed", ()),
        ("42 of 142 and 4.2\nSo it is \\boxed{2}", "boxed", ("42 of 142 and 4.2\n",)),
        ("not A\nB\nso\n#### B", "hashes", ("not A\n",)),
        ("9" * 5000 + "\nand\n#### 9", "hashes", ("9" * 5000 + "\n", "9" * 5000 + "\nand\n")),
        ("12+0=12", "equals", ("12+0=",)),
        ("12+0=12=12=12", "equals", ("12+0=",)),
    ],
)
def test_a_beginning_that_holds_the_answer_is_none(text: str, form: AnswerForm, expected: tuple[str, ...]) -> None:
    assert beginnings_of(text, form, CONFIG) == expected


def test_half_of_the_answer_is_not_given_either() -> None:
    finer = GuidedRuleConfig(cut_at="characters", longest=0.99)
    assert beginnings_of("56*9=504\n#### 504", "hashes", finer) == ("56", "56*9")
