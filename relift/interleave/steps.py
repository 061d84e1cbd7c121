"""A solution cut into steps: a line, and where the answer stands after the last `=` what stands between two of them.

47*6?   40*6+7*6=  |  240+42=  |  282        each step with the mark that ends it; together they are the text
"""

from __future__ import annotations

import re
from itertools import takewhile

from relift.thinking import OPEN

MARKS = {"equals": "="}
"""What ends a step, by ``questions.answer_form``; a line's end where it names none."""


def step_mark(answer_form: str) -> str:
    """``"="`` for ``"equals"``, else ``"\\n"``."""
    return MARKS.get(answer_form, "\n")


def steps_of(text: str, mark: str) -> tuple[str, ...]:
    """The steps, which together are the text; none is blank but that of a blank text. ``mark`` is a regular expression.

    A step ends with its mark, with further marks and with the blank lines after it. The last step, which holds the
    answer, may have none.
    """
    ends = [found.end() for found in re.finditer(rf"{mark}(?:[^\S\n]*{mark})*", text)]
    steps: list[str] = []
    begun = ""
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        begun += text[start:end]
        if re.sub(mark, "", begun).strip():
            steps.append(begun)
            begun = ""
    return (*steps[:-1], "".join((*steps[-1:], begun))) if text else ()


def after_tag(text: str) -> str:
    """Without the tag that opens the reasoning, which a prompt may hold and a demonstration too."""
    return text.removeprefix(OPEN).lstrip("\n")


def shared_steps(one: str, other: str, mark: str) -> int:
    """How many steps, from the first on, two texts have in common."""
    pairs = zip(steps_of(one, mark), steps_of(other, mark), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
