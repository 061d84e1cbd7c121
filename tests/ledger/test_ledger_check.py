import os
import random
import subprocess
import sys

import duckdb
import pytest

from flows.cli.main import main
from relift.errors import LedgerError
from relift.exchange import read_hard_set
from relift.exchange.tables import export_tables
from relift.ledger import Ledger, named_query, query, question_history, schema
from relift.ledger.browsing import read_entries
from relift.ledger.check import CHECKS, check
from relift.ledger.project import open_file
from relift.ledger.results import Form, write_answer
from relift.ledger.sql import TABLES
from tests.bench.ledger_history import History
from tests.ledger.flipped_bits import digest_after_more_writing, flipped, is_found, one_position_a_block


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Bytes of a ledger with every table filled."""
    path = tmp_path_factory.mktemp("sound") / schema.LEDGER
    history = History(attempts=2000)
    with Ledger.open(path, history.run) as ledger:
        history.write(ledger)
        one = ledger.execute("SELECT question_id, demonstration_id FROM demonstrations WHERE refusal IS NULL")[0]
        ledger._connection.execute("INSERT INTO leavings VALUES ('bench-0', 1, ?, ?, 'expired')", one)
        ledger._connection.execute("INSERT INTO entries VALUES ('bench-0', 1, ?, ?)", one)
        key = "run, iteration, question_id, sample, purpose"
        for sql in (
            f"reward_parts SELECT {key}, 'all', reward FROM attempts WHERE reward > 0 ORDER BY ALL LIMIT 1",
            f"reward_failures SELECT {key}, 'error', '' FROM attempts WHERE reward IS NULL ORDER BY ALL LIMIT 1",
        ):
            ledger._connection.execute(f"INSERT INTO {sql}")
        assert all(ledger.counts().values())
    return path.read_bytes()


def wrong_after(folder, sound: bytes, sql: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """What ``check`` finds after a change that nothing in relift makes, by the name of the check."""
    path = folder / "bench-0" / schema.LEDGER
    path.parent.mkdir()
    path.write_bytes(sound)
    with duckdb.connect(path) as connection:
        connection.execute(sql)
    return {one.name: (one.wrong, one.examples) for one in check(path) if one.wrong}


def test_a_sound_ledger_passes_every_check_and_each_looks_at_something(tmp_path, sound):
    path = tmp_path / schema.LEDGER
    path.write_bytes(sound)
    found = check(path)
    assert len(found) == len(CHECKS) + 2
    assert not [one for one in found if one.wrong or not one.count]
    assert path.read_bytes() == sound


GROUPS, ROLLOUTS, STATUSES = "groups are the sums", "report the rollouts", "report the statuses"
IN_ITERATION_1 = "iteration = 1 AND purpose = 'train'"
ONE_GROUP = f"{IN_ITERATION_1} AND question_id = (SELECT min(question_id) FROM groups WHERE {IN_ITERATION_1})"
OF_A_USE = "(SELECT question_id FROM uses ANTI JOIN teacher_requests USING (question_id) LIMIT 1)"


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (f"UPDATE attempts SET status = 'error' WHERE status = 'correct' AND {IN_ITERATION_1}", [GROUPS, STATUSES]),
        (f"UPDATE groups SET tokens = tokens + 1 WHERE {ONE_GROUP}", [GROUPS, ROLLOUTS]),
        (f"DELETE FROM attempts WHERE {ONE_GROUP} AND sample = 0", [GROUPS, STATUSES]),
        (f"DELETE FROM groups WHERE {ONE_GROUP}", [GROUPS, ROLLOUTS]),
        ("UPDATE iterations SET taught = taught + 1 WHERE iteration = 1", ["demonstrations that they taught"]),
        ("DELETE FROM updates WHERE kind = 'sft' AND iteration = 1", ["every use belongs to an update"]),
        (f"UPDATE demonstrations SET refusal = 'no' WHERE question_id = {OF_A_USE}", ["every use is of an admitted"]),
        (
            f"DELETE FROM questions WHERE question_id = {OF_A_USE}",
            ["row of groups has its", "row of demonstrations has its"],
        ),
        ("UPDATE reward_parts SET value = value + 0.1", ["parts of a reward add up"]),
        ("UPDATE reward_parts SET sample = 99", ["parts of a reward add up"]),
        ("UPDATE reward_failures SET sample = 99", ["every failed reward is of an attempt"]),
        ("UPDATE leavings SET demonstration_id = 'none'", ["row of leavings has its"]),
        ("UPDATE teacher_requests SET question_id = 'none'", ["row of teacher_requests has its"]),
        ("INSERT INTO evaluations FROM evaluations LIMIT 1", ["row of evaluations is there twice"]),
        ("INSERT INTO iterations FROM iterations LIMIT 1", ["row of iterations is there twice"]),
        (
            f"INSERT INTO attempts FROM attempts WHERE {IN_ITERATION_1}",
            [GROUPS, STATUSES, "row of attempts is there twice"],
        ),
    ],
)
def test_what_disagrees_is_found_and_named(tmp_path, sound, sql, names):
    found = wrong_after(tmp_path, sound, sql)
    assert len(found) == len(names), found
    for name in names:
        ((wrong, examples),) = [said for known, said in found.items() if name in known]
        assert wrong >= 1 and 1 <= len(examples) <= 3
        assert all(examples)


def test_the_command_prints_each_check_and_fails_with_what_to_do(tmp_path, sound, capsys, monkeypatch):
    folder = tmp_path / "bench-0"
    folder.mkdir()
    (folder / schema.LEDGER).write_bytes(sound)
    (folder / schema.SNAPSHOT).write_bytes(sound)
    monkeypatch.setattr(sys, "argv", ["relift", "ledger", "check", "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "groups are the sums of their attempts" in capsys.readouterr().out
    with duckdb.connect(folder / schema.LEDGER) as connection:
        connection.execute("UPDATE iterations SET taught = 7 WHERE iteration = 1")
    monkeypatch.setattr(sys, "argv", ["relift", "ledger", "check", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "bench-0 iteration 1 reports 7 taught and has" in said.out
    assert f"{folder / schema.LEDGER}: something is wrong" in said.err and "relift ledger rebuild" in said.err


HOLDER = """
import sys, time; from pathlib import Path; from relift.ledger import Ledger
with Ledger.open(Path(sys.argv[1]), "bench-0"): print("open", flush=True); sys.stdin.read()
"""


def test_a_ledger_that_is_being_written_is_said_to_be_and_its_snapshot_checked(tmp_path, sound, capsys, monkeypatch):
    folder = tmp_path / "bench-0"
    folder.mkdir()
    for name in (schema.LEDGER, schema.SNAPSHOT):
        (folder / name).write_bytes(sound)
    command = [sys.executable, "-c", HOLDER, str(folder / schema.LEDGER)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout.readline() == "open\n"
        monkeypatch.setattr(sys, "argv", ["relift", "ledger", "check", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        holder.communicate("")
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"is held by process {holder.pid}," in said
    assert said.count("groups are the sums of their attempts") == 1


def test_a_damaged_file_is_said_to_be_damaged_and_how_it_is_made_again(tmp_path, sound):
    """Cut short anywhere, or one bit of it turned: found by reading or by chance in space that holds nothing."""
    rng = random.Random(0)
    path = tmp_path / "bench-0" / schema.SNAPSHOT
    path.parent.mkdir()
    found = 0
    for trial in range(16):
        content = bytearray(sound)
        if trial % 2:
            del content[rng.randrange(len(content) // 20, len(content)) :]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            check(path)
        except LedgerError as problem:
            found += 1
            assert "damaged" in str(problem) and "relift ledger rebuild" in str(problem)
        assert path.read_bytes() == content
    assert found >= 9
    assert [child.name for child in path.parent.iterdir()] == [path.name]  # no copy of it is left


def test_damage_that_only_writing_meets_is_found_and_said_by_whatever_writes(tmp_path, sound):
    """An index is read by nobody but a writer: a file can be read whole, and be of no use to its run."""
    path = tmp_path / "bench-0" / schema.LEDGER
    path.parent.mkdir()
    hidden = 0
    for position in one_position_a_block(sound):
        path.write_bytes(flipped(sound, position))
        if not can_be_read_whole(path):
            continue
        hidden += 1
        assert is_found(path)
        with pytest.raises(LedgerError, match=rf"damaged.*relift ledger rebuild {path.parent}`"):
            digest_after_more_writing(path, path.parent.name)
        if hidden == 2:
            return
    pytest.fail("no block of this ledger holds an index")


def can_be_read_whole(path):
    try:
        with open_file(path) as connection:
            for table in TABLES:
                connection.execute(f"SELECT bit_xor(hash(t)) FROM {table} t").fetchall()
    except LedgerError:
        return False
    return True


def test_a_query_on_a_damaged_snapshot_says_how_to_go_on(tmp_path, sound):
    path = tmp_path / "bench-0" / schema.SNAPSHOT
    path.parent.mkdir()
    path.write_bytes(sound[: len(sound) - 4096])
    with pytest.raises(LedgerError, match=r"damaged.*relift ledger rebuild"):
        query(tmp_path, "SELECT " + ", ".join(f"(SELECT bit_xor(hash(t)) FROM {t} t)" for t in TABLES))
    path.write_bytes(sound[:9000])
    with pytest.raises(LedgerError, match=r"damaged.*relift ledger rebuild"):
        query(tmp_path, "SELECT 1")


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: write_answer(store, named_query("difficulty"), Form.CSV, store / "difficulty.csv"),
        lambda store: question_history(store, "no such question"),
        lambda store: read_hard_set(store, runs=[], states=[]),
        read_entries,
        lambda store: export_tables(store, store / "exported", []),
    ],
    ids=["hard", "show", "export", "browse", "parquet"],
)
def test_whatever_reads_a_damaged_snapshot_says_so(tmp_path, sound, ask):
    path = tmp_path / "bench-0" / schema.SNAPSHOT
    path.parent.mkdir()
    half = len(sound) // 2  # what says that it is a ledger stays readable, most of its rows do not
    path.write_bytes(sound[:12288] + bytes(half - 12288) + sound[half:])
    with pytest.raises(LedgerError, match=r"damaged.*relift ledger rebuild"):
        ask(tmp_path)
