"""The page to search the hard questions: one HTML file, nothing from elsewhere.

The questions stand in it as JSON; browse.js draws the ones that are looked at, and browse_math.js their formulas as
MathML with Temml. Every text goes into the page as a text node, never as markup, and the page's policy lets nothing run
but these scripts, named by the hash of them together.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from relift.evaluation import band
from relift.ledger.browsing import Attempt, HardEntries, HardEntry
from relift.ledger.states import STATES

MOST_BYTES = 32 << 20
"""Of a page; texts are cut shorter until it fits."""
CUTS = (20_000, 4_000, 1_200, 600, 300, 150)
"""Characters of a text that are shown, the longest that fits; questions and demonstrations are given thrice as many."""
CUT_NOTE = "characters left out ..."
_FOLDER = Path(__file__).parent
_SCRIPTS = ("vendor/temml.min.js", "browse_math.js", "browse.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowsePage:
    html: bytes
    cut_at: int
    """Characters of a completion that are shown at most."""
    is_cut: bool
    """Whether some text is longer than that."""


def render_browse(found: HardEntries) -> BrowsePage:
    """The page, its texts as long as ``MOST_BYTES`` allows (with the shortest cut it may be larger)."""
    for cut_at in CUTS:
        data = _json(_tree(found, cut_at))
        if len(data) <= MOST_BYTES:
            break
    return BrowsePage(html=_page(found, data), cut_at=cut_at, is_cut=CUT_NOTE in data)


def cut(text: str, most: int) -> str:
    """Two thirds of what is shown from the beginning and one from the end, where the answer stands."""
    if len(text) <= most + 60:  # the note would be longer than what it stands for
        return text
    head, tail = 2 * most // 3, most // 3
    return f"{text[:head]}\n[... {len(text) - head - tail:,} {CUT_NOTE}]\n{text[-tail:]}"


def _page(found: HardEntries, data: str) -> bytes:
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    style = (_FOLDER / "browse.css").read_text(encoding="utf-8")
    runs = sorted({entry.run for entry in found.entries})
    left_out = f", the {len(found.entries):,} most often unsolved of {found.total:,}"
    lead = (
        f"{len(found.entries):,} hard questions of {len(runs):,} {'run' if len(runs) == 1 else 'runs'}"
        f"{left_out if found.total > len(found.entries) else ''}."
    )
    page = Template((_FOLDER / "browse.html").read_text(encoding="utf-8")).substitute(
        policy=f"default-src 'none'; script-src '{_sha256(script)}'; style-src '{_sha256(style)}'; base-uri 'none'",
        style=style,
        script=script,
        lead=escape(lead),
        data=data,
    )
    return page.encode("utf-8", "replace")


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(tree: dict[str, Any]) -> str:
    """ASCII, and without the characters that could end the element it stands in."""
    text = json.dumps(tree, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _tree(found: HardEntries, cut_at: int) -> dict[str, Any]:
    """What browse.js reads. Runs, sources and questions that come again are numbers into lists."""
    runs, sources, questions = _Numbered(), _Numbered(), _Numbered()
    entries = [_entry(entry, runs, sources, questions, cut_at) for entry in found.entries]
    return {
        "states": [[name, meaning] for name, meaning in STATES.items()],
        "runs": runs.values,
        "sources": sources.values,
        "questions": questions.values,
        "entries": entries,
    }


class _Numbered:
    """Values by the order they first came."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._number: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        if value not in self._number:
            self._number[value] = len(self.values)
            self.values.append(value)
        return self._number[value]


def _entry(entry: HardEntry, runs: _Numbered, sources: _Numbered, questions: _Numbered, cut_at: int) -> dict[str, Any]:
    question = (entry.question_id, cut(entry.text, 3 * cut_at), cut(entry.gold, cut_at), sources.of(entry.source))
    return {
        "run": runs.of(entry.run),
        "question": questions.of(question),
        "state": entry.state,
        "band": band(entry.last_accuracy),
        "sampled": entry.times_sampled,
        "unsolved": entry.times_unsolved,
        "taught": entry.times_taught,
        "accuracy": round(entry.last_accuracy, 4),
        "groups": [
            [s.iteration, s.purpose, s.policy_version, s.correct, s.rollouts, int(s.is_hardest), list(s.statuses)]
            for s in entry.samplings
        ],
        "attempts": [
            (*(a.iteration, a.purpose, a.sample, a.status), *_verdict(a), a.tokens, cut(a.text, cut_at))
            for a in entry.attempts
        ],
        "offers": [
            (
                o.run,
                o.iteration,
                o.source,
                o.tokens,
                round(o.cost_usd, 6),
                _maybe(o.refusal, 300),
                cut(o.text, 3 * cut_at),
            )
            for o in entry.offers
        ],
        "lessons": [
            [
                *(one.iteration, one.version, _rounded(one.nll_before), _rounded(one.nll_after)),
                one.kind,
                one.prefix_tokens,
            ]
            for one in entry.lessons
        ],
        "left": [list(one) for one in entry.leavings],
    }


def _verdict(attempt: Attempt) -> tuple[str | None, str, str]:
    return _maybe(attempt.answer, 300), attempt.decided_by, cut(attempt.reason, 300)


def _maybe(text: str | None, most: int) -> str | None:
    return None if text is None else cut(text, most)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
