"""Questions out of rows: what the three kinds of datasets call a text, a gold answer and a solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
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


def format_of(config: QuestionsConfig, name: str, *, section: str = "questions") -> Format:
    """The reader that ``format`` names; arithmetic has none.

    ``name`` is the dataset's, and ``section`` where the settings stand that it speaks of to the user.
    """
    if config.format == "rows":
        return _rows(config, name, section)
    return {"gsm8k": _gsm8k, "reference": _reference}[config.format](section)


def _rows(config: QuestionsConfig, name: str, section: str) -> Format:
    text, answer, solution = config.text_column, config.answer_column, config.solution_column
    columns = Columns(
        needed=(text, answer, solution) if solution else (text, answer),
        setting=f"{section}.text_column, {section}.answer_column or {section}.solution_column"
        if solution
        else f"{section}.text_column or {section}.answer_column",
    )

    def question(row: Row) -> Question:
        values = row.values
        return _question(
            asked=values[text],
            answer=values[answer],
            solution=values[solution] if solution else None,
            source=name,
        )

    return Format(columns, question)


def _gsm8k(section: str) -> Format:
    def question(row: Row) -> Question:
        solution = row.values["answer"]
        if not isinstance(solution, str) or "####" not in solution:
            raise BadRow("its answer does not end in a line '#### value'")
        gold = solution.rpartition("####")[2]
        return _question(asked=row.values["question"], answer=gold, solution=solution, source="gsm8k")

    setting = f"{section}.format (gsm8k has the columns question and answer; 'rows' takes any names)"
    return Format(Columns(needed=("question", "answer"), setting=setting), question)


def _reference(section: str) -> Format:
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

    setting = f"{section}.format ('reference' has prompt, reward_model and, for training, target)"
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
    """Numbers as a column stores them are golds too, as the shortest decimal that is that number: 3.0 is ``3``."""
    if isinstance(answer, bool):
        raise BadRow(f"its gold answer is {str(answer).lower()}, neither a number nor text")
    if isinstance(answer, int):
        return str(answer)
    if isinstance(answer, float | Decimal):
        number = Decimal(repr(answer)) if isinstance(answer, float) else answer
        if not number.is_finite():
            raise BadRow(f"its gold answer is {answer}")
        text = f"{number:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    return answer.strip() if isinstance(answer, str) else answer


def _text(value: Any, what: str) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRow(f"no {what}")
    if not isinstance(value, str):
        raise BadRow(f"its {what} is a {type(value).__name__}, not text")
    if len(value) > MAX_TEXT_CHARS:
        raise BadRow(f"its {what} has {len(value)} characters, at most {MAX_TEXT_CHARS} are read")
    if "\0" in value:
        raise BadRow(f"its {what} holds a NUL character, which is no text")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRow(f"its {what} holds half a surrogate pair, which no tokenizer can encode")
    return value
