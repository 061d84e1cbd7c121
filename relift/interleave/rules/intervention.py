"""Interventions (InT, arXiv 2601.14209), without words: where a wrong rollout first goes wrong, one step set right.

    d = d_1 .. d_n    the steps of the demonstration of a hardest question
    y                 of its wrong rollouts the one that has the most first steps in common with d: y_1 .. y_{t-1}
    target            y_1 .. y_{t-1} d_t: loss on these tokens, nothing after them, no end of sequence
    admitted          where at least one of ``samples`` continuations of it is right; the whole demonstration (t = n),
                      which leaves nothing to continue, is what the verifier admitted already

Departures:

1. The source asks the model itself, which reads d too, where y goes wrong and for the step; here the first step that
   differs from d, as a text, and d_t stand for both. In prose that is nearly always the first.
2. That a continuation has to be right is relift's own; ``samples`` off leaves it out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relift.config import InterventionRuleConfig
from relift.interleave.rule import GuidedPrompt, Lesson, Moment, Partial, Rule
from relift.interleave.rules.relift import full_batches
from relift.interleave.steps import after_tag, shared_steps, steps_of
from relift.records import UNGRADED, Purpose, RolloutGroup, Status

log = logging.getLogger(__name__)
MOST_AWAITED = 512
"""Questions whose rollouts are kept for a demonstration that has not come yet; the oldest make way."""


class InterventionRule(Rule):
    """One supervised update for each M admitted interventions, at most ``max_updates_per_iteration``.

    What was not admitted waits until the gate calls its question hardest again, and is then tried by newer rollouts.
    """

    trial_rounds = 1
    trial_purpose = Purpose.CONTINUATION

    def __init__(self, config: InterventionRuleConfig, mark: str, *, shows_mistakes: bool = False) -> None:
        """``mark`` ends a step: ``relift.interleave.steps.step_mark``. ``shows_mistakes``: there is an API to ask."""
        self._shows_mistakes = shows_mistakes
        self.trial_samples = config.samples or 0
        self._config = config
        self._mark = mark
        self._wrong: dict[str, list[str]] = {}
        """Texts of the wrong rollouts of questions whose demonstration has not come yet."""
        self._admitted: dict[str, str] = {}
        """Targets that are ready to be taught, by question; the first admitted is the first taught."""

    def requests(self, moment: Moment) -> Sequence[str]:
        """But for those whose intervention waits: another rollout would be another request to pay for."""
        waiting = moment.waiting
        return [q for q in moment.hardest if not (q in waiting and waiting[q].is_intervention)]

    def mistake(self, group: RolloutGroup) -> str | None:
        """The first rollout that ended with a wrong answer, else the first that could be graded."""
        ended = [r.completion.text for r in group.rollouts if r.verdict.status is Status.WRONG]
        return next(iter([*ended, *_texts(group)]), None) if self._shows_mistakes else None

    def trials(self, moment: Moment) -> Sequence[GuidedPrompt]:
        asked = self._interventions(moment).items() if self._config.samples else ()
        found = ((q, target, moment.waiting[q]) for q, target in asked)
        return [
            GuidedPrompt(q, target, whole=lesson.text)
            for q, target, lesson in found
            if not _is_solution(target, lesson)
        ]

    def advance(self, moment: Moment) -> None:
        right = {tried.group.question.id for tried in moment.trials if not tried.group.is_unsolved}
        found = self._interventions(moment)
        every = self._config.samples is None
        ready = {q: t for q, t in found.items() if every or q in right or _is_solution(t, moment.waiting[q])}
        self._admitted = self._kept(moment) | ready
        if made := [moment.waiting[q] for q in found if not moment.waiting[q].is_intervention]:
            first = sum(found[lesson.question_id] == self._step(lesson, 0) for lesson in made)
            log.info("%d of %d interventions are the first step of a demonstration and no more", first, len(made))
        solved = {group.question.id for group in moment.groups if not group.is_unsolved}
        wrong = self._wrong | self._rollouts(moment)
        left = [(q, texts) for q, texts in wrong.items() if q not in moment.waiting and q not in solved]
        self._wrong = dict(left[-MOST_AWAITED:])

    def batches(self, moment: Moment) -> Sequence[Sequence[Partial]]:
        targets = self._admitted
        ready = [Partial(q, targets[q], whole=moment.waiting[q].text) for q in moment.affordable(targets)]
        return full_batches(ready, self._config)

    def to_json(self) -> dict[str, Any]:
        return {"wrong": self._wrong, "admitted": self._admitted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._wrong, self._admitted = dict(state["wrong"]), dict(state["admitted"])

    def _kept(self, moment: Moment) -> dict[str, str]:
        """What was admitted and still waits; one that came in this iteration is another, after the first was taught."""
        before = {q for q, lesson in moment.waiting.items() if lesson.first_iteration < moment.iteration}
        return {q: target for q, target in self._admitted.items() if q in before}

    def _interventions(self, moment: Moment) -> dict[str, str]:
        """New targets, by question: of those that wait and whose wrong rollouts are known; oldest first."""
        rollouts, kept = self._wrong | self._rollouts(moment), self._kept(moment)
        asked = ((q, lesson) for q, lesson in moment.waiting.items() if q in rollouts and q not in kept)
        return {q: target for q, lesson in asked for target in self._target(lesson, rollouts[q])}

    def _rollouts(self, moment: Moment) -> dict[str, list[str]]:
        """Texts of the graded rollouts of the hardest questions, each once."""
        hardest = set(moment.hardest)
        return {g.question.id: _texts(g) for g in moment.groups if g.question.id in hardest}

    def _target(self, lesson: Lesson, texts: Sequence[str]) -> Iterator[str]:
        """One, or none where the step is longer than a step may be."""
        if lesson.is_intervention:
            yield lesson.text
            return
        solution = after_tag(lesson.text)
        steps = steps_of(solution, self._mark)
        shared = max((shared_steps(after_tag(text), solution, self._mark) for text in texts), default=0)
        first_wrong = min(shared, len(steps) - 1)
        if len(steps[first_wrong]) <= self._config.longest_step:
            yield self._step(lesson, first_wrong)

    def _step(self, lesson: Lesson, last: int) -> str:
        """The demonstration up to its step of a number, from 0."""
        return lesson.text.removesuffix("".join(steps_of(after_tag(lesson.text), self._mark)[last + 1 :]))


def _is_solution(target: str, lesson: Lesson) -> bool:
    return target == lesson.text and not lesson.is_intervention


def _texts(group: RolloutGroup) -> list[str]:
    return list(dict.fromkeys(r.completion.text for r in group.rollouts if r.verdict.status not in UNGRADED))
