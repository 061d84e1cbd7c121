"""What a rule answered, checked: the one place where it is read, whoever asks.

Every answer about a control question is left out here, whatever the rule: no control is ever taught, joined or guided.
So is what would teach more demonstrations than the budget has, in the order of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from relift.errors import ReliftError, RuleError
from relift.interleave.fates import Fates
from relift.interleave.rule import Distil, Drop, Fate, GuidedPrompt, Join, Moment, Partial, Rule, Supervise, state_of
from relift.records import Prefix

A_QUESTION = "a training question"
Answer = TypeVar("Answer")
Encode = Callable[[str, GuidedPrompt], Prefix]
"""A prefix in tokens, as a completion begins with them; of which answer is said first. Raises RuleError for one that
nobody could continue."""
EncodePartial = Callable[[Partial], tuple[int, ...]]
"""Token ids of the first part of a solution. Raises RuleError for one that cannot be trained on."""
Target = tuple[str, tuple[int, ...] | None]
"""Question id, and token ids of the part of a solution that is trained on; None for the demonstration that waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A rule as it is asked."""

    rule: Rule
    name: str
    """As in the configuration."""
    known: Container[str]
    """Ids of the training questions."""
    is_control: Callable[[str], bool]
    taught: Mapping[str, str] = field(default_factory=dict)
    """Questions by the ids of the demonstrations that were taught, or guided by."""
    most_taught: int | None = None
    """Distinct demonstrations that may be taught."""

    def prompts(self, moment: Moment, encode: Encode) -> list[Prefix]:
        return self._prefixes("prompts", moment, encode)

    def trials(self, moment: Moment, encode: Encode) -> list[Prefix]:
        return self._prefixes("trials", moment, encode)

    def groups(self, moment: Moment, encode: Encode) -> Fates:
        asked = replace(moment, fits=partial(_fits, encode, "groups"))
        found = self._each("groups", self._listed("groups", asked), (Drop, Join, Supervise, Distil))
        answers = self._about(found, "groups", frozenset(moment.questions), "a question of the batch")
        for answer in answers:
            self._require_possible(answer, moment, encode)
        graded = {g.question.id for g in moment.groups if any(r.reward is not None for r in g.rollouts)}
        joinable = moment.joinable
        answers = [one for one in answers if not isinstance(one, Join) or one.question_id in joinable]
        answers = [one for one in answers if not isinstance(one, Distil) or one.question_id in graded]
        weight = self._asked("rl_weight", moment)
        if not _is_number(weight) or weight < 0:
            raise self._wrong("rl_weight", f"answered {weight!r}, which is no number of at least 0")
        taught = [answer.question_id for answer in answers if not isinstance(answer, Drop)]
        paid = self._within_budget(moment, taught)
        kept = [answer for answer in answers if isinstance(answer, Drop) or answer.question_id in paid]
        return Fates.of(kept, float(weight))

    def requests(self, moment: Moment) -> list[str]:
        found = self._ids("requests", self._listed("requests", moment), self.known, A_QUESTION)
        if self.most_taught is None or len(self.taught) < self.most_taught:
            return found
        again = set(self.taught.values())
        return [question for question in found if question in again]

    def mistakes(self, moment: Moment, questions: Container[str]) -> list[tuple[str, str]]:
        """(question id, wrong completion) of the groups of the questions for which the rule names one."""
        asked = [group for group in moment.groups if group.question.id in questions]
        ask: Callable[[], list[Any]] = lambda: [self._run("mistake", moment, group) for group in asked]  # noqa: E731
        found = self._each("mistake", self._unmoved("mistake", ask), (str, type(None)))
        return [(group.question.id, text) for group, text in zip(asked, found, strict=True) if text is not None]

    def batches(self, moment: Moment, encode: EncodePartial) -> list[list[Target]]:
        found = self._each("batches", self._listed("batches", moment), (list, tuple))
        self._each("batches", [answer for batch in found for answer in batch], (str, Partial))
        asked = [
            [(one.question_id, one) if isinstance(one, Partial) else (one, None) for one in batch] for batch in found
        ]
        flat = [question for batch in asked for question, _ in batch]
        taught = self._within_budget(
            moment, self._ids("batches", flat, moment.waiting, "a question for which a demonstration waits")
        )
        kept = (
            [(question, part if part is None else encode(part)) for question, part in batch if question in taught]
            for batch in asked
        )
        return [batch for batch in kept if batch]

    def advance(self, moment: Moment) -> None:
        self._run("advance", moment)
        state_of(self.rule, self.name)

    def _affordable(self, moment: Moment, questions: Iterable[str]) -> list[str]:
        found = list(questions)
        paid = self._within_budget(moment, found)
        return [question for question in found if question in paid]

    def _within_budget(
        self, moment: Moment, questions: Iterable[str], said: Mapping[str, str | None] | None = None
    ) -> set[str]:
        """Those of the questions whose demonstrations may still be taught: the first of them, and all taught before.

        ``said``: ids of demonstrations where an answer says them; else they are those that wait.
        """
        if self.most_taught is None:
            return set(questions)
        guided = (found.prefix.demonstration_id for found in moment.guided if found.is_guided)
        known = {*self.taught, *filter(None, guided)}
        paid = set[str]()
        for question in questions:
            waits = moment.waiting.get(question)
            demonstration = (said or {}).get(question) or (waits.demonstration_id if waits else question)
            if demonstration in known or len(known) < self.most_taught:
                known.add(demonstration)
                paid.add(question)
        return paid

    def _prefixes(self, what: str, moment: Moment, encode: Encode) -> list[Prefix]:
        found = self._each(what, self._listed(what, replace(moment, fits=partial(_fits, encode, what))), GuidedPrompt)
        plain = [prompt for prompt in found if prompt.prefix is None]
        if what == "trials":
            self._about(found, what, self.known, A_QUESTION)  # with or without a prefix: a group each
        guided = self._about([one for one in found if one.prefix is not None], what, self.known, A_QUESTION)
        nameless = [prompt for prompt in guided if prompt.demonstration_id is None]
        if nameless and what == "prompts" and self.most_taught is not None:
            said = f"gives {nameless[0].question_id!r} a prefix and no demonstration_id to say whose beginning it is"
            raise self._wrong(what, f"{said}: budget.demonstrations could not count it")
        whose = {prompt.question_id: prompt.demonstration_id for prompt in guided if prompt.demonstration_id != ""}
        paid = self._within_budget(moment, whose, whose)
        unpaid = whose.keys() - paid
        kept = {id(prompt) for prompt in (*guided, *self._about(plain, what, self.known, A_QUESTION))}
        return [encode(what, one) for one in found if id(one) in kept and one.question_id not in unpaid]

    def _listed(self, what: str, moment: Moment) -> list[Any]:
        found = self._asked(what, moment)
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            raise self._wrong(what, f"answered {found!r}, which is no list")
        return list(found)

    def _asked(self, what: str, moment: Moment) -> Any:
        return self._unmoved(what, partial(self._run, what, moment))

    def _unmoved(self, what: str, ask: Callable[[], Answer]) -> Answer:
        """The answer to a question that may change nothing."""
        before = state_of(self.rule, self.name)
        found = ask()
        if state_of(self.rule, self.name) != before:
            raise self._wrong(what, "changed the rule's state: a resumed run asks again, so only advance may")
        return found

    def _run(self, what: str, moment: Moment, *more: Any) -> Any:
        """What the rule answers to ``more``, of a moment, or to the moment itself."""
        now = replace(moment, affordable=partial(self._affordable, moment))
        try:
            return getattr(self.rule, what)(*(more or (now,)))
        except ReliftError:
            raise
        except Exception as problem:
            said = f"failed in iteration {moment.iteration}: {type(problem).__name__}: {problem}"
            raise self._wrong(what, said) from problem

    def _each(self, what: str, found: list[Any], kinds: Any) -> list[Any]:
        for answer in found:
            if not isinstance(answer, kinds):
                names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
                raise self._wrong(what, f"answered {answer!r}, which is no {names}")
        return found

    def _ids(self, what: str, found: list[Any], known: Container[str], meant: str) -> list[str]:
        """Without controls; RuleError for what is no question or the same twice."""
        self._each(what, found, str)
        found = [question for question in found if not self.is_control(question)]
        seen = set[str]()
        for question in found:
            if question not in known:
                raise self._wrong(what, f"names {question!r}, which is not {meant}")
            if question in seen:
                raise self._wrong(what, f"names {question!r} twice")
            seen.add(question)
        return found

    def _about(self, found: Sequence[Any], what: str, known: Container[str], meant: str) -> list[Any]:
        """The same of answers that name a question each."""
        named = set(self._ids(what, [answer.question_id for answer in found], known, meant))
        return [answer for answer in found if answer.question_id in named]

    def _require_possible(self, answer: Fate, moment: Moment, encode: Encode) -> None:
        question = answer.question_id
        if not isinstance(answer, Drop) and question not in moment.waiting:
            verb = f"{type(answer).__name__}s".lower()
            raise self._wrong("groups", f"{verb} {question!r}, for which no admitted demonstration waits")
        if isinstance(answer, Supervise | Distil):
            self._require_a_term(answer)
        rollouts = (rollout for group in moment.groups if group.question.id == question for rollout in group.rollouts)
        if isinstance(answer, Join) and any(rollout.reward_status is not None for rollout in rollouts):
            said = "joins a demonstration with reward 1, which nothing is known of on the scale of your own rl.reward"
            raise self._wrong("groups", f"{said}: answer Supervise, or set rl.reward=correct")
        if isinstance(answer, Distil):
            if not self.rule.distils:
                raise self._wrong("groups", "answered a Distil, and its class does not say distils = True")
            encode("groups", answer.prompt)

    def _require_a_term(self, answer: Supervise | Distil) -> None:
        """What was made of Python values by hand may hold anything."""
        if not _is_number(answer.weight) or answer.weight <= 0:
            raise self._wrong("groups", f"answered {answer!r}, whose weight is no number above 0")
        if isinstance(answer, Supervise) and answer.token_weights not in ("none", "p(1-p)"):
            raise self._wrong("groups", f"answered {answer!r}, whose token_weights are neither 'none' nor 'p(1-p)'")

    def _wrong(self, what: str, said: str) -> RuleError:
        return RuleError(f"teach.rule.kind={self.name!r}: {what} {said}. relift.interleave.Rule says what it may.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fits(encode: Encode, what: str, prompt: GuidedPrompt) -> bool:
    try:
        encode(what, prompt)
    except RuleError:
        return False
    return True
