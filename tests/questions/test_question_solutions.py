"""A dataset's solution in the student's answer form."""

from __future__ import annotations

import pytest

from relift.config import QuestionsConfig
from relift.questions import render_solution
from relift.records import Question, question_id

SOLUTION = "Half is 48/2 = <<48/2=24>>24.\nAnd 1 << 3 stays.\n#### 1,024\n"


def question(solution: str | None) -> Question:
    return Question(id=question_id("q"), text="q", answer="1024", source="gsm8k", solution=solution)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Half is 48/2 = 24.\nAnd 1 << 3 stays.\n\\boxed{1,024}"),
        ({"answer_form": "hashes"}, "Half is 48/2 = 24.\nAnd 1 << 3 stays.\n#### 1,024"),
        ({"solution_marker_to_box": False}, "Half is 48/2 = 24.\nAnd 1 << 3 stays.\n#### 1,024"),
        ({"remove_calculator_notes": False}, "Half is 48/2 = <<48/2=24>>24.\nAnd 1 << 3 stays.\n\\boxed{1,024}"),
    ],
)
def test_marker_and_notes_follow_their_settings(changes, text):
    assert render_solution(question(SOLUTION), QuestionsConfig(format="gsm8k", **changes)) == text


def test_only_the_final_marker_becomes_a_box():
    text = render_solution(question("#### 1\nno:\n####2"), QuestionsConfig(format="gsm8k"))
    assert text == "#### 1\nno:\n\\boxed{2}"


def test_a_question_without_a_solution_has_none_to_render():
    with pytest.raises(ValueError, match="no solution"):
        render_solution(question(None), QuestionsConfig(format="gsm8k"))
