"""What a rule answered, checked: the one place where it is read, whoever asks.

Every answer about a control question is left out here, whatever the rule: no control is ever taught, joined or guided.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from relift.errors import ReliftError, RuleError
from relift.interleave.rule import Drop, GuidedPrompt, Join, Moment, Partial, Rule, state_of
from relift.records import Prefix

A_QUESTION = "a training question"
Answer = TypeVar("Answer")
Encode = Callable[[str, GuidedPrompt], Prefix]
"""A prefix in tokens, as a completion begins with them; of which answer is said first. Raises RuleError for one that
nobody could continue."""
EncodePartial = Callable[[str | tuple[int, ...]], tuple[int, ...]]
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

    def prompts(self, moment: Moment, encode: Encode) -> list[Prefix]:
        return self._prefixes("prompts", moment, encode)

    def trials(self, moment: Moment, encode: Encode) -> list[Prefix]:
        return self._prefixes("trials", moment, encode)

    def groups(self, moment: Moment) -> list[Drop | Join]:
        found = self._each("groups", self._asked("groups", moment), (Drop, Join))
        fates = self._about(found, "groups", frozenset(moment.questions), "a question of the batch")
        for fate in fates:
            if isinstance(fate, Join) and fate.question_id not in moment.waiting:
                raise self._wrong("groups", f"joins {fate.question_id!r}, for which no admitted demonstration waits")
        return fates

    def requests(self, moment: Moment) -> list[str]:
        return self._ids("requests", self._asked("requests", moment), self.known, A_QUESTION)

    def batches(self, moment: Moment, encode: EncodePartial) -> list[list[Target]]:
        found = self._each("batches", self._asked("batches", moment), (list, tuple))
        self._each("batches", [answer for batch in found for answer in batch], (str, Partial))
        asked = [
            [(one.question_id, one.beginning) if isinstance(one, Partial) else (one, None) for one in batch]
            for batch in found
        ]
        flat = [question for batch in asked for question, _ in batch]
        taught = set(self._ids("batches", flat, moment.waiting, "a question for which a demonstration waits"))
        kept = (
            [(question, part if part is None else encode(part)) for question, part in batch if question in taught]
            for batch in asked
        )
        return [batch for batch in kept if batch]

    def advance(self, moment: Moment) -> None:
        self._run("advance", moment)
        state_of(self.rule, self.name)

    def _prefixes(self, what: str, moment: Moment, encode: Encode) -> list[Prefix]:
        found = self._each(what, self._asked(what, replace(moment, fits=partial(_fits, encode, what))), GuidedPrompt)
        plain = [prompt for prompt in found if prompt.prefix is None]
        if plain and what == "trials":
            raise self._wrong(what, f"asks {plain[0].question_id!r} without a prefix, of which there is nothing to try")
        guided = [prompt for prompt in found if prompt.prefix is not None]
        kept = {id(one) for part in (plain, guided) for one in self._about(part, what, self.known, A_QUESTION)}
        return [encode(what, prompt) for prompt in found if id(prompt) in kept]

    def _asked(self, what: str, moment: Moment) -> list[Any]:
        """The answer to a question that may change nothing."""
        before = state_of(self.rule, self.name)
        found = self._run(what, moment)
        if state_of(self.rule, self.name) != before:
            raise self._wrong(what, "changed the rule's state: a resumed run asks again, so only advance may")
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            raise self._wrong(what, f"answered {found!r}, which is no list")
        return list(found)

    def _run(self, what: str, moment: Moment) -> Any:
        try:
            return getattr(self.rule, what)(moment)
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

    def _wrong(self, what: str, said: str) -> RuleError:
        return RuleError(f"teach.rule.kind={self.name!r}: {what} {said}. relift.interleave.Rule says what it may.")


def _fits(encode: Encode, what: str, prompt: GuidedPrompt) -> bool:
    try:
        encode(what, prompt)
    except RuleError:
        return False
    return True
