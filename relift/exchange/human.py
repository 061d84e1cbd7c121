"""Questions that want a solution as JSONL: a person fills in ``solution``, and `relift ledger import` takes it back."""

from __future__ import annotations

import json
from pathlib import Path

from relift.errors import LedgerError
from relift.exchange.hard_set import HardSet
from relift.store.folder import write_atomically

SETTLED = frozenset({"control", "solved", "learned"})
"""States that want no solution: never to be taught, or solved by now."""


def write_wanted(hard: HardSet, path: Path, *, with_gold: bool = True) -> int:
    """Write one line for each question without a solution that wants one; how many.

    ``solution`` and ``author`` are empty, ``ends_with`` shows where the final answer has to stand. Raises LedgerError
    where nothing wants a solution.
    """
    forms = {fact.run: fact.answer_form for fact in hard.runs}
    wanted = [q for q in hard.questions if not q.solutions and q.state not in SETTLED]
    if not wanted:
        raise LedgerError(
            f"No hard question here wants a solution: {len(hard.questions)} were looked at, and each has a "
            f"demonstration, is solved, or is kept as a control. `relift hard` lists how many stand how."
        )
    lines = []
    for question in wanted:
        row = {"question_id": question.id, "question": question.text, "source": question.source}
        if with_gold:
            row["gold"] = question.gold
        row |= {"ends_with": ANSWER_FORMS.get(forms[question.standings[0].run], ""), "solution": "", "author": ""}
        lines.append(json.dumps(row, ensure_ascii=True) + "\n")
    write_atomically(path, "".join(lines).encode())
    return len(wanted)


ANSWER_FORMS = {"boxed": "\\boxed{ANSWER}", "flexible": "\\boxed{ANSWER}", "hashes": "#### ANSWER", "equals": "=ANSWER"}
"""What a solution ends with, by ``questions.answer_form``."""
