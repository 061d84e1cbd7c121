import shutil
import sys

import duckdb
import pytest
from exchange_project import OPEN, TAUGHT, WORDY, worked, write_run
from old_ledgers import write_as

from flows.cli.main import main
from relift.errors import LedgerError, StoreError
from relift.exchange.tables import export_tables
from relift.ledger import open_project, query, question_history, write_init_script
from relift.ledger import sql as limits
from relift.ledger.attached import attach, detach, locations
from relift.run.harvest import open_questions

SMALL_FAILS_BIG_SOLVES = """
    SELECT s.text FROM hard_examples s JOIN hard_examples b USING (question_id)
    WHERE s.run = 'demo-0' AND s.state = 'open' AND b.run = 'seven/demo-0' AND b.state = 'learned'
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Nothing is taught in run ``demo-0`` of the small model; the big one's run of the same name learned a question."""
    folder = tmp_path_factory.mktemp("projects")
    write_run(folder / "small" / "runs", "demo-0")
    write_run(folder / "seven" / "runs", "demo-0", demonstrations=[worked()])
    return folder


@pytest.fixture
def store(projects, tmp_path):
    shutil.copytree(projects, tmp_path, dirs_exist_ok=True)
    return tmp_path / "small" / "runs"


def test_what_the_small_model_fails_and_the_big_one_solves_is_one_query(store, tmp_path):
    location, found = attach(store, str(tmp_path / "seven" / "runs"))
    assert location.name == "seven" and len(found) == 1
    assert query(store, SMALL_FAILS_BIG_SOLVES).rows == ((TAUGHT.text,),)
    assert {state.run: state.state for state in question_history(store, TAUGHT.id).states} == {
        "demo-0": "open",
        "seven/demo-0": "learned",
    }


@pytest.mark.parametrize("what", ["runs", "runs/demo-0", "runs/demo-0/hard_examples.duckdb", "tables"])
def test_a_place_is_a_folder_a_run_a_file_or_parquet(store, tmp_path, what):
    export_tables(tmp_path / "seven" / "runs", tmp_path / "seven" / "tables", [])
    attach(store, str(tmp_path / "seven" / what), "seven")
    assert query(store, SMALL_FAILS_BIG_SOLVES).rows == ((TAUGHT.text,),)
    with open_project(store) as connection:
        forked = connection.execute("SELECT count(*) FROM attempts WHERE run = 'seven/demo-0'").fetchall()
    assert forked == [(3 * 4 + 4,)]


def test_parquet_that_was_exported_again_is_read_again(store, tmp_path):
    seven = tmp_path / "seven"
    export_tables(seven / "runs", seven / "tables", [])
    attach(store, str(seven / "tables"), "seven")
    write_run(seven / "runs", "demo-1")
    export_tables(seven / "runs", seven / "tables", [])
    assert query(store, "SELECT run FROM runs ORDER BY run").rows == (("demo-0",), ("seven/demo-0",), ("seven/demo-1",))


@pytest.mark.parametrize("earlier", ["2", "3"])
def test_parquet_that_an_earlier_relift_exported_is_read_as_todays(store, tmp_path, earlier):
    file = write_as(earlier, tmp_path / "seven/runs/demo-0/hard_examples.duckdb", tmp_path / "old.duckdb")
    (tmp_path / "tables").mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS old (READ_ONLY)")
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            to = f"'{tmp_path}/tables/{table}.parquet' (KV_METADATA {{relift_schema: '{earlier}'}})"
            connection.execute(f"COPY old.{table} TO {to}")
    (tmp_path / "tables" / "relift_ledger.parquet").unlink()
    attach(store, str(tmp_path / "tables"), "seven")
    assert query(store, SMALL_FAILS_BIG_SOLVES).rows == ((TAUGHT.text,),)
    assert query(store, "SELECT count(*) FROM reward_parts").rows == ((0,),)


def test_two_exports_of_a_ledger_as_parquet_are_equal(store, tmp_path):
    made = [export_tables(store, tmp_path / name, []) for name in ("one", "two")]
    assert [a.read_bytes() for a in made[0]] == [b.read_bytes() for b in made[1]]


def test_an_export_takes_patterns_and_goes_on_where_one_was_killed(store, tmp_path):
    write_run(store, "other-1")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "attempts.parquet.partial").write_bytes(b"half")
    export_tables(store, tmp_path / "one", ["demo-*"])
    assert not list(tmp_path.glob("one/*.partial"))
    assert duckdb.sql(f"SELECT run FROM '{tmp_path}/one/runs.parquet'").fetchall() == [("demo-0",)]
    with pytest.raises(LedgerError, match=r"holds a run 'large-\*'.*demo-0, other-1"):
        export_tables(store, tmp_path / "two", ["large-*"])


def test_what_is_read_may_need_more_room_than_memory(store, monkeypatch):
    monkeypatch.setattr(limits, "MEMORY", "100MB")
    with open_project(store) as connection:
        rows = "SELECT repeat(md5(range::VARCHAR), 4) AS x FROM range(1_000_000)"
        assert connection.execute(f"SELECT count(*) FROM ({rows} ORDER BY x LIMIT 900_000)").fetchall() == [(900_000,)]


def test_the_init_script_gives_another_client_the_attached_runs_too(store, tmp_path):
    attach(store, str(tmp_path / "seven" / "runs"))
    script = write_init_script(store).read_text()
    with duckdb.connect() as client:
        client.execute(script)
        assert client.execute(SMALL_FAILS_BIG_SOLVES).fetchall() == [(TAUGHT.text,)]


