import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relift.ledger import Ledger
from relift.ledger.check import check

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("RELIFT_TEST_LEDGER_KILLS", "5"))
CHILD = Path(__file__).with_name("writing_child.py")


def test_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path):
    """100 times with `make test-ledger-kills`: a process that writes and publishes all the time, and acknowledges."""
    path, acknowledged = tmp_path / "a" / "ledger.duckdb", ["a/0/record"]
    rng, lives = random.Random(0), 0
    for _ in range(KILLS):
        first = int(acknowledged[-1].split("/")[1])  # of which the last life may have written more than it could say
        acknowledged += _life(path, first, rng)
        with Ledger.open(path, "a") as ledger:
            keys = {key for (key,) in ledger.execute("SELECT key FROM ingested")}
            assert set(acknowledged) <= keys
            lives += 1
            assert len(keys) <= len(set(acknowledged)) + 2 + lives  # the run, the questions, one not yet acknowledged
            counts = ledger.counts()
            for table, phase, rows in (("attempts", "record", 200), ("uses", "update", 3), ("leavings", "left", 2)):
                batches = sum(key.endswith(f"/{phase}") for key in keys)
                probes = 40 * sum(key.endswith("/probe") for key in keys) if table == "attempts" else 0
                assert counts[table] == rows * batches + probes
            complete = all(f"a/{number}/close" in keys for number in range(first))
            assert complete
        wrong = [one for one in check(path) if one.wrong]
        assert not wrong, wrong
        snapshot = path.with_name("hard_examples.duckdb")
        if snapshot.exists():
            assert not [one for one in check(snapshot) if one.wrong]
    assert len(acknowledged) - 1 == len(set(acknowledged[1:])) >= KILLS


def _life(path: Path, first: int, rng: random.Random) -> list[str]:
    """What a process acknowledged until it was killed, at any moment from its start on, or of its first writing on."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(path), "a", str(first), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said = child.stdout.readline()
    assert said, child.stderr.read()
    time.sleep(rng.random() * 0.4)
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    whole, _, _ = (said + rest).rpartition("\n")
    return whole.split("\n")
