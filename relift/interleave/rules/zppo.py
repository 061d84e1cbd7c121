"""ZPPO (arXiv 2606.18216): hard questions asked again, with candidates to choose from and with mistakes to avoid.

    hard, less than ``below`` of its rollouts correct  ->  kept, first in, first out
    kept  ->  again      the question as it is
              compared   with its demonstration and a wrong rollout, in random order and without a name
              mistaken   with wrong rollouts
          ->  left, once ``below`` of the rollouts of the question as it is are correct

All are ordinary GRPO prompts in groups of their own; what is shown is never a target. Departures: the published shares
and caps on lengths were not to be seen, so they are settings here; the words are relift's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from relift.config import ZppoRuleConfig
from relift.interleave.fitting import Fitting
from relift.interleave.rule import GuidedPrompt, Lesson, Moment, Rule
from relift.records import RolloutGroup, Status
from relift.thinking import without_reasoning

COMPARED = (
    "Here are two candidate solutions. One of them may be right. Solve the problem.\n\n"
    "Candidate 1:\n{}\n\nCandidate 2:\n{}"
)
MISTAKEN = "Here are solutions that are wrong. Do not repeat their mistakes. Solve the problem.\n\n{}"
WRONG = "Wrong solution {}:\n{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hard:
    """A question that is kept, e.g. with two wrong rollouts, asked in iteration 7, its demonstration not shown yet."""

    demonstration_id: str | None = None
    text: str = ""
    """Of its demonstration."""
    wrong: list[str]
    """Texts of wrong rollouts of the question as it is, each once, the newest first."""
    asked: int = -1
    """The last iteration in which it was, beside the batch; -1 before."""
    is_shown: bool = False
    """Whether its demonstration was: then it need wait no longer."""


class ZppoRule(Rule):
    """Those first that waited longest for their turn."""

    def __init__(self, config: ZppoRuleConfig) -> None:
        self._config = config
        self._with_demonstrations, self._with_mistakes = Fitting("zppo", "a demonstration"), Fitting("zppo", "mistakes")
        self.hard: dict[str, Hard] = {}
        """The first that came is the first."""

    def prompts(self, moment: Moment) -> Sequence[GuidedPrompt]:
        turns = sorted(self.hard, key=lambda question: self.hard[question].asked)
        beside = [question for question in turns if question not in moment.questions]
        again = [
            GuidedPrompt(question, None, demonstration_id=hard.demonstration_id if hard.is_shown else None)
            for question in beside[: self._count(moment, self._config.again)]
            for hard in [self.hard[question]]
        ]
        count = self._count(moment, self._config.compared)
        compared = self._with_demonstrations.first(count, self._compared(moment, turns), moment)
        taken = {prompt.question_id for prompt in compared}
        rest = [question for question in turns if question not in taken]
        count = self._count(moment, self._config.mistaken)
        return [*again, *compared, *self._with_mistakes.first(count, self._mistaken(rest), moment)]

    def requests(self, moment: Moment) -> Sequence[str]:
        if not self._config.compared:
            return ()
        known = {question for question, hard in self.hard.items() if hard.demonstration_id}
        ids = [group.question.id for group in moment.groups if self._is_hard(group, moment)]
        return [question for question in ids if question not in known]

    def advance(self, moment: Moment) -> None:
        for group in (*moment.groups, *(found.group for found in moment.guided if not found.is_guided)):
            question = group.question.id
            if group.accuracy >= self._config.below:
                self.hard.pop(question, None)
            elif question in self.hard or self._is_hard(group, moment):
                before = self.hard.get(question, Hard(wrong=[]))
                wrong = list(dict.fromkeys([*_wrong(group), *before.wrong]))
                self.hard[question] = replace(before, wrong=wrong[: self._config.mistakes])
        asked = {*moment.asked_twice, *(found.prefix.question_id for found in moment.guided)}
        shown = {found.prefix.question_id for found in moment.guided if found.prefix.demonstration_id}
        for question, before in self.hard.items():
            hard = replace(before, asked=moment.iteration) if question in asked else before
            if hard.is_shown or question in shown:
                self.hard[question] = replace(hard, is_shown=True)
            else:
                self.hard[question] = _with_demonstration(hard, moment.waiting.get(question))
        for question in list(self.hard)[: -self._config.capacity]:
            del self.hard[question]

    def to_json(self) -> Any:
        return {question: asdict(hard) for question, hard in self.hard.items()}

    def restore(self, state: Any) -> None:
        self.hard = {question: Hard(**hard) for question, hard in state.items()}

    def _is_hard(self, group: RolloutGroup, moment: Moment) -> bool:
        question = group.question.id
        is_rare = 0 < group.accuracy < self._config.below and question in moment.teachable
        return is_rare or question in moment.hardest

    def _count(self, moment: Moment, share: float) -> int:
        """How many prompts that is, beside the questions of the batch."""
        config = self._config
        return round(share * len(moment.questions) / (1 - config.again - config.compared - config.mistaken))

    def _compared(self, moment: Moment, questions: Sequence[str]) -> Iterator[GuidedPrompt]:
        from relift.randomness import key  # it needs numpy, and the rest of the package does not

        for question in questions:
            hard, lesson = self.hard[question], moment.waiting.get(question)
            # One that left the buffer before it was shown is nobody's to show.
            is_there = hard.is_shown or (lesson and lesson.demonstration_id == hard.demonstration_id)
            if hard.wrong and hard.text and is_there:
                first = key(moment.seed, moment.iteration, "zppo", question) % 2
                shown = (hard.text, hard.wrong[0])
                yield _prompt(question, COMPARED.format(shown[first], shown[1 - first]), hard.demonstration_id)

    def _mistaken(self, questions: Sequence[str]) -> Iterator[GuidedPrompt]:
        for question in questions:
            if len(wrong := self.hard[question].wrong) > 1:
                numbered = [WRONG.format(number, text) for number, text in enumerate(wrong, start=1)]
                yield _prompt(question, MISTAKEN.format("\n\n".join(numbered)))


def _with_demonstration(hard: Hard, lesson: Lesson | None) -> Hard:
    """With the one that waits. One that left the buffer before it was shown is asked for again."""
    if lesson is None:
        return replace(hard, demonstration_id=None, text="")
    return replace(hard, demonstration_id=lesson.demonstration_id, text=without_reasoning(lesson.text))


def _prompt(question: str, text: str, demonstration: str | None = "") -> GuidedPrompt:
    return GuidedPrompt(question, text, demonstration_id=demonstration, in_question=True)


def _wrong(group: RolloutGroup) -> list[str]:
    texts = (without_reasoning(r.completion.text) for r in group.rollouts if r.verdict.status is Status.WRONG)
    return [text for text in texts if text]
