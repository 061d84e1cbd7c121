"""Questions out of rows: what the three kinds of datasets call a text, a gold answer and a solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relift.config import QuestionsConfig
from relift.questions.rows import Columns, Row
from relift.records import Question, Turn, question_id

MAX_TEXT_CHARS = 100_000
MAX_TURNS = 100


class BadRow(Exception):
    """A row that holds no question one can ask and grade; the text says why."""


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of dataset is read."""

    columns: Columns
    question: Callable[[Row], Question]
    """Raises BadRow."""


def format_of(config: QuestionsConfig) -> Format:
    """The reader that ``questions.format`` names; arithmetic has none."""
    return {"rows": _rows, "gsm8k": _gsm8k, "reference": _reference}[config.format](config)


def _rows(config: QuestionsConfig) -> Format:
    text, answer, solution = config.text_column, config.answer_column, config.solution_column
    columns = Columns(
        needed=(text, answer, solution) if solution else (text, answer),
        setting="questions.text_column, questions.answer_column or questions.solution_column",
    )

    def question(row: Row) -> Question:
        values = row.values
        return _question(
            asked=values[text],
            answer=values[answer],
            solution=values[solution] if solution else None,
            source=Path(row.file).stem,
        )

    return Format(columns, question)


def _gsm8k(config: QuestionsConfig) -> Format:
    def question(row: Row) -> Question:
        solution = row.values["answer"]
        if not isinstance(solution, str) or "####" not in solution:
            raise BadRow("its answer does not end in a line '#### value'")
        gold = solution.rpartition("####")[2]
        return _question(asked=row.values["question"], answer=gold, solution=solution, source="gsm8k")

    setting = "questions.format (gsm8k has the columns question and answer; 'rows' takes any names)"
    return Format(Columns(needed=("question", "answer"), setting=setting), question)


def _reference(config: QuestionsConfig) -> Format:
    gold = "reward_model.ground_truth"

    def question(row: Row) -> Question:
        values = row.values
        part = values["data_source"]
        return _question(
            asked=values["prompt"],
            answer=values[gold],
            solution=_answered(values["target"]),
            source=f"reference/{part}" if part else "reference",
        )

    setting = "questions.format ('reference' has prompt, reward_model and, for training, target)"
    return Format(Columns(needed=("prompt", gold), optional=("target", "data_source"), setting=setting), question)


def _question(*, asked: Any, answer: Any, solution: Any, source: str) -> Question:
    """``asked``: the text, or a chat whose last message is the question."""
    turns = _turns(asked) if isinstance(asked, list) else [Turn(role="user", text=_text(asked, "question text"))]
    text = turns[-1].text
    return Question(
        id=question_id(text),
        text=text,
        answer=_text(_gold(answer), "gold answer"),
        source=source,
        solution=_text(solution, "solution") if solution else None,
        turns=tuple(turns[:-1]),
    )


def _turns(chat: list[Any]) -> list[Turn]:
    """The messages of a chat: a system message if there is one, then user and assistant in turns, the user last.

    Raises BadRow for every other chat: what a template would make of it is anybody's guess.
    """
    if not 0 < len(chat) <= MAX_TURNS:
        raise BadRow(f"its chat has {len(chat)} messages, 1 to {MAX_TURNS} are read")
    turns = []
    for number, message in enumerate(chat, 1):
        if not isinstance(message, dict):
            raise BadRow(f"its question text is a list, and {number} in it a {type(message).__name__}, no chat message")
        role = message.get("role")
        if role not in ("system", "user", "assistant"):
            raise BadRow(f"message {number} of its chat has the role {role!r}; system, user and assistant are read")
        text = message.get("content")
        if role != "system" or text != "":  # an empty system message keeps a template from putting its own
            text = _text(text, f"text in message {number} of its chat")
        turns.append(Turn(role=role, text=text))
    roles = [turn.role for turn in turns]
    spoken = roles[1:] if roles[0] == "system" else roles
    if spoken != ["assistant" if n % 2 else "user" for n in range(len(spoken))] or len(spoken) % 2 == 0:
        raise BadRow(
            f"its chat goes {', '.join(roles[:8])}; read is a system message or none, then user and assistant in "
            f"turns, with the question last"
        )
    return turns


def _answered(chat: Any) -> Any:
    """What the last message of the assistant says; a solution that is plain text already is taken as it is."""
    if not isinstance(chat, list):
        return chat
    said = [one.get("content") for one in chat if isinstance(one, dict) and one.get("role") == "assistant"]
    return said[-1] if said else None


def _gold(answer: Any) -> Any:
    """Numbers as a column stores them are golds too; 3.0 stays ``3.0``, which is equal to 3."""
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if isinstance(answer, float) and not math.isfinite(answer):
            raise BadRow(f"its gold answer is {answer}")
        return str(answer)
    return answer.strip() if isinstance(answer, str) else answer


def _text(value: Any, what: str) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"its {what} is a {type(value).__name__}, not text")
    if len(value) > MAX_TEXT_CHARS:
        raise BadRow(f"its {what} has {len(value)} characters, at most {MAX_TEXT_CHARS} are read")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRow(f"its {what} holds half a surrogate pair, which no tokenizer can encode")
    return value
