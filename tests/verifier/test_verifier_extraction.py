"""Where the final answer of a completion stands, and what is said where there is none."""

from __future__ import annotations

import pytest

from relift.records import Status
from relift.verifier import extract


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{1}. No: \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x : x>1 \right.}", r"\left\{ x : x>1 \right."),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {7}", "7"),
        (r"the broken \boxed{1, then \boxed{4}", "4"),
        (r"<think>\boxed{1}</think> \boxed{2}", "2"),
        (r"\boxed{1}</think> \boxed{2}", "2"),
        (r"<think>a</think><think>b</think>\boxed{5}", "5"),
        ("\\boxed{3" + "}" * 50_000, "3"),
        (r"\boxed{4} and \boxed{4}", "4"),
    ],
)
def test_the_last_box_after_the_reasoning_is_the_answer(text, answer):
    assert extract(text, "boxed").answer == answer


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", Status.NO_ANSWER),
        ("The answer is 3.", Status.NO_ANSWER),
        (r"\boxedtext{3}", Status.NO_ANSWER),
        (r"<think>\boxed{3}", Status.NO_ANSWER),
        (r"<think>a</think> b <think>\boxed{3}", Status.NO_ANSWER),
        (r"<think>\boxed{3}</think> I do not know.", Status.NO_ANSWER),
        (r"\boxed{3} \boxed{4", Status.MALFORMED),
        (r"\boxed{3} and then \boxed{}", Status.MALFORMED),
        (r"\boxed{3} or \boxed 4", Status.MALFORMED),
        (r"\boxed{ }", Status.MALFORMED),
        (r"\boxed{3} \boxed{4}", Status.MALFORMED),
        (r"\boxed{3} \text{ and } \boxed{4}", Status.MALFORMED),
        (r"\boxed{3}, \boxed{4}, \boxed{4}", Status.MALFORMED),
        (r"\boxed{\boxed{3}, 4}", Status.MALFORMED),
    ],
)
def test_a_damaged_or_missing_box_never_falls_back_to_an_earlier_one(text, status):
    extraction = extract(text, "boxed")
    assert extraction.answer is None
    assert extraction.status is status
    assert extraction.reason


def test_where_the_prompt_opens_the_reasoning_only_a_closing_tag_ends_it():
    assert extract(r"so \boxed{3}", "boxed").answer == "3"
    assert extract(r"so \boxed{3}", "boxed", think_opened=True).status is Status.NO_ANSWER
    assert extract(r"so</think>\boxed{3}", "boxed", think_opened=True).answer == "3"


@pytest.mark.parametrize(
    ("text", "answer", "is_closed"),
    [("6*7\n#### 42\nDone.", "42", True), ("#### 1\n#### 42", "42", False), ("####42", "42", False)],
)
def test_hashes_takes_the_line_after_the_last_marker(text, answer, is_closed):
    extraction = extract(text, "hashes")
    assert (extraction.answer, extraction.is_closed) == (answer, is_closed)


def test_hashes_without_a_marker_or_without_a_value_is_no_answer_or_malformed():
    assert extract("42", "hashes").status is Status.NO_ANSWER
    assert extract("42 ####\n", "hashes").status is Status.MALFORMED


@pytest.mark.parametrize(
    ("text", "answer"), [("40*6+7*6=240+42=282", "282"), ("282", "282"), ("=5", "5"), ("a b", "a b")]
)
def test_equals_takes_what_stands_after_the_last_sign_or_the_whole_text(text, answer):
    assert extract(text, "equals").answer == answer


def test_equals_of_an_empty_text_is_no_answer_and_of_an_unfinished_chain_malformed():
    assert extract("  ", "equals").status is Status.NO_ANSWER
    assert extract("40*6=", "equals").status is Status.MALFORMED
