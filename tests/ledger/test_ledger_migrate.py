import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from old_ledgers import EARLIER, write_as

from relift.errors import LedgerError
from relift.ledger import Ledger, migrate, named_queries, query, schema, write_init_script
from relift.ledger.check import check
from tests.bench.ledger_history import History


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    """A ledger of today's schema with every purpose, and its digest."""
    path = tmp_path_factory.mktemp("today") / "bench-0" / "ledger.duckdb"
    history = History(attempts=2400)
    with Ledger.open(path, history.run) as ledger:
        history.write(ledger)
        assert ledger.counts()["leavings"] == 0  # earlier schemas could not say it
        purposes = dict(ledger.execute("SELECT purpose, count(*) FROM groups GROUP BY 1"))
        assert min(purposes[purpose] for purpose in ("train", "probe", "evaluation")) > 20
        assert ledger.counts()["entries"] > 0
        return path, ledger.digest()


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_ledger_of_an_earlier_schema_becomes_what_this_one_would_have_written(today, tmp_path, earlier):
    path, digest = today
    old = write_as(earlier, path, tmp_path / "bench-0" / "ledger.duckdb")
    with Ledger.open(old, "bench-0") as ledger:
        assert ledger.digest() == digest
        assert ledger.execute("SELECT schema_version FROM relift_ledger") == [(schema.SCHEMA_VERSION,)]
        assert not ledger.record_leavings("bench-0/iterations/00000/close", 0, [])  # known by its key
        assert ledger.execute("SELECT count(*) FROM hard_examples")[0][0] > 10
    assert not any(one.wrong for one in check(old))
    assert [found.name for found in old.parent.iterdir()] == ["ledger.duckdb"]
    assert not migrate.migrate(old)


def test_a_resumed_run_finds_its_ledger_with_the_tables_of_a_new_one(today, tmp_path):
    old = write_as("1", today[0], tmp_path / "ledger.duckdb")
    assert migrate.migrate(old)
    shapes = []
    for path in (old, today[0]):
        with duckdb.connect(path, read_only=True) as connection:
            columns = "SELECT table_name, column_name, data_type, is_nullable, column_index FROM duckdb_columns() "
            keys = "SELECT table_name, constraint_text FROM duckdb_constraints() "
            shapes.append([connection.execute(f"{sql} ORDER BY ALL").fetchall() for sql in (columns, keys)])
    assert shapes[0] == shapes[1] and len(shapes[0][0]) > 100


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_snapshot_of_an_earlier_schema_is_read_as_one_of_today_and_left_alone(today, tmp_path, earlier):
    path, _ = today
    old = write_as(earlier, path, tmp_path / "old" / "hard_examples.duckdb")
    new = tmp_path / "new" / "hard_examples.duckdb"
    new.parent.mkdir()
    new.write_bytes(path.read_bytes())
    before = old.read_bytes()
    requests = "request_key, attempts, answer, finish_reason, failure, cost_usd, unanswered_usd"
    for table, columns in (
        ("groups", "*"),
        ("updates", "*"),
        ("teacher_requests", requests),
        ("leavings", "*"),
        ("reward_parts", "*"),
        ("reward_failures", "*"),
        ("hard_examples", "*"),
    ):
        found = [
            query(folder, f"SELECT {columns} FROM {table} ORDER BY ALL", max_rows=1_000_000).rows
            for folder in (_alone(old), _alone(new))
        ]
        assert found[0] == found[1], table
    doubled = query(tmp_path, "SELECT count(*) FROM attempts").rows[0][0]
    with duckdb.connect() as client:
        client.execute(write_init_script(tmp_path).read_text())
        assert client.execute("SELECT count(*), sum(rollouts) FROM groups").fetchone()[1] == doubled
        if earlier == "1_first":
            for named in named_queries():
                client.execute(named.sql)
    assert old.read_bytes() == before


def _alone(snapshot: Path) -> Path:
    """A project that holds that snapshot and no other."""
    project = snapshot.parent / "project"
    (project / "bench-0").mkdir(parents=True, exist_ok=True)
    link = project / "bench-0" / "hard_examples.duckdb"
    if not link.exists():
        link.symlink_to(snapshot)
    return project


def test_a_migration_that_fails_leaves_the_old_file_as_it_was(today, tmp_path, monkeypatch):
    old = write_as("2", today[0], tmp_path / "ledger.duckdb")
    before = old.read_bytes()
    monkeypatch.setattr(migrate, "migration_sql", lambda version: "CREATE VIEW new.groups AS FROM old.nothing;")
    with pytest.raises(LedgerError, match=r"schema 2 and could not be made one of schema 5.*left untouched"):
        Ledger.open(old, "bench-0")
    assert old.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.duckdb"]


MIGRATED = "import sys; from pathlib import Path; from relift.ledger.migrate import migrate; print('go', flush=True); "
MIGRATED += "migrate(Path(sys.argv[1]))"


def test_killed_while_it_is_migrated_a_ledger_is_the_old_one_or_the_new(today, tmp_path):
    path, digest = today
    rng = random.Random(0)
    for kill in range(3):
        old = write_as("2", path, tmp_path / str(kill) / "ledger.duckdb")
        child = subprocess.Popen([sys.executable, "-c", MIGRATED, str(old)], stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        time.sleep(rng.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with Ledger.open(old, "bench-0") as ledger:
            assert ledger.digest() == digest


def test_every_schema_has_a_way_to_it_and_today_s_is_not_among_the_earlier_ones():
    assert {int(path.stem) for path in Path(migrate.__file__).with_name("migrations").glob("*.sql")} == set(
        range(2, schema.SCHEMA_VERSION + 1)
    )
    kept = {int(name.partition("_")[0]) for name in EARLIER}
    assert kept == set(range(1, schema.SCHEMA_VERSION))
