"""Guided prefixes: a hard question is asked with as little of its demonstration given as leads to a correct end.

    hardest -> search, by bisection, for the shortest beginning after which one of a few samples is right
            -> guided: asked with it, in a group of its own, and as it is, until a rollout without it is right

POPE (arXiv 2601.18779), PrefixRL (2601.18795) and BREAD (2506.17211). What is given is never a target: advantages are
of the guided group alone, the prefix is masked, and what is trained on is on-policy for its prompt.

Departures, from what abstracts, project pages and notes on them say:

1. How much is given is found under the policy as it is and then follows the pass rate, by bounds of relift's own. POPE
   chooses one prefix for each question before training, PrefixRL shares of a solution that do not move.
2. BREAD searches each time that a question is sampled. Here it is searched for once, when the gate calls it hardest,
   and then kept and asked in turns: ``capacity`` at a time, ``questions`` an iteration.
3. The prefix opens the completion. POPE has it in the question's turn, with words around it: ``in_question``.
4. PrefixRL's prefixes are of the base's own correct rollouts; here they are of demonstrations, as in the other two.
5. Nothing that holds the answer is given.
6. What guidance comes to nothing for is fine-tuned on, unless sft is off.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from relift.config import GuidedRuleConfig
from relift.interleave.beginnings import beginnings_of
from relift.interleave.rule import GuidedPrompt, Lesson, Moment, Rule
from relift.interleave.rules.relift import full_batches
from relift.records import GuidedGroup
from relift.verifier.extraction import AnswerForm

log = logging.getLogger(__name__)
EASY_FROM = 0.5
"""Pass rate of a guided group from which on less is given."""
IN_QUESTION = "Here is the beginning of a solution. Go on from it.\n\n"
"""Before it where it stands in the question's turn."""
MISSES = 3
"""So many times in a row without a correct rollout, and more is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Of a question, e.g. given 2 of the 8 parts of its demonstration, 1 miss, asked in iteration 7."""

    demonstration_id: str
    text: str
    given: int
    """0 is the question as it is."""
    misses: int = 0
    asked: int = -1
    """The last iteration in which it was; -1 before."""


