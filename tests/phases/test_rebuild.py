"""A ledger made again from recorded phases against the one that the run wrote: two routes to one digest."""

import shutil
import sys

import duckdb
import pytest
import torch

from flows.cli.main import main
from relift.errors import LedgerError, RunError
from relift.ledger import Ledger, schema
from relift.ledger.check import check
from relift.opening.run import open_run
from relift.phases.evaluate import evaluate
from relift.rebuild.rebuild import rebuild
from relift.run.lock import RunLock
from tests.ledger.flipped_bits import digest_after_more_writing, flipped, is_found, one_position_a_block
from tests.phases.conftest import drive
from tests.small_run import small_config

pytestmark = pytest.mark.slow

SETTINGS = (
    "checkpoint.every=4",
    "checkpoint.keep=1",
    "evaluation.confirm=true",
    "evaluation.samples=2",
    "evaluation.temperature=1.0",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six iterations with an evaluation, of which the last two iterations are still recorded; closed."""
    torch.set_num_threads(1)
    store = tmp_path_factory.mktemp("finished") / "runs"
    with open_run(small_config(store, *SETTINGS), "small") as run:
        evaluate(run, 0, run.base, True)
        drive(run, 6)
        run.publish()
    return store


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it to spoil."""
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs" / "small"


def read(folder, name=schema.LEDGER):
    with Ledger.open(folder / name, folder.name) as ledger:
        return ledger.counts(), ledger.digest()


def test_a_ledger_that_holds_all_that_is_recorded_is_left_as_it_is(folder):
    before = (folder / schema.LEDGER).read_bytes()
    found = rebuild(folder)
    assert not found.is_changed and found.kept_from == schema.LEDGER and found.notes == ()
    assert found.before == found.after
    assert found.batches >= 3 + 6 + 2 * 3  # the evaluation's, the iterations, and three phases at least of the last two
    assert (folder / schema.LEDGER).read_bytes() == before
    assert not (folder / ".rebuild").exists()


@pytest.mark.parametrize("fault", ["damaged", "behind"])
def test_a_snapshot_that_is_damaged_or_behind_is_written_again_from_a_whole_ledger(folder, fault):
    before, snapshot = read(folder), folder / schema.SNAPSHOT
    if fault == "damaged":
        snapshot.write_bytes(snapshot.read_bytes()[:9000])
    else:
        with Ledger.open(snapshot, folder.name) as behind:
            behind._connection.execute("DELETE FROM ingested WHERE key LIKE '%/00005/report_iteration'")
    found = rebuild(folder)
    assert not found.is_changed
    assert [schema.SNAPSHOT in note for note in found.notes] == [True] * (fault == "damaged")
    assert read(folder, schema.SNAPSHOT) == read(folder) == before


def test_a_run_of_an_earlier_relift_is_read_though_its_phases_have_other_names(folder):
    def all_keys():
        with Ledger.open(folder / schema.LEDGER, folder.name) as ledger:
            return sorted(key for (key,) in ledger.execute("SELECT key FROM ingested"))

    for gated in list((folder / "iterations").glob("*/gate")):
        gated.rename(gated.with_name("record"))
    with Ledger.open(folder / schema.LEDGER, folder.name) as ledger:
        for today, before in (("gate", "record"), ("report_iteration", "close")):
            ledger._connection.execute(f"UPDATE ingested SET key = replace(key, '/{today}', '/{before}')")
    assert all(folder.glob("iterations/*/record")) and not rebuild(folder).is_changed
    keys = all_keys()
    (folder / schema.LEDGER).unlink()
    (folder / schema.SNAPSHOT).unlink()
    rebuild(folder)
    assert {key for key in all_keys() if "/record" in key or "/close" in key} <= set(keys)
    with Ledger.open(folder / schema.LEDGER, folder.name) as ledger:
        assert ledger.execute("SELECT count(*) FROM groups WHERE purpose = 'train' AND is_hardest")[0][0] > 0


def test_a_ledger_of_a_later_relift_is_refused_and_kept(folder):
    with Ledger.open(folder / schema.LEDGER, folder.name) as ledger:
        ledger._connection.execute("UPDATE relift_ledger SET schema_version = 99")
    before = (folder / schema.LEDGER).read_bytes()
    with pytest.raises(LedgerError, match=r"small/ledger.duckdb has ledger schema 99.*a later one"):
        rebuild(folder)
    assert (folder / schema.LEDGER).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_without_a_ledger_the_snapshot_and_the_recordings_give_it_back(folder, damage):
    counts, digest = read(folder)
    path = folder / schema.LEDGER
    with Ledger.open(
        folder / schema.SNAPSHOT, folder.name
    ) as stale:  # as if it had been published an iteration earlier
        for table in ("attempts", "groups", "updates", "uses", "iterations", "leavings"):
            stale._connection.execute(f"DELETE FROM {table} WHERE iteration = 5 AND '{table}' <> 'leavings'")
        stale._connection.execute(
            "DELETE FROM ingested WHERE key LIKE '%/00005/%' AND key NOT SIMILAR TO '.*(leavings|entries)'"
        )
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:9000])
    else:
        path.unlink()
    found = rebuild(folder)
    assert found.is_changed and found.kept_from == schema.SNAPSHOT
    assert len(found.notes) == 1 and schema.LEDGER in found.notes[0]
    assert found.replaced == ("ledger.duckdb.before-rebuild" if damage == "cut" else None)
    assert (folder / "ledger.duckdb.before-rebuild").exists() == (damage == "cut")
    assert read(folder) == (counts, digest)
    assert read(folder, schema.SNAPSHOT) == (counts, digest)


