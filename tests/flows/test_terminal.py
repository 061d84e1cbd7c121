"""What a ledger of anybody says reaches a terminal as text, and a pipe without padding."""

import sys

import duckdb
import pytest

from flows.cli.main import main
from relift.ledger.schema import SNAPSHOT
from tests.ledger.ledger_small import LEARNED, write_small_project

ESCAPE = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e[red]"
COLUMNS = {
    "questions": ("text", "answer", "source", "split", "gold_status"),
    "groups": ("purpose",),
    "attempts": ("status", "answer", "reason", "text", "purpose"),
    "demonstrations": ("source", "text"),
    "leavings": ("reason",),
    "runs": ("base_model", "status"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Each text of a run that nobody's relift wrote holds escape sequences, also where only a few words can stand."""
    folder = write_small_project(tmp_path_factory.mktemp("runs"))
    with duckdb.connect(folder / "small-0" / SNAPSHOT) as connection:
        for table, columns in COLUMNS.items():
            sets = ", ".join(f"{column} = {column} || '{ESCAPE}'" for column in columns)
            connection.execute(f"UPDATE {table} SET {sets}")
        connection.execute("UPDATE groups SET purpose = 'train' WHERE iteration = 0")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("show", LEARNED.id),
        ("hard",),
        ("hard", "unsolved"),
        ("hard", "sources"),
        ("hard", "statuses"),
        ("hard", "runs"),
        ("sql", "FROM attempts"),
        ("sql", 'SELECT 1 AS "\x1b[31m"'),
        ("sql", "SELECT no\x1b[31msuch"),
        ("show", "\x1b[31mnothing"),
        ("ledger", "check"),
    ],
    ids=ascii,
)
def test_no_escape_sequence_gets_through_and_no_line_is_padded(store, monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["relift", *command, "--store", str(store)])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not [c for c in text if c != "\n" and not c.isprintable()]
        assert not [line for line in text.splitlines() if line.endswith(" ")]
    assert said.out or said.err
    if command == ("show", LEARNED.id):
        assert "[red]" in said.out and "─────" not in said.out, "nothing is drawn as wide as the widest terminal"
