"""Where a completion goes on after its final answer: with another question, which it then answers as well.

A base model that was never taught to stop does this. What follows the heading of the other question is no part of the
answer to this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_HEADING = re.compile(
    r"\n[*#>_\[ \t]{0,10}(?:(?:next|new|another) )?(?:question|problem|exercise|问题|题目|Q)"
    r" ?(?:#?\d{1,4})?[*_\] ]{0,4}[:：]",
    re.IGNORECASE,
)
"""Not the turn of a user: who writes both sides of a dialogue answers none of them."""


def without_run_on(section: str, answer_end: Callable[[str], int | None]) -> str:
    """``section`` up to the heading of the next question after its first final answer; all of it where there is none.

    ``answer_end`` tells where in a text the first final answer ends; it is asked only where there is such a heading.
    """
    if _HEADING.search(section) is None:
        return section
    end = answer_end(section)
    heading = None if end is None else _HEADING.search(section, end)
    return section if heading is None else section[: heading.start()]
