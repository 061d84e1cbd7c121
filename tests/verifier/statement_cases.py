"""The second file of labelled cases, each judged by the settings that its kind asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relift.records import Completion, FinishReason, Status, Verdict
from relift.verifier import Verifier

FILE = "verify_cases_2.jsonl"
MIN_AGREEMENT = 0.93
"""Of the cases with a mark; none that is labelled wrong may be accepted."""
MISLABELLED = {
    "t2v-0722": "6.018 is no rounding of 6 1/64 = 6.015625",
    "t2v-0343": "the last box of the response holds an intermediate result, 255",
    "t2v-0832": "60 lollipops and 10 marmalades are not 60 hard and 10 jelly candies",
    "t2v-0810": "the number of times and the total number of times are not those of observations and of objects",
}
"""Cases by id whose label is judged to be wrong, with the reason."""


def cases(folder: Path) -> list[dict[str, Any]]:
    """All but the mislabelled ones."""
    rows = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    return [row for row in rows if row["id"] not in MISLABELLED]


def is_marked(case: dict[str, Any]) -> bool:
    return not case["kind"].startswith("no box")


def is_as_labelled(case: dict[str, Any], verdict: Verdict) -> bool:
    return (verdict.status is Status.CORRECT) is case["expected"]


def misses(found: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> list[str]:
    """Every case that is accepted and must not be, and the bar where it is not held."""
    both = list(zip(found, verdicts, strict=True))
    said = [
        f"{case['id']}: {case['gold']!r} accepts {case['answer']!r}"
        for case, verdict in both
        if not case["expected"] and not is_as_labelled(case, verdict)
    ]
    marked = [is_as_labelled(case, verdict) for case, verdict in both if is_marked(case)]
    if not sum(marked) >= MIN_AGREEMENT * len(marked):
        said.append(
            f"{sum(marked) / len(marked):.2%} of the marked cases are as labelled, {MIN_AGREEMENT:.0%} are asked for"
        )
    return said


def judged(found: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Rounded golds with that setting, answers without a mark with the form for them, all else by the defaults."""
    rounded = [case for case in found if "rounded" in case["kind"].split(":")[-1].split(",")[0]]
    unmarked = [case for case in found if not is_marked(case)]
    plain = [case for case in found if case not in rounded and case not in unmarked]
    verdicts: dict[str, Verdict] = {}
    with Verifier("either", workers=2) as verifier:
        for some, reading in (
            (rounded, verifier.reading(form="either", rounded_golds=True)),
            (unmarked, verifier.reading(form="flexible", rounded_golds=False)),
            (plain, verifier),
        ):
            asked = reading.verify_batch([(case["gold"], _completion(case["answer"])) for case in some])
            verdicts |= {case["id"]: verdict for case, verdict in zip(some, asked, strict=True)}
    return [verdicts[case["id"]] for case in found]


def _completion(text: str) -> Completion:
    return Completion(token_ids=(), logprobs=(), text=text, finish_reason=FinishReason.STOP, policy_version=0)
