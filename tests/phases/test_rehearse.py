"""What is rehearsed was taught before, is recorded as trained on, and has no use of its own."""

from __future__ import annotations

from relift.phases import sft_update
from relift.phases.updates import DEMONSTRATION
from relift.run.recorded import phase_key
from tests.phases.conftest import Opener, drive


def test_an_update_trains_again_on_what_earlier_ones_taught(opener: Opener) -> None:
    run = opener("sft.rehearse=3", "checkpoint.every=100")
    drive(run, 6)
    before: set[str] = set()
    rehearsed = 0
    for iteration in range(6):
        key = phase_key(iteration, "sft_update")
        if run.store.manifest(key) is None:
            continue
        rows = sft_update.recorded_rows(run, key)
        again = [row["question_id"] for row in rows if row["role"] == sft_update.REHEARSED]
        assert set(again) <= before and len(again) == min(3, len(before))
        rehearsed += len(again)
        before |= {row["question_id"] for row in rows if row["role"] == DEMONSTRATION}
    assert rehearsed > 0, "nothing was rehearsed, so nothing was tested"
    assert run.ledger.execute("SELECT count(*), count(DISTINCT question_id) FROM uses") == [(len(before), len(before))]
