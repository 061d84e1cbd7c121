"""Whether the runs would admit a solution: their answer form, their gold, their student, by the rules of admission."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from relift.config import PolicyConfig, QuestionsConfig, TeacherConfig
from relift.config.recorded import in_todays_keys
from relift.errors import LedgerError, ModelError
from relift.exchange.candidates import Candidate
from relift.questions.solutions import render_solution
from relift.records import Demonstration, Question, Written, demonstration_id
from relift.teacher.admission import admit
from relift.thinking import Thinking, thinking_of
from relift.verifier import Verifier
from relift.verifier.configured import verifier_of

log = logging.getLogger(__name__)
_ABOUT_THE_DATASET = {
    *("format", "path", "text_column", "answer_column", "solution_column", "families", "count", "batch_size"),
    *("held_out_share", "max_bad_share", "control_tokens"),
}
"""Settings of the questions that decide on no solution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part of a run's configuration that decides on a solution."""

    questions: QuestionsConfig
    policy: PolicyConfig
    max_tokens: int
    """Of a demonstration."""

    @property
    def key(self) -> str:
        """Equal where the rules are."""
        questions = self.questions.model_dump_json(exclude=_ABOUT_THE_DATASET)
        return repr((questions, self.max_tokens, self.policy.model_dump_json()))


def settings_of(run: str, config_json: str) -> Settings:
    """Out of the configuration that a ledger holds, whatever else is in it.

    Raises LedgerError where another version of relift wrote these parts in another way.
    """
    try:
        tree = in_todays_keys(json.loads(config_json))
        return Settings(
            questions=QuestionsConfig.model_validate(tree["questions"]),
            policy=PolicyConfig.model_validate(tree["policy"]),
            max_tokens=TeacherConfig.model_validate(tree["teacher"]).max_tokens,
        )
    except (ValidationError, ValueError, KeyError, TypeError) as problem:
        raise LedgerError(
            f"The configuration of run {run} is of another version of relift ({str(problem).splitlines()[0]}), so what "
            f"it would admit is not known. Name the runs that the solutions are for with --run."
        ) from problem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What decides on a solution in a run; runs of equal settings share one."""

    settings: Settings
    verifier: Verifier
    write: Callable[[str], Written]
    max_tokens: int


class Checker:
    """The rules of some runs; a context manager, since each holds a verifier."""

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        self._settings = settings
        self._rules: dict[str, _Rules] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for rules in self._rules.values():
            rules.verifier.close()

    def check(self, candidate: Candidate, known_as: Mapping[str, Question]) -> tuple[Demonstration, str | None]:
        """(the demonstration as it is given, why a run that knows the question would refuse it).

        ``known_as``: the question as each of those runs knows it, with its gold.
        """
        seen: dict[tuple[str, str], Demonstration] = {}
        for run, question in known_as.items():
            key = self._settings[run].key
            if (key, question.answer) in seen:
                continue
            judged = self._judge(candidate, question, self._rules_of(run))
            seen[key, question.answer] = judged
            if judged.refusal is not None:
                return judged, f"{judged.refusal} (run {run})"
        first = next(iter(seen.values()))
        # As it was given: each run writes it in its own answer form when it takes it.
        return _as_given(candidate, first.tokens), None

    def _judge(self, candidate: Candidate, question: Question, rules: _Rules) -> Demonstration:
        asked = Question(
            id=question.id, text=question.text, answer=question.answer, source=question.source, solution=candidate.text
        )
        return admit(
            asked,
            render_solution(asked, rules.settings.questions),
            source=candidate.source,
            verifier=rules.verifier,
            write=rules.write,
            max_tokens=rules.max_tokens,
        )

    def _rules_of(self, run: str) -> _Rules:
        settings = self._settings[run]
        if settings.key not in self._rules:
            self._rules[settings.key] = _rules(run, settings)
        return self._rules[settings.key]


def _as_given(candidate: Candidate, tokens: int) -> Demonstration:
    return Demonstration(
        id=demonstration_id(candidate.question_id, candidate.text),
        question_id=candidate.question_id,
        text=candidate.text,
        source=candidate.source,
        tokens=tokens,
    )


def _rules(run: str, settings: Settings) -> _Rules:
    from relift.policy.model import load_student

    questions = settings.questions
    try:
        student = load_student(settings.policy)
    except ModelError as problem:
        # A person's laptop need not hold the model: what only its tokenizer and template can say is left to the run.
        log.warning("length and characters are not checked for run %s, which will do so itself: %s", run, problem)
        opened = thinking_of(settings.policy.prompt_suffix) is Thinking.OPENED
        return _Rules(
            settings=settings,
            verifier=verifier_of(questions, think_opened=opened),
            write=lambda text: Written(text=text, tokens=0),
            max_tokens=sys.maxsize,
        )
    return _Rules(
        settings=settings,
        verifier=verifier_of(questions, think_opened=student.thinks),
        write=student.write,
        max_tokens=settings.max_tokens,
    )