def test_the_list_is_readable_and_detaching_shortens_it(store, tmp_path):
    attach(store, str(tmp_path / "seven" / "runs"))
    attach(store, str(tmp_path / "seven" / "runs"))  # again: looked at, not listed twice
    assert 'name = "seven"\nuri = "' in (store / "attached.toml").read_text()
    assert [location.name for location in locations(store)] == ["seven"]
    detach(store, str(tmp_path / "seven" / "runs"))
    assert locations(store) == []
    assert query(store, "SELECT run FROM runs").rows == (("demo-0",),)
    with pytest.raises(LedgerError, match="'seven' is not attached"):
        detach(store, "seven")


def test_two_places_of_one_name_are_kept_apart_by_as(store, tmp_path):
    shutil.copytree(tmp_path / "seven", tmp_path / "other" / "seven")
    attach(store, str(tmp_path / "seven" / "runs"))
    with pytest.raises(LedgerError, match="--as"):
        attach(store, str(tmp_path / "other" / "seven" / "runs"))
    attach(store, str(tmp_path / "other" / "seven" / "runs"), "other")
    assert query(store, "SELECT run FROM runs ORDER BY run").rows == (("demo-0",), ("other/demo-0",), ("seven/demo-0",))


def test_what_cannot_be_read_is_not_remembered(store, tmp_path):
    (tmp_path / "notes.duckdb").write_text("no database")
    (tmp_path / "empty").mkdir()
    refused = {
        tmp_path / "notes.duckdb": "no DuckDB database",
        tmp_path / "empty": "holds no ledger",
        tmp_path / "gone": "holds no ledger",
        store: "the project itself",
        store / "demo-0": "read already",
    }
    for path, why in refused.items():
        with pytest.raises(LedgerError, match=why):
            attach(store, str(path), "name")
    with pytest.raises(StoreError, match="only folders and s3://"):
        attach(store, "gs://bucket/runs")
    with pytest.raises(LedgerError, match="cannot be the name"):
        attach(store, str(tmp_path / "seven" / "runs"), "a/b")
    assert not (store / "attached.toml").exists()


@pytest.mark.parametrize("version", ["", "(NULL)", "(0)", "(-1)"])
def test_a_ledger_that_does_not_say_its_schema_is_refused_and_not_remembered(store, tmp_path, version):
    with duckdb.connect(tmp_path / "seven" / "runs" / "demo-0" / "hard_examples.duckdb") as connection:
        connection.execute("DROP TABLE relift_ledger; CREATE TABLE relift_ledger (schema_version INTEGER)")
        if version:
            connection.execute(f"INSERT INTO relift_ledger VALUES {version}")
    with pytest.raises(LedgerError, match="does not say which ledger schema"):
        attach(store, str(tmp_path / "seven" / "runs"))
    assert locations(store) == []
    assert query(store, "SELECT run FROM runs").rows == (("demo-0",),)


def test_a_place_that_went_bad_troubles_what_reads_it_alone_and_says_how_to_leave_it_out(store, tmp_path, caplog):
    attach(store, str(tmp_path / "seven" / "runs"))
    bad = tmp_path / "seven" / "runs" / "demo-0" / "hard_examples.duckdb"
    with duckdb.connect(bad) as connection:
        connection.execute("DELETE FROM relift_ledger")
    with pytest.raises(LedgerError, match=r"(?s)demo-0/hard_examples.duckdb .*relift ledger detach seven"):
        query(store, "SELECT 1")
    assert open_questions(store, 10)  # a harvest asks the project's own ledgers
    assert "seven" not in write_init_script(store).read_text()  # as a run does when it publishes
    assert "hard_examples.duckdb does not say" in caplog.text
    write_run(tmp_path / "other" / "runs", "o")
    attach(store, str(tmp_path / "other" / "runs"))
    detach(store, "seven")
    assert query(store, "SELECT run FROM runs ORDER BY run").rows == (("demo-0",), ("other/o",))


def test_another_place_is_attached_beside_one_that_is_gone(store, tmp_path):
    attach(store, str(tmp_path / "seven" / "runs"))
    (tmp_path / "seven").rename(tmp_path / "away")
    write_run(tmp_path / "other" / "runs", "o")
    attach(store, str(tmp_path / "other" / "runs"))
    assert [location.name for location in locations(store)] == ["seven", "other"]


def test_a_place_that_is_gone_is_said_and_never_silently_left_out(store, tmp_path):
    attach(store, str(tmp_path / "seven" / "runs"))
    (tmp_path / "seven").rename(tmp_path / "away")
    with pytest.raises(LedgerError, match="relift ledger detach seven"):
        query(store, "SELECT 1")
    assert "seven" not in write_init_script(store).read_text()  # a run that publishes is not troubled by it


def test_a_damaged_list_is_said_with_what_to_do(store):
    (store / "attached.toml").write_text("[[attached]]\nname = 3")
    with pytest.raises(LedgerError, match="attach anew"):
        locations(store)


def test_a_harvest_asks_for_the_questions_of_its_own_project_alone(store, tmp_path):
    write_run(tmp_path / "theirs" / "runs", "t", hard=[WORDY])
    attach(store, str(tmp_path / "theirs" / "runs"))
    assert {question.id for question in open_questions(store, 10)} == {TAUGHT.id, OPEN.id}


def test_attaching_on_the_command_line(store, tmp_path, monkeypatch, capsys):
    def relift(*arguments):
        monkeypatch.setattr(sys, "argv", ["relift", "ledger", *arguments, "--store", str(store)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    assert "Nothing is attached" in relift("attach")[1]
    assert "attached as seven: 1 run, seven/demo-0" in relift("attach", str(tmp_path / "seven/runs"))[1]
    assert relift("attach") == (0, f"seven  {tmp_path / 'seven/runs'}\n")
    assert "no longer attached" in relift("detach", "seven")[1]
    code, said = relift("detach", "seven")
    assert code == 2 and "is not attached" in said
