"""A project small enough to count by hand: what two runs of the demo met, one with and one without demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ledger_histories import demonstration, group, question, update, version

from relift.ledger import Ledger, Use
from relift.records import Demonstration, Purpose, Question, UpdateKind
from tests.small_run import small_config

LONG = (
    "A train of 13 wagons leaves the station at noon and meets another train of 47 wagons at six, so how many wagons?"
)
TAUGHT, OPEN, WORDY = question("47*6?"), question("12+30?", "42"), question(LONG, "60")
SOLVED, HELD_OUT = question("1+1?", "2"), question("5*5?", "25")
OVERLAPPING = question(LONG.replace("how many wagons?", "what is their number?"), "60")
WORKED = "=40*6+7*6=240+42=282"


def write_run(
    folder: Path,
    run: str,
    *,
    hard: Sequence[Question] = (TAUGHT, OPEN),
    held_out: Sequence[Question] = (HELD_OUT,),
    demonstrations: Sequence[Demonstration] = (),
    settings: Sequence[str] = (),
) -> None:
    """A run whose questions are hard in iteration 0; what is demonstrated is taught then and solved in iteration 1."""
    with Ledger.open(folder / run / "ledger.duckdb", run) as ledger:
        ledger.record_run("run", small_config(folder, *settings).model_dump_json(), "arithmetic", "0.1")
        ledger.record_questions("questions", [*hard, SOLVED], "train")
        ledger.record_questions("held_out", held_out, "held_out")
        groups = [*(group(one, "---t") for one in hard), group(SOLVED, "+++-")]
        ledger.record_attempts("0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[one.id for one in hard])
        ledger.record_demonstrations("0/source", 0, demonstrations)
        uses = [
            Use(demonstration_id=d.id, question_id=d.question_id, nll_before=2.0, nll_after=0.5)
            for d in demonstrations
            if d.is_admitted
        ]
        ledger.record_update("0/rl", 0, update(UpdateKind.RL), version(1, UpdateKind.RL))
        if uses:
            ledger.record_update("0/sft", 0, update(), version(2), uses)
            taught = {use.question_id for use in uses}
            later = [group(one, "-+++", version=2) for one in hard if one.id in taught]
            ledger.record_attempts("1/record", 1, later, purpose=Purpose.TRAIN)
        ledger.publish(folder / run / "hard_examples.duckdb")


def worked(asked: Question = TAUGHT, text: str = WORKED, refusal: str | None = None) -> Demonstration:
    return demonstration(asked, text=text, refusal=refusal)
