"""Any user's SQL, asked in a process of its own, so that what it takes is bounded by the system.

DuckDB keeps count of the memory of its operators, not of all that a function builds, and some of these never look
whether they are to stop: `SELECT len(list_sort(range(1000000000)))` passes both of its limits. The child can be given
neither more memory nor more time than is said here.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from relift.errors import LedgerError
from relift.ledger import sql as limits
from relift.ledger.attached import Source
from relift.ledger.project import Table, answer_from, sources_to_read

MEMORY_BYTES = 1 << 30
"""Of the child, whatever of it is its own to write."""
DUCKDB_MEMORY = "400MB"
"""Of these what DuckDB counts, from where on it spills."""
MOST_SECONDS = 60.0
GRACE_SECONDS = 5.0
"""For the child to begin, and to say itself that time is up."""


def ask(store: Path, sql: str, *, max_rows: int = 10_000, max_seconds: float = MOST_SECONDS) -> Table:
    """What one reading statement of anybody finds in all runs, as ``project.query`` does, within bounds that hold.

    Raises LedgerError as that does, and naming the bound where memory or time were not enough.
    """
    found = sources_to_read(store)  # what lies in a bucket is fetched here, where a network may take its time
    asked = {
        "store": str(store),
        "sql": sql,
        "max_rows": max_rows,
        "max_seconds": max_seconds,
        "sources": [{**asdict(source), "path": str(source.path)} for source in found],
    }
    command = [sys.executable, "-m", "relift.ledger.asking"]
    # In a session of its own, so that Ctrl-C reaches this process alone, which ends the child on its way out.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    with child:
        try:
            said, _ = child.communicate(json.dumps(asked).encode(), timeout=max_seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as over:
            raise LedgerError(_too_slow(max_seconds)) from over
        finally:
            child.kill()
            child.wait()
    if child.returncode != 0 or not said:
        raise LedgerError(_too_large())
    answer: Table | str = pickle.loads(said)  # from our own program, which a query cannot make write anything else
    if isinstance(answer, str):
        raise LedgerError(answer)
    return answer


def main() -> None:
    """The child: one question on standard input, a pickled Table or what is wrong on standard output."""
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limits.MEMORY = DUCKDB_MEMORY
    found = [Source(**{**source, "path": Path(source["path"])}) for source in asked["sources"]]
    answer: Table | str
    try:
        answer = answer_from(
            found, Path(asked["store"]), asked["sql"], max_rows=asked["max_rows"], max_seconds=asked["max_seconds"]
        )
        said = pickle.dumps(answer)
    except MemoryError:
        said = pickle.dumps(_too_large())
    except LedgerError as problem:
        said = pickle.dumps(_too_large() if "Out of Memory Error" in str(problem) else str(problem))
    answers.write(said)
    answers.flush()
    os._exit(0)  # a statement that does not stop would be waited for


def _too_large() -> str:
    return (
        f"The query needed more than the {MEMORY_BYTES >> 30} GB of memory that a query may have, and was ended. Ask "
        f"for less (a WHERE on run or iteration, a LIMIT inside), or open the snapshots in a DuckDB client of your "
        f"own: hard_examples.sql."
    )


def _too_slow(seconds: float) -> str:
    return (
        f"The query was stopped after {seconds:g} seconds. Ask for less (a WHERE on run or iteration), or open the "
        f"snapshots in a DuckDB client of your own: hard_examples.sql."
    )


if __name__ == "__main__":
    main()
