"""What one run found hard and people solved is what the next one is taught."""

from __future__ import annotations

import json
from pathlib import Path

from relift.exchange import import_solutions
from relift.ledger.schema import SNAPSHOT
from tests.phases.conftest import Opener, drive

SETTINGS = ("questions.batch_size=8", "rl.questions_per_update=4", "teach.rule.batch_size=2")


def test_a_new_run_is_taught_what_was_imported_before_it_began(opener: Opener, tmp_path: Path) -> None:
    first = opener(*SETTINGS, name="first")
    drive(first, 2)
    first.ledger.publish(first.root / SNAPSHOT)
    offered = first.ledger.execute(
        "SELECT question_id, answer FROM demonstrations d JOIN questions USING (question_id) WHERE refusal IS NULL"
    )
    assert len(offered) >= 2, "nothing was hard, so this shows nothing"
    people = tmp_path / "people.jsonl"
    people.write_text("".join(json.dumps({"question_id": id_, "solution": f"={gold}"}) + "\n" for id_, gold in offered))
    store = tmp_path / "runs"
    assert import_solutions(str(people), store=str(store), folder=store).taken == len(offered)
    second = opener(*SETTINGS, name="second")
    drive(second, 2)
    taught = second.ledger.execute(
        "SELECT d.source, d.text, answer FROM uses JOIN demonstrations d USING (demonstration_id) "
        "JOIN questions q ON q.question_id = d.question_id WHERE d.iteration = 0"
    )
    assert len(taught) >= 2
    assert {(source, text) for source, text, _ in taught} == {("human/people", f"={gold}") for *_, gold in taught}