class GuidedRule(Rule):
    """Up to C guided prompts an iteration, those first that waited longest for their turn."""

    def __init__(self, config: GuidedRuleConfig, *, form: AnswerForm) -> None:
        """``form``: where the answer of a demonstration stands."""
        self.trial_samples = config.search_samples
        self._config = config
        self._form: AnswerForm = form
        self.restore({"guided": {}, "failed": {}, "left_out": []})

    def prompts(self, moment: Moment) -> Sequence[GuidedPrompt]:
        # One whose demonstration left the buffer before it could guide is asked nothing.
        there = [q for q, guidance in self.guided.items() if guidance.asked >= 0 or q in moment.waiting]
        asked = []
        for question in moment.affordable(there)[: self._config.questions]:
            guidance = self.guided[question]
            asked += self._beginnings(question, guidance, moment)[: guidance.given][-1:]
            if question not in moment.questions:
                asked.append(GuidedPrompt(question, None, demonstration_id=guidance.demonstration_id))
        return asked

    def requests(self, moment: Moment) -> Sequence[str]:
        return [question for question in moment.hardest if question not in self.guided]

    def trials(self, moment: Moment) -> Sequence[GuidedPrompt]:
        """One more beginning for each question whose shortest one is not found yet."""
        asked = []
        for lesson in self._searched(moment):
            fitting = self._beginnings(lesson.question_id, lesson, moment)
            if cut := next_cut(len(fitting), _outcomes(moment.trials, lesson.question_id)):
                asked.append(fitting[cut - 1])
        return asked

    def advance(self, moment: Moment) -> None:
        searched = self._searched(moment)
        self.failed = self._failed(moment)
        self._follow(moment)
        for lesson in searched:
            question = lesson.question_id
            outcomes = _outcomes(moment.trials, question)
            led = [cut for cut, is_right in outcomes.items() if is_right]
            if led:
                self.guided[question] = Guidance(
                    demonstration_id=lesson.demonstration_id, text=lesson.text, given=min(led)
                )
                self.failed.pop(question, None)  # it was unsolved again, and now one led
                continue
            self.failed[question] = lesson.failures
            if not outcomes and question not in self.left_out:
                self.left_out.append(question)
                log.warning("%s is not guided: no beginning of its demonstration can be given to it", question)

    def batches(self, moment: Moment) -> Sequence[Sequence[str]]:
        """Of those that guidance came to nothing for, the oldest first."""
        failed = [question for question in moment.waiting if question in self.failed]
        return full_batches(moment.affordable(failed), self._config)

    def to_json(self) -> Any:
        guided = {question: asdict(guidance) for question, guidance in self.guided.items()}
        return {"guided": guided, "failed": dict(self.failed), "left_out": list(self.left_out)}

    def restore(self, state: Any) -> None:
        self.guided = {question: Guidance(**guidance) for question, guidance in state["guided"].items()}
        """In the order in which they have their turn."""
        self.failed = dict(state["failed"])
        """Of those that wait, how often they had been unsolved when no beginning led to a correct end, or when guidance
        ended."""
        self.left_out: list[str] = list(state["left_out"])
        """No beginning of their demonstrations fits, or there is none."""

    def _searched(self, moment: Moment) -> list[Lesson]:
        """Those that wait and were unsolved again since they were last searched for, as many as may be guided: what
        is to guide already has its share of ``budget.demonstrations`` before them."""
        failed = self._failed(moment)
        new = [
            lesson
            for question, lesson in moment.waiting.items()
            if question not in self.guided and lesson.failures > failed.get(question, 0)
        ]
        paid = set(moment.affordable([*self.guided, *(lesson.question_id for lesson in new)]))
        affordable = [lesson for lesson in new if lesson.question_id in paid]
        return affordable[: max(0, self._config.capacity - len(self.guided))]

    def _failed(self, moment: Moment) -> dict[str, int]:
        """Without what waits no more; what came in this iteration is another, after the first was taught or solved."""
        before = {q for q, lesson in moment.waiting.items() if lesson.first_iteration < moment.iteration}
        return {question: failures for question, failures in self.failed.items() if question in before}

    def _follow(self, moment: Moment) -> None:
        """Give less or more by what came of the guided groups; who is solved without help leaves.

        Whose guidance ends and whose demonstration still waits, it waits to be taught otherwise.
        """
        plain = [*moment.groups, *(found.group for found in moment.guided if not found.is_guided)]
        solved = {group.question.id for group in plain if not group.is_unsolved}
        guided = {found.prefix.question_id: found for found in moment.guided if found.is_guided}
        asked = {found.prefix.question_id for found in moment.guided}
        for question, guidance in list(self.guided.items()):
            moved: Guidance | None = guidance
            if question in solved or (guidance.asked < 0 and not {question} & (asked | moment.waiting.keys())):
                moved = None
            elif question in guided:
                moved = self._moved(guidance, guided[question])
            elif question in asked:  # as it is, since nothing is given any more
                moved = self._missed(guidance, guidance.given)
            if moved is None or question in asked:
                del self.guided[question]
            if moved is None and (lesson := moment.waiting.get(question)):
                self.failed[question] = lesson.failures
            if moved is not None:  # who was asked stands behind all others again
                self.guided[question] = replace(moved, asked=moment.iteration if question in asked else moved.asked)

    def _moved(self, guidance: Guidance, found: GuidedGroup) -> Guidance | None:
        if found.group.accuracy >= EASY_FROM:
            return replace(guidance, given=found.prefix.given - 1, misses=0)
        return self._missed(guidance, found.prefix.given) if found.group.is_unsolved else replace(guidance, misses=0)

    def _missed(self, guidance: Guidance, given: int) -> Guidance | None:
        """None where more would have to be given than may be."""
        if guidance.misses + 1 < MISSES:
            return replace(guidance, misses=guidance.misses + 1)
        longest = len(beginnings_of(guidance.text, self._form, self._config))
        return replace(guidance, given=given + 1, misses=0) if given == guidance.given < longest else None

    def _beginnings(self, question: str, of: Lesson | Guidance, moment: Moment) -> list[GuidedPrompt]:
        """What can be given, shortest first; ``given`` is its number among these, from 1."""
        words = IN_QUESTION if self._config.in_question else ""
        prompts = (
            GuidedPrompt(
                question,
                words + text,
                demonstration_id=of.demonstration_id,
                in_question=self._config.in_question,
                whole=of.text,
            )
            for text in beginnings_of(of.text, self._form, self._config)
        )
        return [replace(one, given=number) for number, one in enumerate(filter(moment.fits, prompts), start=1)]


def next_cut(longest: int, outcomes: Mapping[int, bool]) -> int | None:
    """The beginning, of 1 to ``longest``, that bisection tries next; None when the shortest that leads is known.

    ``outcomes`` says of those tried whether they led to a correct end. The shortest is the smallest that did; none did
    where it would be longer than ``longest``.
    """
    below = max((cut for cut, led in outcomes.items() if not led), default=0)
    above = min((cut for cut, led in outcomes.items() if led), default=longest + 1)
    return (below + above) // 2 if above - below > 1 else None


def _outcomes(trials: Sequence[GuidedGroup], question: str) -> dict[int, bool]:
    return {found.prefix.given: not found.group.is_unsolved for found in trials if found.prefix.question_id == question}
