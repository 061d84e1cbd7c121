"""Self-distillation with the demonstration in view (SDFT, arXiv 2601.19897; OPSD, 2601.18734; SDPO).

    x, y               a hard question and the policy's own rollouts of it
    q(. | x, d, y_<t)  the start model, frozen, that reads the demonstration d in the question's turn
    loss               KL(q || policy(. | x, y_<t)) at each token of y, of q's 20 likeliest tokens, renormalised
    gap                accuracy of x with d in view less accuracy without, on the first hardest questions, sampled anew:
                       what it comes to predicts the gain (2605.30070); below a bound nothing is taught

The gap is measured before the RL update, by the version that sampled the batch: in the first iteration the start model
itself, later what it has become. What was measured so far decides, from the first question on: one with four rollouts
may be all. Departures: HDPO's rollouts with d in view are not trained on; the group keeps its place in the RL loss,
beside which the divergence stands with a weight.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relift.config import SelfDistilRuleConfig
from relift.interleave.fitting import Fitting
from relift.interleave.rule import Distil, GuidedPrompt, Lesson, Moment, Rule
from relift.records import GuidedGroup, Purpose
from relift.thinking import without_reasoning

log = logging.getLogger(__name__)
IN_VIEW = "Here is a solution:\n\n{}\n\nNow solve the problem in your own words."


class SelfDistilRule(Rule):
    """Until ``gap_questions`` were measured it teaches by what was found so far; then for good or no more."""

    needs_demonstrations_first = True
    distils = True
    trial_rounds = 2
    trial_purpose = Purpose.IN_VIEW

    def __init__(self, config: SelfDistilRuleConfig) -> None:
        self.trial_samples = config.gap_samples
        self._config = config
        self._fitting = Fitting("self-distil", "a demonstration")
        self.measured: dict[str, tuple[float, float]] = {}
        """Accuracy of a question with its demonstration in view, and without."""

    def requests(self, moment: Moment) -> Sequence[str]:
        if len(self.measured) >= self._config.gap_questions and not self._teaches(self.measured):
            return ()
        return moment.hardest if self._config.on == "hardest" else moment.teachable

    def trials(self, moment: Moment) -> Sequence[GuidedPrompt]:
        """First with the demonstration in view, then the same questions as they are."""
        if moment.trials:
            return [GuidedPrompt(found.prefix.question_id, None) for found in moment.trials]
        new = [Distil(q, view).prompt for q, view in _views(moment, moment.hardest).items() if q not in self.measured]
        left = max(0, self._config.gap_questions - len(self.measured))
        return self._fitting.first(left, new, moment)

    def groups(self, moment: Moment) -> Sequence[Distil]:
        if not self._teaches(self.measured | _measured(moment.trials)):
            return ()
        views = _views(moment, self.requests(moment))
        answers = {q: Distil(q, view, self._config.weight) for q, view in views.items()}
        fitting = self._fitting.first(len(answers), (answer.prompt for answer in answers.values()), moment)
        return [answers[prompt.question_id] for prompt in fitting]

    def advance(self, moment: Moment) -> None:
        if not (found := _measured(moment.trials)):
            return
        self.measured |= found
        bound = f"teach.rule.least_gap={self._config.least_gap:g}"
        if teaches := self._teaches(self.measured):
            what = "it teaches"
        elif len(self.measured) < self._config.gap_questions:
            what = f"less than {bound}, so for now it teaches nothing"
        else:
            what = f"less than {bound}, so it teaches nothing any more"
        seen, alone = (100 * _mean(side) for side in zip(*self.measured.values(), strict=True))
        log.log(
            logging.INFO if teaches else logging.WARNING,
            "self-distil: of %d hardest questions %.1f %% of rollouts are right with the demonstration in view and "
            "%.1f %% without: %s",
            *(len(self.measured), seen, alone, what),
        )

    def to_json(self) -> Any:
        return {question: list(found) for question, found in self.measured.items()}

    def restore(self, state: Any) -> None:
        self.measured = {question: (seen, alone) for question, (seen, alone) in state.items()}

    def _teaches(self, measured: Mapping[str, tuple[float, float]]) -> bool:
        return bool(measured) and _mean(seen - alone for seen, alone in measured.values()) >= self._config.least_gap


def _views(moment: Moment, questions: Iterable[str]) -> dict[str, str]:
    """The text that stands in view, of those questions for which a demonstration waits."""
    return {question: in_view(moment.waiting[question]) for question in questions if question in moment.waiting}


def in_view(lesson: Lesson) -> str:
    return IN_VIEW.format(without_reasoning(lesson.text))


def _measured(trials: Sequence[GuidedGroup]) -> dict[str, tuple[float, float]]:
    """By question, of those that were asked both ways."""
    seen = {found.prefix.question_id: found.group.accuracy for found in trials if found.is_guided}
    alone = {found.prefix.question_id: found.group.accuracy for found in trials if not found.is_guided}
    return {question: (seen[question], alone[question]) for question in seen if question in alone}


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
