"""What may be given of a demonstration: a beginning that leaves something to work out.

56*9=504        cut at =, where the answer stands after ####, and at the ends of lines
#### 504        56*9=  may be given;  56*9=504  holds the answer and may not
"""

from __future__ import annotations

import re
from fractions import Fraction

from relift.config import GuidedRuleConfig
from relift.interleave.steps import after_tag, step_mark, steps_of
from relift.records import Status
from relift.verifier.extraction import AnswerForm, extract
from relift.verifier.normalise import normalise
from relift.verifier.rational import MAX_CHARS, exact_value

CUT_AT = {"hashes": "[=\n]"}
"""What ends a step here, by ``questions.answer_form``, where ``step_mark`` is too coarse: of a calculation in one line
and the line with its answer nothing could be given."""
_NUMBER = re.compile(r"(?<![\w.])(?:(?<!\))-)?\d+(?:,\d{3})*(?:\.\d+)?(?!\d)")


def beginnings_of(text: str, form: AnswerForm, config: GuidedRuleConfig) -> tuple[str, ...]:
    """What may be given, shortest first: h of its K parts, h / K at most ``longest``.

    K is ``cuts``, or as many steps as there are if these are fewer; a part ends where a step does. Cut at characters it
    ends anywhere. The last step is never among them, nor is any of it, nor what holds the answer; a tag that opens the
    reasoning is no part by itself, since the prompt may hold it.
    """
    solution = after_tag(text)
    steps = steps_of(solution, CUT_AT.get(form, step_mark(form)))
    whole = tuple(solution) if config.cut_at == "characters" else steps
    parts, most = min(config.cuts, len(whole)), len("".join(steps[:-1]))
    found = ("".join(whole[: cut * len(whole) // parts]) for cut in range(1, int(config.longest * parts) + 1))
    answer = extract(solution, form, thinking="ignored").answer
    return tuple(
        text.removesuffix(solution) + beginning
        for beginning in found
        if len(beginning) <= most
        and not _gives_away(beginning + _rest_of_token(solution, len(beginning)), answer, form)
    )


def _gives_away(beginning: str, answer: str | None, form: AnswerForm) -> bool:
    """Whether it holds the answer as a token of its own, or a final answer in its form.

    Where a solution is one expression after the other (``equals``) a number may stand in one that is still to be worked
    out, so there only a whole step is the answer.
    """
    if form == "equals":
        return answer in [step.strip("= \n") for step in steps_of(beginning, step_mark(form))]
    if extract(beginning, "either", thinking="ignored").status is not Status.NO_ANSWER:
        return True
    return answer is not None and _holds(beginning, answer)


def _holds(text: str, answer: str) -> bool:
    number = exact_value(normalise(answer))
    if number is not None:
        values = {Fraction(one.replace(",", "")) for one in _NUMBER.findall(text) if len(one) <= MAX_CHARS}
        if not values.isdisjoint((number.number, number.value)):
            return True
        if _NUMBER.fullmatch(answer):
            return False  # as a text it may stand within another number
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) is not None


def _rest_of_token(text: str, end: int) -> str:
    """What ends the number or word that is cut there: half of an answer gives it away too."""
    return re.match(r"[\w.,]*", text[end:])[0] if text[end - 1 : end].isalnum() else ""  # type: ignore[index]
