"""Ledgers that a stranger made: none of them shows a file of this machine, and each is refused by name.

The secret lies in a file that only its owner may read; whatever a command prints or writes is searched for it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import duckdb
import pytest
from exchange_project import OPEN, TAUGHT, worked, write_run

from flows.cli.main import main
from relift.errors import LedgerError
from relift.ledger import Ledger, query, write_init_script
from relift.ledger.attached import attach, locations
from relift.ledger.imported import imported_solutions
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.ledger.sql import literal
from tests.store.s3_stub import BUCKET, serving

pytestmark = pytest.mark.attacks

SECRET = "the-private-key-of-this-machine"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A project, and beside it the ledger of somebody else's run, of which one question has a demonstration."""
    folder = tmp_path_factory.mktemp("honest")
    write_run(folder / "runs", "demo-0")
    write_run(folder / "theirs", "big-0", demonstrations=[worked()])
    return folder


@pytest.fixture
def store(honest, tmp_path):
    shutil.copytree(honest, tmp_path, dirs_exist_ok=True)
    (tmp_path / "secret.txt").write_text(SECRET)
    return tmp_path / "runs"


def made_strange(path: Path, *statements: str) -> None:
    """In the newest storage version: an author is not held to the one that relift writes, and triggers need it."""
    other = path.with_name("other.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS old (READ_ONLY)")
        connection.execute(f"ATTACH '{other}' AS new (STORAGE_VERSION 'v2.0.0')")
        connection.execute("COPY FROM DATABASE old TO new")
        connection.execute("USE new")
        for statement in statements:
            connection.execute(statement)
    other.replace(path)


def as_view(table: str, body: str) -> tuple[str, ...]:
    """The table in another name, and under its own a view of it."""
    return (f"CREATE TABLE kept AS FROM {table}", f"DROP TABLE {table}", f"CREATE VIEW {table} AS {body}")