def test_damage_that_only_writing_meets_is_said_with_the_command_that_then_mends_it(folder, monkeypatch, capsys):
    """A bit of an index: every row can be read, and the run that goes on would fail at its first batch for ever."""
    before, path = read(folder), folder / schema.LEDGER
    content = path.read_bytes()
    for position in one_position_a_block(content):
        path.write_bytes(flipped(content, position))
        try:
            read(folder)
        except LedgerError:
            continue
        if is_found(path):
            break
    with pytest.raises(LedgerError, match=rf"damaged.*relift ledger rebuild {folder}`"):
        digest_after_more_writing(path, folder.name)
    path.write_bytes(flipped(content, position))
    monkeypatch.setattr(sys, "argv", ["relift", "ledger", "rebuild", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "ledger.duckdb cannot be used" in " ".join(capsys.readouterr().out.split())
    assert read(folder) == before
    assert not is_found(path)
    assert digest_after_more_writing(path, folder.name) == before[1]


def test_from_the_recordings_alone_what_is_lost_is_said(folder, capsys, monkeypatch):
    counts, _ = read(folder)
    for name in (schema.LEDGER, schema.SNAPSHOT):
        (folder / name).unlink()
    monkeypatch.setattr(sys, "argv", ["relift", "ledger", "rebuild", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "The rollouts of 4 iterations (0 to 3) are lost" in said
    assert "there was no ledger to keep anything of" in said
    found, _ = read(folder)
    for table in ("runs", "questions", "evaluations", "iterations"):
        assert found[table] == counts[table]
    with Ledger.open(folder / schema.LEDGER, folder.name) as ledger:
        assert ledger.execute("SELECT DISTINCT iteration FROM groups WHERE purpose = 'train' ORDER BY 1") == [
            (4,),
            (5,),
        ]
        assert ledger.execute("SELECT count(DISTINCT purpose) FROM groups WHERE iteration = 0") == [(2,)]
    wrong = {one.name for one in check(folder / schema.LEDGER) if one.wrong}
    assert all("iterations report" in name or "admitted" in name for name in wrong)


def test_a_row_that_was_changed_is_put_right(folder):
    counts, digest = read(folder)
    with duckdb.connect(folder / schema.LEDGER) as connection:
        connection.execute("DELETE FROM attempts WHERE iteration = 5 AND sample = 0")
    assert any(one.wrong for one in check(folder / schema.LEDGER))
    assert rebuild(folder).is_changed
    assert read(folder) == (counts, digest)
    assert not any(one.wrong for one in check(folder / schema.LEDGER))


def test_a_run_that_is_being_written_and_a_folder_that_is_none_are_refused(folder, tmp_path):
    with pytest.raises(RunError, match="holds no recorded phases"):
        rebuild(tmp_path)
    before = (folder / schema.LEDGER).read_bytes()
    lock = RunLock(folder / "lock")
    lock.acquire()
    with pytest.raises(RunError, match="is being written by another process"):
        rebuild(folder)
    lock.release()
    assert (folder / schema.LEDGER).read_bytes() == before
