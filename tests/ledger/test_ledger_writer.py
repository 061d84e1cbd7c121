import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from ledger_histories import demonstration, evaluation, group, iteration, question, update, version

from relift.errors import LedgerError
from relift.ledger import EntryRecord, GoldStatus, LeavingRecord, Ledger, RunStatus, Use, schema
from relift.ledger.sql import TABLES, tables_sql
from relift.records import Purpose, RewardStatus, RolloutGroup, Status, UpdateKind

RECORDS_FOLDER = Path(__file__).parent


def ledger_at(folder: Path, run: str = "a") -> Ledger:
    return Ledger.open(folder / run / "ledger.duckdb", run)


def with_own_rewards(found: RolloutGroup) -> RolloutGroup:
    """Its first rollout with a reward of two parts, its third with one that failed."""
    first, second, third, *others = found.rollouts
    assert first.reward == 0
    parts = (("right", 0.5), ("long", -0.5))
    first = replace(first, reward_parts=parts, reward_status=RewardStatus.GIVEN)
    third = replace(third, reward=None, reward_status=RewardStatus.TIMEOUT, reward_reason="no reward within 8 s")
    return replace(found, rollouts=(first, second, third, *others))


def write_everything(
    ledger: Ledger, *, seconds: float = 0.0, config: str = "{}", parts: range = range(10)
) -> list[bool]:
    hard, easy = question("47*6?"), question("1+1?", "2")
    first = demonstration(hard)
    use = Use(demonstration_id=first.id, question_id=hard.id, nll_before=2.0, nll_after=1.0)
    entered = EntryRecord(question_id=hard.id, demonstration_id=first.id)
    left = LeavingRecord(question_id=hard.id, demonstration_id=first.id, reason="expired")
    groups = [with_own_rewards(group(hard, "----", seconds=seconds)), group(easy, "-+-+", seconds=seconds)]
    steps = [
        lambda: ledger.record_run("a/run", config, "arithmetic", "0.1"),
        lambda: ledger.record_questions("a/questions", [hard, easy], "train"),
        lambda: ledger.record_attempts("a/0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[hard.id]),
        lambda: ledger.record_demonstrations("a/0/source", 0, [first]),
        lambda: ledger.record_update("a/0/rl_update", 0, update(UpdateKind.RL, seconds=seconds), version(1)),
        lambda: ledger.record_update("a/0/sft_update", 0, update(seconds=seconds), version(2), [use]),
        lambda: ledger.record_evaluations("a/0/evaluate", 0, [evaluation(0.5)]),
        lambda: ledger.record_iteration("a/0/iteration", iteration(0, seconds=seconds, updates=[update()])),
        lambda: ledger.record_entries("a/0/entered", 0, [entered]),
        lambda: ledger.record_leavings("a/0/left", 0, [left]),
    ]
    return [steps[part]() for part in parts]


def test_every_method_writes_its_rows_once(tmp_path):
    expected = dict.fromkeys(TABLES, 1) | {
        "questions": 2,
        "groups": 2,
        "attempts": 8,
        "reward_parts": 2,
        "teacher_requests": 0,
        "updates": 2,
        "ingested": 10,
    }
    with ledger_at(tmp_path) as ledger:
        assert write_everything(ledger) == [True] * 10
        before = ledger.digest()
        assert write_everything(ledger) == [False] * 10
        assert ledger.counts() == expected
    with ledger_at(tmp_path) as ledger:
        assert write_everything(ledger) == [False] * 10
        assert (ledger.counts(), ledger.digest()) == (expected, before)


def test_what_was_written_is_what_is_read(tmp_path):
    hard, easy = question("47*6?"), question("1+1?", "2")
    with ledger_at(tmp_path) as ledger:
        write_everything(ledger)
        assert ledger.execute("SELECT question_id, text, answer, split, gold_status FROM questions ORDER BY text") == [
            (easy.id, "1+1?", "2", "train", "ok"),
            (hard.id, "47*6?", "282", "train", "ok"),
        ]
        assert ledger.execute(
            "SELECT question_id, sample, status, reward, answer, tokens, finish_reason, policy_version, purpose "
            "FROM attempts WHERE sample = 1 ORDER BY status"
        ) == [
            (easy.id, 1, "correct", 1.0, "282", 3, "stop", 0, "train"),
            (hard.id, 1, "wrong", 0.0, None, 3, "stop", 0, "train"),
        ]
        assert ledger.execute("SELECT is_hardest, is_control FROM groups WHERE question_id = ?", [hard.id]) == [
            (True, False)
        ]
        assert ledger.execute("SELECT version, parent_version, kind, nll_before FROM updates ORDER BY version") == [
            (1, 0, "rl", 2.0),
            (2, 1, "sft", 2.0),
        ]
        assert ledger.execute("SELECT version, nll_before, nll_after FROM uses") == [(2, 2.0, 1.0)]
        assert ledger.execute("SELECT benchmark, avg_at_k, bands['hard'] FROM evaluations") == [("mul2", 0.5, 3)]
        assert ledger.execute("SELECT statuses['wrong'], seconds['rollout'], buffer FROM iterations") == [(3, 0.0, 2)]


def test_text_is_kept_only_where_no_rollout_was_correct(tmp_path):
    with ledger_at(tmp_path) as ledger:
        groups = [group(question("a"), "-t"), group(question("b"), "-+")]
        ledger.record_attempts("a/0/record", 0, groups, purpose=Purpose.TRAIN)
        assert ledger.execute("SELECT text FROM attempts ORDER BY text") == [("-0",), ("t1",), (None,), (None,)]


def test_texts_that_no_utf8_holds_are_stored_readably(tmp_path):
    with ledger_at(tmp_path) as ledger:
        ledger.record_questions("q", [question("a\ud800b\0c 'x' \N{SNOWMAN}")], "train")
        assert ledger.execute("SELECT text FROM questions") == [("a?b\0c 'x' \N{SNOWMAN}",)]


def test_quarantined_questions_are_kept_apart(tmp_path):
    with ledger_at(tmp_path) as ledger:
        ledger.record_questions("good", [question("a")], "train")
        ledger.record_questions("bad", [question("b")], "train", GoldStatus.QUARANTINED)
        assert ledger.execute("SELECT text FROM questions WHERE gold_status = 'quarantined'") == [("b",)]


def test_a_demonstration_offered_again_is_one_row(tmp_path):
    with ledger_at(tmp_path) as ledger:
        assert ledger.record_demonstrations("a/0/source", 0, [demonstration(question())])
        assert ledger.record_demonstrations("a/5/source", 5, [demonstration(question())])
        assert ledger.execute("SELECT iteration FROM demonstrations") == [(0,)]


def test_a_batch_that_fails_leaves_nothing_and_may_come_again(tmp_path):
    good, bad = demonstration(question("a")), demonstration(question("b"))
    object.__setattr__(bad, "tokens", "many")  # as nothing in relift would
    with ledger_at(tmp_path) as ledger:
        with pytest.raises(Exception, match="many"):
            ledger.record_demonstrations("k", 0, [good, bad])
        use = Use(demonstration_id="d", question_id="q")
        object.__setattr__(use, "nll_before", "low")
        with pytest.raises(Exception, match="low"):  # after the row of the update was inserted
            ledger.record_update("u", 0, update(), version(1), [use])
        assert set(ledger.counts().values()) == {0}
        assert ledger.record_demonstrations("k", 0, [good])
        assert ledger.record_update("u", 0, update(), version(1))


def test_the_status_of_a_run_is_one_of_four(tmp_path):
    with ledger_at(tmp_path) as ledger:
        ledger.record_run("a/run", "{}", "arithmetic", "0.1", parent_run="b", parent_iteration=7)
        assert ledger.execute("SELECT status, parent_run, parent_iteration FROM runs") == [("running", "b", 7)]
        ledger.set_status("finished")
        assert ledger.execute("SELECT status FROM runs") == [(RunStatus.FINISHED,)]
        with pytest.raises(ValueError, match="done"):
            ledger.set_status("done")


def test_the_digest_knows_contents_and_neither_order_nor_wall_clock(tmp_path):
    digests = {}
    for name, seconds, config, parts in (
        ("plain", 0.0, "{}", range(10)),
        ("slower, elsewhere, other order", 9.0, '{"store": "elsewhere"}', range(9, -1, -1)),
        ("a row less", 0.0, "{}", range(9)),
    ):
        with Ledger.open(tmp_path / name / "ledger.duckdb", "a") as ledger:
            write_everything(ledger, seconds=seconds, config=config, parts=parts)
            digests[name] = ledger.digest()
    assert digests["plain"] == digests["slower, elsewhere, other order"] != digests["a row less"]
    with Ledger.open(tmp_path / "plain" / "ledger.duckdb", "a") as ledger:
        ledger._connection.execute("UPDATE uses SET nll_after = 0.9999999999999999")
        assert ledger.digest() != digests["plain"]


def test_threads_take_turns_on_one_ledger(tmp_path):
    with ledger_at(tmp_path) as ledger:

        def write(thread: int) -> None:
            for number in range(5):
                groups = [group(question(f"{thread} {number}"), "--")]
                ledger.record_attempts(f"{thread}/{number}", number, groups, purpose=Purpose.TRAIN)

        threads = [threading.Thread(target=write, args=[thread]) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = ledger.counts()
    assert (counts["attempts"], counts["groups"], counts["ingested"]) == (40, 20, 20)


def test_the_tables_listed_are_the_tables_of_the_schema(tmp_path):
    with ledger_at(tmp_path) as ledger:
        tables = ledger.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'ledger'")
        assert {name for (name,) in tables} == {*TABLES, "relift_ledger"}
        assert ledger.execute("SELECT schema_version FROM relift_ledger") == [(schema.SCHEMA_VERSION,)]
        assert f"relift_ledger VALUES ({schema.SCHEMA_VERSION})" in tables_sql()


def test_the_statuses_query_and_the_comments_name_every_status():
    for sql in (tables_sql(), (Path(schema.__file__).parent / "queries" / "statuses.sql").read_text()):
        assert all(status in sql for status in Status)


def test_files_are_readable_by_older_clients(tmp_path):
    with ledger_at(tmp_path) as ledger:
        write_everything(ledger)
        ledger.publish(tmp_path / "a" / "hard_examples.duckdb")
    for name in ("ledger.duckdb", "hard_examples.duckdb"):
        with duckdb.connect(tmp_path / "a" / name, read_only=True) as reader:
            (tags,) = reader.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchone()
        assert tags["storage_version"].startswith("v1.5.0")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"ledger.duckdb", "hard_examples.duckdb"}


def test_a_snapshot_is_read_while_the_writer_lives_and_replaced_under_a_reader(tmp_path):
    snapshot = tmp_path / "a" / "hard_examples.duckdb"
    with ledger_at(tmp_path) as ledger:
        write_everything(ledger, parts=range(3))
        ledger.publish(snapshot)
        old = duckdb.connect(snapshot, read_only=True)
        assert old.execute("SELECT state FROM hard_examples").fetchall() == [("open",)]
        write_everything(ledger)
        ledger.publish(snapshot)
        assert ledger.record_demonstrations("a/1/source", 1, [demonstration(question(), text="later")])
        assert old.execute("SELECT state FROM hard_examples").fetchall() == [("open",)]
        code = "import sys, duckdb; print(*duckdb.connect(sys.argv[1], read_only=True).execute('FROM uses').fetchone())"
        shell = subprocess.run([sys.executable, "-c", code, snapshot], capture_output=True, text=True, check=True)
        assert shell.stdout.endswith(" 2.0 1.0 None\n")
        old.close()


FULL = """
import resource, sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ledger_histories import group, question
from relift.errors import LedgerError
from relift.ledger import Ledger
from relift.records import Purpose
with Ledger.open(Path(sys.argv[2]), "a") as ledger:
    ledger.record_attempts("first", 0, [group(question(), "--")], purpose=Purpose.TRAIN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        for batch in range(1000):
            groups = [group(question(f"{batch} {number}"), "-" * 8) for number in range(64)]
            ledger.record_attempts(f"a/{batch}/record", batch, groups, purpose=Purpose.TRAIN)
    except LedgerError as error:
        print(error)
"""


def test_a_disk_without_room_is_a_clear_error_and_keeps_what_was_recorded(tmp_path):
    path = tmp_path / "a" / "ledger.duckdb"
    command = [sys.executable, "-c", FULL, RECORDS_FOLDER, path]
    writer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "could not be written" in writer.stdout and "has space" in writer.stdout
    with Ledger.open(path, "a") as ledger:
        assert ledger.execute("SELECT count(*) FROM ingested WHERE key = 'first'") == [(1,)]
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.publish(tmp_path / "missing" / "hard_examples.duckdb")
        assert ledger.record_demonstrations("still usable", 0, [demonstration(question())])


def test_a_second_process_is_told_who_holds_the_ledger(tmp_path):
    with ledger_at(tmp_path) as ledger:
        code = (
            f"from relift.ledger import Ledger; from pathlib import Path; Ledger.open(Path({str(ledger.path)!r}), 'a')"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"is held by process {os.getpid()}," in second.stderr
        with pytest.raises(LedgerError, match="already open in this process"):
            ledger_at(tmp_path)


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path):
    junk = tmp_path / "junk.duckdb"
    junk.write_bytes(b"not a database" * 1000)
    other = tmp_path / "other.duckdb"
    with duckdb.connect(other) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS x")
    newer = tmp_path / "newer" / "ledger.duckdb"
    with Ledger.open(newer, "a") as ledger:
        ledger._connection.execute("UPDATE relift_ledger SET schema_version = 99")
    for path, why in ((junk, "no DuckDB database"), (other, "no relift ledger"), (newer, "schema 99")):
        before = path.read_bytes()
        with pytest.raises(LedgerError, match=why):
            Ledger.open(path, "a")
        assert path.read_bytes() == before


def test_a_ledger_half_made_by_a_process_that_died_is_made_anew(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ledger.duckdb.partial").write_bytes(b"")
    with ledger_at(tmp_path) as ledger:
        assert set(ledger.counts().values()) == {0}
