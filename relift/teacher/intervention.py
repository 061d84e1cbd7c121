"""What a teacher is asked about a wrong completion: its first wrong step, and the step that is to stand there.

    question, the completion with its steps numbered -> STEP n, the step -> steps 1 to n - 1 of the completion, the step

After InT (arXiv 2601.14209), whose teacher reads a reference solution too and is the model itself. The reply is text of
two lines, not JSON, in which a formula's backslashes would be read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from relift.config import ApiTeacherConfig, InterventionRuleConfig, RunConfig
from relift.interleave.steps import step_mark, steps_of
from relift.records import (
    Demonstration,
    DemonstrationKind,
    FinishReason,
    Question,
    Status,
    TeacherAnswer,
    TeacherRequest,
    Written,
    demonstration_id,
)
from relift.teacher.prompt import as_the_student_writes, candidates_of
from relift.verifier import Verifier

INSTRUCTION = (
    "You are shown a problem and a wrong solution of it whose {steps} are numbered. Find the first one that is wrong "
    "and write the one that is to stand in its place, in the style of those before it. Do not go on from there: only "
    "this one. Answer with two lines and nothing else: STEP and the number, then what is to stand there."
)
"""System message, whatever teacher.api.instruction says of solutions."""
UNITS = {"\n": "lines", "=": "steps, each up to the next =,"}
_REPLY = re.compile(r"STEP[ \t]+([0-9]{1,6})[ \t]*[.:]?[ \t]*\r?\n(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interventions:
    """How completions are cut into steps, and how long one may be."""

    mark: str
    """Ends a step: ``relift.interleave.steps.step_mark``."""
    longest_step: int
    """Characters."""

    def requests(
        self, question: Question, completion: str, config: ApiTeacherConfig, *, max_tokens: int, round_number: int
    ) -> list[TeacherRequest]:
        """A round's candidates. The kind is in their parameters, and so in their keys."""
        numbered = "\n".join(f"{n}: {step.strip()}" for n, step in enumerate(steps_of(completion, self.mark), 1))
        return candidates_of(
            question,
            config,
            INSTRUCTION.format(steps=UNITS[self.mark]),
            max_tokens=max_tokens,
            round_number=round_number,
            after=f"\n\nThe wrong solution:\n\n{numbered}",
            kind=DemonstrationKind.INTERVENTION.value,
        )

    def admit(
        self,
        question: Question,
        completion: str,
        *,
        answer: TeacherAnswer,
        source: str,
        verifier: Verifier,
        write: Callable[[str], Written],
        max_tokens: int,
    ) -> Demonstration:
        """What the completion has right with the step after it, or why not: truncated, format, too long, unchanged.

        Whether the policy can go on from there is not asked here. A step that gives the right answer ends there; any
        other one with its mark.
        """
        refusal: str | None = None
        text = as_the_student_writes(answer.text, thinks=False)
        try:
            text = self._target(question, completion, text, verifier)
            written = write(text)
            text, tokens = written.text, written.tokens - 1
            if answer.finish_reason is FinishReason.LENGTH:
                raise _Refused("truncated: the teacher ran out of tokens")
            if written.fault:
                raise _Refused(f"format: {written.fault}")
            if tokens >= max_tokens:
                raise _Refused(f"too long: {tokens} tokens, at most {max_tokens - 1}")
        except _Refused as problem:
            tokens, refusal = 0, str(problem)
        return Demonstration(
            id=demonstration_id(question.id, text),
            question_id=question.id,
            text=text,
            source=source,
            tokens=tokens,
            cost_usd=answer.cost_usd,
            latency_seconds=answer.latency_seconds,
            refusal=refusal,
            kind=DemonstrationKind.INTERVENTION,
        )

    def _target(self, question: Question, completion: str, reply: str, verifier: Verifier) -> str:
        found = _REPLY.fullmatch(reply.strip())
        if found is None:
            raise _Refused("format: it is not STEP and a number, and below it what is to stand there")
        number, step = int(found[1]), found[2].strip().rstrip(self.mark).rstrip()
        steps = steps_of(completion, self.mark)
        if not 1 <= number <= len(steps):
            raise _Refused(f"format: it names step {number} of {len(steps)}")
        if len(step) > self.longest_step:
            raise _Refused(f"too long: a step of {len(step)} characters, at most {self.longest_step}")
        if not step or len(steps_of(step, self.mark)) > 1:
            raise _Refused("format: what is to stand there is not one step")
        if step == steps[number - 1].strip().rstrip(self.mark).rstrip():
            raise _Refused(f"unchanged: step {number} is as it was")
        target = "".join(steps[: number - 1]) + step
        verdict = verifier.verify(question.answer, target, FinishReason.STOP)
        return target if verdict.status is Status.CORRECT else target + self.mark


def interventions_of(config: RunConfig) -> Interventions | None:
    """Of the rule intervention; None for a rule that teaches by whole solutions."""
    rule = config.teach.rule
    if not isinstance(rule, InterventionRuleConfig):
        return None
    return Interventions(mark=step_mark(config.questions.answer_form), longest_step=rule.longest_step)


class _Refused(Exception):
    """The reply is no intervention; why stands in the demonstration's refusal."""
