"""A dataset's worked solution, rewritten as the student is to write it."""

from __future__ import annotations

import re

from relift.config import QuestionsConfig
from relift.records import Question

_CALCULATOR_NOTE = re.compile(r"<<[^<>\n]*=[^<>\n]*>>")
_FINAL_MARKER = re.compile(r"####[ \t]*([^\n]*\S)\s*$")


def render_solution(question: Question, config: QuestionsConfig) -> str:
    """The question's solution in the student's answer form; ValueError where it has none.

    GSM8K's calculator notes (``<<48/2=24>>``) go, and a final ``#### 72`` becomes ``\\boxed{72}``; both are settings.
    """
    if question.solution is None:
        raise ValueError(f"question {question.id} has no solution in the dataset")
    text = question.solution
    if config.remove_calculator_notes:
        text = _CALCULATOR_NOTE.sub("", text)
    if config.answer_form == "boxed" and config.solution_marker_to_box:
        text = _FINAL_MARKER.sub(lambda marker: f"\\boxed{{{marker[1]}}}", text)
    return text.strip()
