"""Which of a rule's prompts can be asked, and the word that none of them can."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import islice

from relift.interleave.rule import GuidedPrompt, Moment

log = logging.getLogger(__name__)


class Fitting:
    """Of a rule's prompts of one kind, e.g. "zppo" and "a demonstration". One that does not fit is left out in silence,
    since others may; where none does the rule is another method, and that is said, once in a process."""

    def __init__(self, rule: str, shows: str) -> None:
        self._rule, self._shows, self._is_said = rule, shows, False

    def first(self, count: int, prompts: Iterable[GuidedPrompt], moment: Moment) -> list[GuidedPrompt]:
        """So many at most, of those that fit."""
        asked = list(prompts)
        found = list(islice(filter(moment.fits, asked), count))
        if asked and count and not found and not self._is_said:
            self._is_said = True
            log.warning(
                "teach.rule.kind=%s: in iteration %d no prompt (of %d) that shows %s fits, so none is asked: raise "
                "policy.max_prompt_tokens",
                *(self._rule, moment.iteration, len(asked), self._shows),
            )
        return found
