"""What people open snapshots with: the DuckDB that relift uses, and 1.5 in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from old_ledgers import write_as

from relift.ledger import Ledger, named_queries, schema, write_init_script
from relift.ledger.sql import TABLES
from tests.bench.ledger_history import History

OLDER = Path(os.environ.get("RELIFT_TEST_DUCKDB15", ".venv-duckdb15/bin/python")).absolute()

CLIENT = """
import json, sys, duckdb
snapshot, script, tables, *queries = sys.argv[1:]

def said(row):  # sums of floats differ in their last bits, by the order of the threads
    return str([f"{value:.9g}" if isinstance(value, float) else value for value in row])

with duckdb.connect(snapshot, read_only=True) as shell:
    read = [shell.execute(f"SELECT count(*), count(hash(t)) FROM {table} t").fetchone() for table in tables.split(",")]
    states = shell.execute("SELECT state, count(*) FROM hard_examples GROUP BY ALL ORDER BY ALL").fetchall()
    for (view,) in shell.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
        shell.execute(f"FROM {view}").fetchall()  # as the newer client wrote it, which spells some functions otherwise
found = {}
with duckdb.connect() as shell:
    shell.execute(open(script).read())
    for path in queries:
        rows = shell.execute(open(path).read()).fetchall()
        found[path.rsplit("/", 1)[1]] = (len(rows), sorted(map(said, rows))[:50])
print(json.dumps([duckdb.__version__, read, states, found], default=str))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A project of a run of today and one of schema 1."""
    folder = tmp_path_factory.mktemp("runs")
    history = History(attempts=4000)
    with Ledger.open(folder / "new" / schema.LEDGER, history.run) as ledger:
        history.write(ledger)
        ledger.publish(folder / "new" / schema.SNAPSHOT)
    write_as("1", folder / "new" / schema.SNAPSHOT, folder / "old" / schema.SNAPSHOT)
    write_init_script(folder)
    return folder


def _answers(python: str | Path, store: Path) -> list[object]:
    queries = [str(Path(schema.__file__).with_name("queries") / f"{query.name}.sql") for query in named_queries()]
    tables = ",".join(TABLES)
    command = [python, "-c", CLIENT, store / "new" / schema.SNAPSHOT, store / "hard_examples.sql", tables, *queries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.clients
def test_an_older_client_opens_a_snapshot_and_answers_every_query_alike(store):
    before = {path: path.read_bytes() for path in store.rglob("*.duckdb")}
    older, newer = _answers(OLDER, store), _answers(sys.executable, store)
    assert (older[0].rpartition(".")[0], newer[0].rpartition(".")[0]) == ("1.5", "2.0")
    assert older[1:3] == newer[1:3]
    differing = {name for name, rows in older[3].items() if rows != newer[3][name]}
    assert not differing, [(older[3][name], newer[3][name]) for name in sorted(differing)][:1]
    assert {path: path.read_bytes() for path in store.rglob("*.duckdb")} == before


@pytest.mark.clients
def test_what_an_older_client_copied_and_wrote_to_is_still_read_here(store, tmp_path):
    """A person's own copy of a snapshot, with a table of theirs in it."""
    copy = tmp_path / "mine" / schema.SNAPSHOT
    copy.parent.mkdir()
    copy.write_bytes((store / "new" / schema.SNAPSHOT).read_bytes())
    sql = "CREATE TABLE mine AS SELECT question_id FROM hard_examples; CHECKPOINT"
    code = f"import duckdb, sys; duckdb.connect(sys.argv[1]).execute({sql!r})"
    subprocess.run([OLDER, "-c", code, copy], check=True)
    with Ledger.open(copy, "bench-0") as ledger:
        assert ledger.execute("SELECT count(*) FROM mine JOIN hard_examples USING (question_id)")[0][0] > 10
        assert ledger.record_leavings("another", 0, [])
