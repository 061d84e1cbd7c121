"""Answers without a mark, run-ons, and which of several final answers counts."""

from __future__ import annotations

import time

import pytest

from relift.records import FinishReason, Status
from relift.verifier import Verifier, extract


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3}", "3"),
        ("so\n#### 42\n", "42"),
        ("#### Step 1\nadd\n#### Step 2\nso 3 + 4 = 7", "7"),
        ("The answer is: **42**", "42"),
        ("Answer: 42", "42"),
        ("Answer $ 9 $", "9"),
        ("Answer \\[ 9 \\]", "9"),
        ("64 + 60 = 124, then 124 + 7 = 131. The answer is 131.", "131"),
        ("64 + 67 = **131**", "131"),
        ("the number is **73**.\n\n---\n\nFinal Answer: **73**", "73"),
        ("The final answer is 12,000,023. I hope it is correct.", "12,000,023"),
        ("The answer is $\\frac{1}{2}$ apples.", r"\frac{1}{2}"),
        ("So $x = 5$ and we are done.", "x = 5"),
        ("The area is $3 + 4 = 7$.", "7"),
        ("The total cost is $18.50.", "$18.50"),
        ("<think>2 + 2</think>\n<answer>4</answer>", "4"),
        ("The correct answer is (C).", "C"),
        ("The answer: D, since A and B make no sense", "D"),
        ("I think it's B", "B"),
        ("总共有99颗弹珠。", "99"),
        ("答案是 42。", "42"),
        ("-\\frac{10}{9}", r"-\frac{10}{9}"),
        ("1/5", "1/5"),
        (".4", ".4"),
        ("28 percent", "28 percent"),
        (r"We get \boxed{a \ll b}." + "\n\n**Answer: D**", "D"),
        (r"\boxed42", "42"),
    ],
)
def test_flexible_takes_what_is_marked_or_else_what_the_text_seems_to_say(text, answer):
    assert extract(text, "flexible").answer == answer


@pytest.mark.parametrize("text", ["", "I do not know.", "<think>The answer is 4."])
def test_flexible_finds_no_answer_where_there_is_none(text):
    assert extract(text, "flexible").status is Status.NO_ANSWER


def test_no_other_form_takes_an_answer_without_a_mark():
    text = "The answer is **42**."
    assert {extract(text, form).status for form in ("boxed", "hashes", "either")} == {Status.NO_ANSWER}


def test_an_answer_without_a_mark_may_still_change_when_tokens_ran_out():
    with Verifier("flexible", workers=1) as verifier:
        assert verifier.verify("1", "The answer is 1", FinishReason.LENGTH).status is Status.TRUNCATED
        assert verifier.verify("1", r"It is \boxed{1} because", FinishReason.LENGTH).status is Status.CORRECT


GSM8K_RUN_ON = "9*2=18.\n#### 18\n\nQuestion: Tom has 3 apples and buys 4. How many?\nAnswer: 3+4=7\n#### 7"


@pytest.mark.parametrize(
    ("text", "form", "answer"),
    [
        (GSM8K_RUN_ON, "hashes", "18"),
        (GSM8K_RUN_ON, "flexible", "18"),
        ("\\boxed{42}\n\nProblem: What is 3+4?\nSolution: \\boxed{7}", "boxed", "42"),
        ("\\boxed{42}\n\n### Question 2: What is 3+4?\n\\boxed{7}", "boxed", "42"),
        ("The answer is 5.\n\nQ: What is 3+4?\nA: The answer is 7.", "flexible", "5"),
        ("Question: what is 6*7?\nWell, \\boxed{42}", "boxed", "42"),
        ("Problem: read it again.\n\\boxed{1} is wrong.\nSo \\boxed{2}.", "boxed", "2"),
        ("\\boxed{3}\nUser: and 2+2? Assistant: \\boxed{4}", "boxed", "4"),
        ("#### Problem: as given\n#### Solution\nso \\boxed{7}", "either", "7"),
    ],
)
def test_what_follows_the_heading_of_another_question_is_not_the_answer_to_this_one(text, form, answer):
    assert extract(text, form).answer == answer


@pytest.mark.parametrize(
    ("text", "form", "first", "last"),
    [
        (r"\boxed{3} no wait, \boxed{5}", "boxed", "3", "5"),
        (r"\boxed{3}, \boxed{4} no wait, \boxed{5}", "boxed", r"3 \text{ and } 4", "5"),
        ("#### 1\n#### 2", "hashes", "1", "2"),
        ("#### 1\nso \\boxed{1}", "either", "1", "1"),
        ("The answer is 3.\nNo: the answer is 5.", "flexible", "3", "5"),
        ("none", "boxed", None, None),
    ],
)
def test_the_first_or_the_last_final_answer_counts(text, form, first, last):
    assert extract(text, form, final_answer="first").answer == first
    assert extract(text, form).answer == last


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"$y_1 = \boxed{x+1}$ and $y_2 = \boxed{x-1}$", r"y_1=x+1 \text{ and } y_2=x-1"),
        (r"$a = \boxed{a = 1}$, $b = \boxed{2}$", r"a = 1 \text{ and } b=2"),
        (r"\boxed{(3, 3)} \text{ for part (a) and } \boxed{(1, 1)}", r"(3, 3) \text{ and } (1, 1)"),
        (r"$a = \boxed{1}$, so $b = \boxed{2}$", "2"),
        (r"$a = \boxed{1}$ and $a = \boxed{2}$", "2"),
        (r"\boxed{3} + \boxed{5} = \boxed{8}", "8"),
    ],
)
def test_boxes_with_names_of_their_own_are_the_parts_of_one_answer(text, answer):
    assert extract(text, "boxed").answer == answer


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{42}. I marked it with \boxed as asked.",
        r"\boxed{42}. (written as \boxed{...})",
        r"\boxed{42}, in `\boxed`.",
        r"\fbox{42}",
        r"\boxed{42<|im_end|>}",
        "#### 42<|endoftext|>",
    ],
)
def test_a_box_that_is_only_spoken_of_and_a_token_behind_the_value_change_nothing(text):
    assert extract(text, "either").answer == "42"


@pytest.mark.parametrize("text", [r"\boxed{3} or \boxed 4", r"\boxed{3} or \boxed", r"\boxed{3} and \boxed{}"])
def test_a_box_that_was_begun_is_never_taken_for_one_that_is_spoken_of(text):
    assert extract(text, "boxed").status is Status.MALFORMED


HOSTILE = ["answer" + " " * 99, "\nQuestion: ", "\\boxed{1}\nQ:", "<|a|>", "<answer>", "$", "\\(", "**a", "1,", "= "]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("final_answer", ["first", "last"])
def test_hostile_texts_take_time_that_grows_with_their_length_alone(unit, final_answer):
    spent = []
    for times in (2_000, 20_000):
        began = time.process_time()
        extract(unit * times, "flexible", final_answer=final_answer)
        extract("\\boxed{1}" + unit * times, "boxed", final_answer=final_answer)
        spent.append(time.process_time() - began)
    assert spent[1] < 40 * max(spent[0], 0.005)
