"""A process that writes a ledger as fast as it can, and says of each batch when it is written; killed by tests.

``python writing_child.py LEDGER RUN FIRST PAUSE``: iterations from FIRST on, each of seven batches and so many seconds
after the one before, until it is killed or its standard input is closed. Snapshots are published beside the writing all
the time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ledger_histories import demonstration, evaluation, group, iteration, question, update, version

from relift.ledger import LeavingRecord, Ledger, Use
from relift.records import Purpose, Status, UpdateKind
from relift.run.publisher import Publisher

QUESTIONS = [question(f"{number} + {number}?", str(2 * number)) for number in range(25)]
HARD = QUESTIONS[:5]
GROUPS = [group(asked, "-" * 8) for asked in HARD] + [group(asked, "-+" * 4) for asked in QUESTIONS[5:]]


def write(ledger: Ledger, number: int) -> Iterator[str]:
    """The batches of an iteration; gives the key of each that was not there yet, when it is written."""
    prefix = f"{ledger.run}/{number}"
    offered = [demonstration(asked, text=f"{number}") for asked in HARD]
    uses = [Use(demonstration_id=d.id, question_id=d.question_id, nll_before=2.0, nll_after=1.0) for d in offered[:3]]
    left = [LeavingRecord(question_id=d.question_id, demonstration_id=d.id, reason="expired") for d in offered[3:]]
    report = replace(
        iteration(number),
        rollouts=200,
        tokens=600,
        unsolved=len(HARD),
        taught=len(uses),
        statuses={Status.WRONG: 120, Status.CORRECT: 80},
    )
    hard = [asked.id for asked in HARD]
    batches = {
        "record": lambda key: ledger.record_attempts(key, number, GROUPS, purpose=Purpose.TRAIN, hardest=hard),
        "probe": lambda key: ledger.record_attempts(key, number, GROUPS[:5], purpose=Purpose.PROBE),
        "source": lambda key: ledger.record_demonstrations(key, number, offered),
        "update": lambda key: ledger.record_update(key, number, update(UpdateKind.SFT), version(number), uses),
        "left": lambda key: ledger.record_leavings(key, number, left),
        "evaluate": lambda key: ledger.record_evaluations(key, number, [evaluation(0.5)]),
        "close": lambda key: ledger.record_iteration(key, report),
    }
    for name, record in batches.items():
        if record(f"{prefix}/{name}"):
            yield f"{prefix}/{name}"


def main(path: Path, run: str, first: int, pause: float) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with Ledger.open(path, run) as ledger:
        ledger.record_run(f"{run}/run", "{}", "arithmetic", "0.1")
        ledger.record_questions(f"{run}/questions", QUESTIONS, "train")
        publisher = Publisher(lambda: ledger.publish(path.with_name("hard_examples.duckdb")))
        number, slowest = first, 0.0
        while not ended.is_set():
            began = time.monotonic()
            for key in write(ledger, number):
                print(key, flush=True)
            publisher.begin()
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(pause)
            number += 1
        publisher.wait()
        print(f"slowest {slowest}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
