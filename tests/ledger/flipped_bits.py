"""One bit of a ledger file turned, and what then becomes of a check and of a run that goes on writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relift.errors import LedgerError
from relift.ledger import Ledger, schema
from relift.ledger.check import check
from relift.records import Purpose
from tests.ledger.ledger_histories import demonstration, group, question

HEADERS, BLOCK = 3 * 4096, 256 << 10
"""Bytes of DuckDB's three headers, and of a block after them."""
NEW = question("9*9?", "81")


def flipped(content: bytes, position: int, bit: int = 0) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


def one_position_a_block(content: bytes) -> Iterator[int]:
    """The middle of each block's beginning, where a block that holds anything holds it."""
    yield from range(HEADERS + 100, len(content), BLOCK)


def is_found(path: Path) -> bool:
    """Whether ``check`` refuses the file, with a message that says what to do."""
    try:
        check(path)
    except LedgerError as problem:
        assert "damaged" in str(problem) and "relift ledger rebuild" in str(problem)
        return True
    return False


def digest_after_more_writing(path: Path, run: str) -> str:
    """Rows in every kind of table, a snapshot, the file closed and opened again; what it held before that."""
    with Ledger.open(path, run) as ledger:
        before = ledger.digest()
        ledger.record_questions("more/questions", [NEW], "train")
        ledger.record_attempts("more/record", 50, [group(NEW, "----")], purpose=Purpose.TRAIN, hardest=[NEW.id])
        ledger.record_demonstrations("more/source", 50, [demonstration(NEW)])
        ledger.set_status("finished")
        ledger.publish(path.with_name(schema.SNAPSHOT))
    with Ledger.open(path, run) as ledger:
        ledger.digest()
    return before
