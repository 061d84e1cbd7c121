"""Where the final answer of a completion stands, and what is said where there is none."""

from __future__ import annotations

import pytest

from relift.records import Status
from relift.verifier import boxes, extract


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
        (r"\boxed{x^{2}+\{1\}}.", r"x^{2}+\{1\}"),
        (r"\boxed{1\\}", r"1\\"),
        (r"\boxed{\fbox{3}}", r"\fbox{3}"),
        (r"\boxed{3} \boxedtext{4}", "3"),
        (r"\boxed{3} and so on" + " and on" * 10_000, "3"),
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
        (r"\boxed{\boxed{3}, 4}", Status.MALFORMED),
        (r"\boxed{4, \boxed{3}}", Status.MALFORMED),
        (r"\boxed{}, \boxed{3}", Status.MALFORMED),
        (r"<think>a</think> b </think>\boxed{3}", Status.MALFORMED),
        (r"<think>a</think><think>b</think>\boxed{5}", Status.MALFORMED),
        ("\\boxed{" * 10_000, Status.MALFORMED),
        ("\\boxed{" + "{" * 10_000, Status.MALFORMED),
    ],
)
def test_a_damaged_or_missing_box_never_falls_back_to_an_earlier_one(text, status):
    extraction = extract(text, "boxed")
    assert extraction.answer is None
    assert extraction.status is status
    assert extraction.reason


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3} \boxed{4}", r"3 \text{ and } 4"),
        (r"\boxed{3}, \boxed{4}, \boxed{4}", r"3 \text{ and } 4"),
        (r"$\boxed{(2,2)} \quad \text{and} \quad \boxed{(6,2)}$", r"(2,2) \text{ and } (6,2)"),
        (r"\(\boxed{3}\) or \(\boxed{4}\)", r"3 \text{ and } 4"),
        (r"\boxed{1} no, \boxed{3} and \boxed{4}", r"3 \text{ and } 4"),
        (r"\boxed{4}. Wait, no. \boxed{3}", "3"),
        (r"\boxed{004} and \boxed{ 004 }", "004"),
        (r"\boxed{0.5}, \boxed{\frac12}", r"\frac12"),
    ],
)
def test_different_boxes_side_by_side_are_one_answer_that_lists_them(text, answer):
    assert extract(text, "boxed").answer == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3}", "3"),
        ("so\n#### 42\n", "42"),
        ("#### Step 2\nso \\boxed{7}", "7"),
        ("#### 2. Then\nso \\boxed{7}", "7"),
        ("\\boxed{42}\n#### 42.0", "42.0"),
        ("#### 1\n#### 42", "42"),
    ],
)
def test_either_takes_the_box_or_the_marker(text, answer):
    assert extract(text, "either").answer == answer


@pytest.mark.parametrize("form", ["either", "hashes"])
def test_a_box_and_a_marker_must_agree(form):
    assert extract("\\boxed{43}\n#### 42", form).status is Status.MALFORMED
    assert extract("#### 42\nso \\boxed{43}", form).status is Status.MALFORMED
    assert extract("\\boxed{43\n#### 42", form).status is Status.MALFORMED
    assert extract(r"\boxed{\frac{1}{2}} #### 0.5", form).answer == "0.5"


def test_either_without_box_and_marker_is_no_answer():
    assert extract("the answer is 42", "either").status is Status.NO_ANSWER


@pytest.mark.parametrize("text", [None, 3, b"\\boxed{3}", ["3"]])
def test_what_is_no_text_is_an_error(text):
    assert extract(text, "boxed").status is Status.ERROR


class Counting:
    """The pattern for braces, with a count of what is looked at."""

    def __init__(self, pattern):
        self.pattern, self.seen = pattern, 0

    def finditer(self, *where):
        for found in self.pattern.finditer(*where):
            self.seen += 1
            yield found


HOSTILE = [
    "\\boxed{",
    "{",
    "}",
    "\\boxed{1}",
    "\\boxed{\\{1}",
    "\\boxed{{1}},",
    "\\boxed{1} and ",
    "\\",
    "\\boxed",
    "a{b}",
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("tail", ["", r"\boxed{x^{2}}", "}" * 50, r"\boxed{{3"])
def test_the_braces_looked_at_do_not_grow_with_the_text(monkeypatch, unit, tail):
    """Counted, not timed: what is walked in Python has a limit however long the completion is."""
    seen = []
    for times in (5_000, 20_000):
        braces = Counting(boxes._BRACE)
        monkeypatch.setattr(boxes, "_BRACE", braces)
        extract(unit * times + tail, "boxed")
        monkeypatch.undo()
        seen.append(braces.seen)
    assert seen[0] == seen[1] <= (boxes.MAX_BRACES + 2) * 3


def test_a_nest_of_boxes_costs_a_bounded_number_of_walks(monkeypatch):
    braces = Counting(boxes._BRACE)
    monkeypatch.setattr(boxes, "_BRACE", braces)
    assert extract("\\boxed{" * 400 + "3" + "}" * 400, "boxed").answer == "3"
    assert braces.seen < 60_000


def test_where_the_prompt_opens_the_reasoning_only_a_closing_tag_ends_it():
    assert extract(r"so \boxed{3}", "boxed").answer == "3"
    assert extract(r"so \boxed{3}", "boxed", think_opened=True).status is Status.NO_ANSWER
    assert extract(r"so</think>\boxed{3}", "boxed", think_opened=True).answer == "3"


def test_where_the_reasoning_is_ignored_the_last_answer_of_the_whole_text_counts():
    for text in (
        r"<think>\boxed{2} so \boxed{3}",
        r"so</think> a</think>\boxed{3}",
        r"\boxed{2}</think>or \boxed{3}<think>",
    ):
        found = extract(text, "boxed", thinking="ignored", think_opened=True)
        assert (found.answer, found.status) == ("3", None), text
    assert extract("<think>no answer", "boxed", thinking="ignored").status is Status.NO_ANSWER
    assert extract("<think>6*7=42", "equals", thinking="ignored").answer == "42"


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
