"""Real golds with one thing changed: how many of them the verifier takes for the gold, which is none but by mistake.

Over every distinct gold of GSM8K, the reference's benchmarks and the labelled cases that a data set with it would be
loaded with. Decided is what comes back as correct, wrong or malformed: no timeout, no error, no bad gold. What was
accepted and what was not decided is listed in runs/bench/verifier_mutations.txt.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from relift.records import Status, Verdict
from relift.verifier import Verifier
from tests.bench.figures import FOLDER
from tests.verifier.mutations import Mutation, mutations
from tests.verifier.real_golds import real_golds, usable

MAX_ACCEPTED_SHARE = 1 / 2_000
MIN_DECIDED_SHARE = 0.95
MIN_COUNT = 10_000
"""Of mutations, so that the first bar means something."""
DECIDED = {Status.CORRECT, Status.WRONG, Status.MALFORMED}


def main(data: Path) -> dict[str, float]:
    figures = {}
    verdicts: list[tuple[Mutation, Verdict]] = []
    with Verifier("boxed", workers=2) as verifier:
        for name, golds in real_golds(data).items():
            kept = usable(verifier, golds)
            made = [change for gold in kept for change in mutations(gold)]
            found = verifier.compare_batch([(change.gold, change.answer) for change in made])
            accepted = sum(verdict.status is Status.CORRECT for verdict in found)
            print(f"{name}: {len(made)} mutations of {len(kept)} golds of {len(golds)}, {accepted} accepted")
            verdicts += zip(made, found, strict=True)
            figures[f"mutations_{name}"] = float(len(made))
    decided = [verdict.status is Status.CORRECT for _, verdict in verdicts if verdict.status in DECIDED]
    write_down(verdicts)
    return figures | {
        "mutations": float(len(verdicts)),
        "mutations_accepted": float(sum(decided)),
        "mutations_accepted_share": sum(decided) / len(decided) if decided else math.nan,
        "mutations_decided_share": len(decided) / len(verdicts) if verdicts else math.nan,
    }


def misses(figures: dict[str, float]) -> list[str]:
    """What is past its bar; not a number is past each."""
    said = []
    if not figures["mutations"] >= MIN_COUNT:
        said.append(f"{figures['mutations']:.0f} mutations, at least {MIN_COUNT} are asked for")
    if not figures["mutations_accepted_share"] <= MAX_ACCEPTED_SHARE:
        said.append(
            f"{figures['mutations_accepted_share']:.4%} of the mutations are accepted, at most 1 in 2,000 may be"
        )
    if not figures["mutations_decided_share"] >= MIN_DECIDED_SHARE:
        said.append(
            f"{figures['mutations_decided_share']:.1%} of the mutations are decided, at least 95 % are asked for"
        )
    return said


def write_down(verdicts: list[tuple[Mutation, Verdict]]) -> None:
    listed = [(change, found) for change, found in verdicts if found.status not in (Status.WRONG, Status.MALFORMED)]
    kinds = Counter(change.kind for change, found in listed if found.status is Status.CORRECT)
    print("accepted by kind: " + (", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) or "none"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "verifier_mutations.txt").write_text(
        "".join(
            f"{found.status.value} [{found.path.value}] {change.kind}: {change.gold!r} <- {change.answer!r}\n"
            for change, found in listed
        )
    )
