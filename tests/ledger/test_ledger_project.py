import time

import duckdb
import pytest
from ledger_histories import demonstration, evaluation, group, question, update, version

from relift.errors import LedgerError
from relift.ledger import Ledger, Use, open_project, query, snapshots, write_init_script
from relift.records import Purpose, UpdateKind

HARD, SOLVED = question("47*6?"), question("1+1?", "2")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Run ``a`` has an open question; run ``b-1`` has taught and learned the same one. One run is still writing."""
    folder = tmp_path_factory.mktemp("store") / "it's runs"
    with (
        Ledger.open(folder / "a" / "ledger.duckdb", "a") as a,
        Ledger.open(folder / "b-1" / "ledger.duckdb", "b-1") as b,
    ):
        for ledger in (a, b):
            ledger.record_run("run", "{}", "arithmetic", "0.1")
            ledger.record_questions("questions", [HARD, SOLVED], "train")
            groups = [group(HARD, "---t"), group(SOLVED, "+++-")]
            ledger.record_attempts("0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[HARD.id])
            ledger.record_evaluations("0/evaluate", 0, [evaluation(0.25)])
        b.record_demonstrations("0/source", 0, [demonstration(HARD)])
        use = Use(demonstration_id=demonstration(HARD).id, question_id=HARD.id, nll_before=2.0, nll_after=0.5)
        b.record_update("0/rl", 0, update(UpdateKind.RL), version(1, UpdateKind.RL))
        b.record_update("0/sft", 0, update(), version(2), [use])
        b.record_attempts("12/record", 12, [group(HARD, "-+++", version=2)], purpose=Purpose.TRAIN)
        b.record_evaluations("12/evaluate", 12, [evaluation(0.75, number=2)])
        for ledger in (a, b):
            ledger.publish(ledger.path.with_name("hard_examples.duckdb"))
        (folder / "notes").mkdir()
        yield folder


def test_two_runs_read_as_one_schema(store):
    assert [path.parent.name for path in snapshots(store)] == ["a", "b-1"]
    found = query(store, "SELECT run, state, text FROM hard_examples ORDER BY run")
    assert found.columns == ("run", "state", "text")
    assert found.rows == (("a", "open", "47*6?"), ("b-1", "learned", "47*6?"))
    assert query(store, "SELECT count(*) FROM attempts").rows == ((8 + 12,),)
    assert query(store, 'SELECT count(*) FROM "run_b-1".attempts').rows == ((12,),)


@pytest.mark.parametrize(
    "sql",
    [
        'DELETE FROM "run_a".attempts',
        'INSERT INTO "run_a".ingested VALUES (1, 2, now())',
        "DROP VIEW attempts",
        "CREATE TABLE mine AS SELECT 1",
        "COPY attempts TO '{folder}/out.csv'",
        "EXPLAIN ANALYZE COPY attempts TO '{folder}/out.csv'",
        "WITH x AS (COPY attempts TO '{folder}/out.csv') FROM x",
        'WITH x AS (INSERT INTO "run_a".runs(run) VALUES (1) RETURNING *) FROM x',
        "EXPORT DATABASE '{folder}/out.csv'",
        "ATTACH '{folder}/out.csv'",
        "SELECT 1; DELETE FROM attempts",
        "SET memory_limit = '90GB'",
        "CHECKPOINT",
    ],
)
def test_sql_that_writes_is_refused_and_no_file_changes(store, tmp_path, sql):
    before = {path: path.read_bytes() for path in snapshots(store)}
    with pytest.raises(LedgerError):
        query(store, sql.format(folder=tmp_path))
    assert {path: path.read_bytes() for path in snapshots(store)} == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    ["EXPLAIN SELECT 1", "SHOW TABLES", "DESCRIBE attempts", "PIVOT attempts ON status USING count(*)", "FROM runs;"],
)
def test_all_ways_of_reading_are_allowed(store, sql):
    assert query(store, sql).rows


def test_a_mistake_in_the_sql_is_explained(store):
    with pytest.raises(LedgerError, match="Did you mean"):
        query(store, "SELECT * FROM atempts")
    with pytest.raises(LedgerError, match="syntax error"):
        query(store, "SELEC 1")
    with pytest.raises(LedgerError, match="One statement"):
        query(store, "-- nothing")


def test_answers_are_bounded_in_rows_and_time(store):
    cut = query(store, "FROM range(100)", max_rows=7)
    assert len(cut.rows) == 7 and cut.is_cut
    assert not query(store, "FROM range(7)", max_rows=7).is_cut
    started = time.monotonic()
    with pytest.raises(LedgerError, match=r"stopped after 0\.2 seconds"):
        query(
            store,
            "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range ^ b.range = 3",
            max_seconds=0.2,
        )
    assert time.monotonic() - started < 5


def test_a_project_without_runs_says_how_to_make_one(tmp_path):
    with pytest.raises(LedgerError, match="relift train"), open_project(tmp_path):
        pass


def test_what_is_half_made_or_half_removed_is_no_run(tmp_path):
    for name in (".import-1.partial", ".demo-0.removed", "demo-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hard_examples.duckdb").write_bytes(b"")
    assert [path.parent.name for path in snapshots(tmp_path)] == ["demo-1"]


def test_a_snapshot_that_is_no_ledger_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "hard_examples.duckdb").write_bytes(b"x" * 20_000)
    with pytest.raises(LedgerError, match=r"a/hard_examples\.duckdb is no DuckDB database"):
        query(tmp_path, "SELECT 1")


def test_the_init_script_gives_any_client_the_same_views(store):
    script = write_init_script(store)
    assert script == store / "hard_examples.sql"
    with duckdb.connect() as client:
        client.execute(script.read_text())
        client.execute(script.read_text())  # harmless a second time
        for sql in ("SELECT run, state FROM hard_examples ORDER BY run", "SELECT count(*) FROM attempts"):
            assert tuple(client.execute(sql).fetchall()) == query(store, sql).rows
    written = script.stat().st_mtime_ns
    assert write_init_script(store).stat().st_mtime_ns == written
    assert not list(store.glob("*.partial"))