def strange_things(secret: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What each is, by what the message has to name."""
    text = f"(SELECT content FROM read_text('{secret}'))"
    file = literal(secret)
    return {
        "view that reads a text": ("questions", as_view("questions", f"SELECT * REPLACE ({text} AS text) FROM kept")),
        "view of a CSV file": (
            "demonstrations",
            as_view(
                "demonstrations",
                f"SELECT k.* REPLACE (c.line AS text) FROM kept k, (SELECT column0 AS line "
                f"FROM read_csv({file}, header=false, columns={{'column0': 'VARCHAR'}})) c",
            ),
        ),
        "view of what lies in a folder": (
            "runs",
            as_view("runs", f"SELECT k.* REPLACE (g.file AS base_model) FROM kept k, glob('{secret.parent}/*') g"),
        ),
        "view in capitals": ("ATTEMPTS", as_view("ATTEMPTS", f"SELECT * REPLACE ({text} AS text) FROM kept")),
        "view that says which schema it is": (
            "relift_ledger",
            (
                "DROP TABLE relift_ledger",
                f"CREATE VIEW relift_ledger AS SELECT 3 AS schema_version FROM read_text({file})",
            ),
        ),
        "macro that shadows a function": ("count", (f"CREATE MACRO count(x) AS {text}",)),
        "macro of a table": ("starts", (f"CREATE MACRO starts(x) AS TABLE SELECT * FROM read_text({file})",)),
        "trigger": (
            "watch",
            (
                "CREATE TABLE seen (text VARCHAR)",
                f"CREATE TRIGGER watch AFTER INSERT ON questions FOR EACH STATEMENT INSERT INTO seen SELECT {text}",
            ),
        ),
        "generated column": (
            "questions",
            (
                "CREATE TABLE kept AS FROM questions",
                "DROP TABLE questions",
                "CREATE TABLE questions (run VARCHAR, question_id VARCHAR, text VARCHAR GENERATED ALWAYS AS (run), "
                "answer VARCHAR, source VARCHAR, split VARCHAR, gold_status VARCHAR, repeats INTEGER)",
            ),
        ),
        "default": ("runs", ("ALTER TABLE runs ALTER base_model SET DEFAULT current_setting('home_directory')",)),
        "type of its own": ("mood", ("CREATE TYPE mood AS ENUM ('a', 'b')",)),
        "column of another type": ("groups", ("ALTER TABLE groups ALTER tokens TYPE VARCHAR",)),
        "column too many": ("uses", ("ALTER TABLE uses ADD COLUMN more VARCHAR",)),
        "column too few": ("attempts", ("ALTER TABLE attempts DROP COLUMN text",)),
        "table too few": ("leavings", ("DROP TABLE leavings",)),
    }


KINDS = list(strange_things(Path("x")))


def relift(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["relift", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "secret.txt")


@pytest.mark.parametrize("kind", KINDS)
def test_a_strange_ledger_is_refused_by_name_whichever_way_it_comes(store, tmp_path, kind):
    named, statements = strange_things(tmp_path / "secret.txt")[kind]
    theirs = tmp_path / "theirs" / "big-0" / SNAPSHOT
    made_strange(theirs, *statements)
    with pytest.raises(LedgerError, match=rf"(?s)no ledger that relift wrote: .*\b{named}\b"):
        attach(store, str(tmp_path / "theirs"))
    assert locations(store) == []
    with pytest.raises(LedgerError, match="no ledger that relift wrote"):
        imported_solutions(theirs, "demo-0")
    shutil.copytree(theirs.parent, store / "big-0")  # as if its author could write into the folder of the runs
    with pytest.raises(LedgerError, match="no ledger that relift wrote"):
        query(store, "SELECT * FROM questions, demonstrations, attempts")
    assert "big-0" not in write_init_script(store).read_text()
    # As it is when a bucket's snapshot is what a resumed run makes its ledger of.
    (tmp_path / "resumed").mkdir()
    with pytest.raises(LedgerError, match="no ledger that relift wrote"):
        Ledger.open(tmp_path / "resumed" / LEDGER, "big-0", else_from=theirs)
    assert not any((tmp_path / "resumed").iterdir())
    assert SECRET.encode() not in everything_below(tmp_path)


COMMANDS = (
    ("hard",),
    ("hard", "unsolved"),
    ("hard", "effect", "--out", "OUT/effect.parquet"),
    ("hard", "effect", "--format", "json"),
    ("hard", "browse", "--out", "OUT/page.html"),
    ("show", TAUGHT.id),
    ("sql", "FROM questions"),
    ("sql", 'FROM "at_theirs_0".questions'),
    ("ledger", "check"),
    ("ledger", "export", "OUT/dataset"),
    ("ledger", "export", "--format", "jsonl", "OUT/wanted.jsonl"),
    ("ledger", "export", "--format", "parquet", "OUT/tables"),
    ("ledger", "import", "THEIRS"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_what_a_view_of_an_attached_ledger_would_read(store, tmp_path, monkeypatch, capfd, command):
    """Attached while it was honest, and made strange afterwards."""
    attach(store, str(tmp_path / "theirs"))
    read = f"(SELECT content FROM read_text('{tmp_path}/secret.txt'))"
    for table, text in (("questions", "text"), ("demonstrations", "text"), ("runs", "base_model")):
        made_strange(
            tmp_path / "theirs" / "big-0" / SNAPSHOT,
            f"CREATE TABLE kept_{table} AS FROM {table}",
            f"DROP TABLE {table}",
            f"CREATE VIEW {table} AS SELECT * REPLACE ({read} AS {text}) FROM kept_{table}",
        )
    out = tmp_path / "out"
    out.mkdir()
    arguments = [part.replace("OUT", str(out)).replace("THEIRS", str(tmp_path / "theirs")) for part in command]
    code = relift(monkeypatch, *arguments, "--store", store)
    said = "".join(capfd.readouterr())
    assert SECRET not in said
    assert SECRET.encode() not in everything_below(out) + everything_below(store)
    if command != ("ledger", "check"):  # which looks at the project's own files
        assert code == 2
        assert "is a view in it" in said
    if command[:2] != ("ledger", "import") and code:
        assert "relift ledger detach theirs" in said


def test_a_view_beside_the_tables_runs_for_nobody(store, tmp_path):
    """A ledger may hold views, as relift's do; one that a user asks for by its full name reaches no file."""
    made_strange(
        tmp_path / "theirs" / "big-0" / SNAPSHOT, f"CREATE VIEW mine AS FROM read_text('{tmp_path}/secret.txt')"
    )
    attach(store, str(tmp_path / "theirs"))
    assert query(store, "SELECT count(*) FROM runs").rows == ((2,),)
    with pytest.raises(LedgerError, match=r"disabled by configuration|not exist"):
        query(store, 'FROM "at_theirs_0".mine')


def test_a_ledger_out_of_a_bucket_is_held_to_the_same(store, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs" / "big-0" / SNAPSHOT
    made_strange(theirs, *strange_things(tmp_path / "secret.txt")["view that reads a text"][1])
    with serving() as stub:
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        stub.put(f"runs/big-0/{SNAPSHOT}", theirs.read_bytes())
        with pytest.raises(LedgerError, match="questions is a view in it"):
            attach(store, f"s3://{BUCKET}/runs", "bucket")
        assert relift(monkeypatch, "sql", "FROM questions", "--store", f"s3://{BUCKET}/runs") == 2


def test_sql_reaches_no_file_whatever_it_is_given(store, tmp_path):
    secret = literal(tmp_path / "secret.txt")
    for sql in (
        f"FROM read_text({secret})",
        f"FROM read_csv({secret})",
        f"FROM {secret}",
        f"FROM glob('{tmp_path}/*')",
        f"FROM sniff_csv({secret})",
        f"FROM parquet_metadata({secret})",
        "FROM store",  # a variable of this very program
        f"WITH x AS (COPY (SELECT 1) TO '{tmp_path}/x.csv') SELECT 1",
        f"WITH x AS (COPY (SELECT 1) TO '{store}/demo-0/{SNAPSHOT}') SELECT 1",
    ):
        with pytest.raises(LedgerError) as refused:
            query(store, sql)
        assert SECRET not in str(refused.value)
    assert not (tmp_path / "x.csv").exists()
    assert query(store, "SELECT count(*) FROM questions").rows == ((len((TAUGHT, OPEN)) + 2,),)
