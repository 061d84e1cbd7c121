import json
import shutil
import sys

import pytest
from exchange_project import HELD_OUT, OPEN, TAUGHT, WORKED, worked, write_run

from flows.cli.main import main
from relift.errors import DataError, LedgerError
from relift.exchange import import_solutions, read_hard_set, write_folder, write_wanted
from relift.ledger import Ledger, query
from relift.policy.model import load_student
from relift.records import Question
from relift.teacher.dataset import DatasetTeacher
from relift.teacher.imported import ImportedTeacher
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.small_run import small_config


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """``theirs`` has a demonstration of a question that is open in ``mine``."""
    folder = tmp_path_factory.mktemp("projects")
    write_run(folder / "mine", "demo-0")
    write_run(folder / "theirs", "t", demonstrations=[worked()])
    return folder


@pytest.fixture
def mine(projects, tmp_path):
    shutil.copytree(projects, tmp_path, dirs_exist_ok=True)
    return tmp_path / "mine"


@pytest.fixture
def rows(tmp_path):
    """A writer of JSONL files."""

    def write(*lines):
        path = tmp_path / "solutions.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write


def take_in(mine, path, **more):
    return import_solutions(str(path), store=str(mine), folder=mine, **more)


def teacher_of(mine, run="demo-0", **more):
    config = small_config(mine)
    return ImportedTeacher(config, run, verifier=Verifier("equals"), student=load_student(config.policy), **more)


def filled(question, solution, **more):
    return {"question_id": question.id, "solution": solution, **more}


def test_what_people_wrote_reaches_the_run_through_its_own_admission(mine, tmp_path):
    wanted = tmp_path / "wanted.jsonl"
    write_wanted(read_hard_set(mine), wanted)
    lines = [json.loads(line) for line in wanted.read_text().splitlines()]
    next(line for line in lines if line["question_id"] == OPEN.id).update(solution="=10+32=42", author="Ada")
    wanted.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = take_in(mine, wanted)
    assert (report.candidates, report.left_empty, report.taken, report.rejected) == (2, 1, 1, ())
    (offered,) = teacher_of(mine).demonstrations([TAUGHT, OPEN])
    assert offered.is_admitted and (offered.question_id, offered.source) == (OPEN.id, "human/Ada")
    assert offered.text == "=10+32=42" and offered.tokens == 10 and offered.cost_usd == 0
    # Nobody is asked for it again: it is open for no harvest.
    assert [q.id for q in read_hard_set(mine).questions if not q.solutions] == [TAUGHT.id]


def test_an_exported_folder_and_a_ledger_warm_another_project_alike(mine, tmp_path):
    theirs = tmp_path / "theirs"
    write_folder(read_hard_set(theirs), tmp_path / "set")
    by_folder = take_in(mine, tmp_path / "set")
    (one,) = teacher_of(mine).demonstrations([TAUGHT])
    assert (one.text, one.source, one.is_admitted) == (WORKED, "imported/dataset", True)
    for path in (theirs, theirs / "t" / "hard_examples.duckdb", tmp_path / "set" / "data" / "demonstrations.parquet"):
        again = take_in(mine, path)
        assert again.was_there and again.name == by_folder.name
    assert len(list(mine.glob("import-*"))) == 1


def test_a_wrong_row_is_reported_and_nothing_is_imported(mine, rows):
    before = sorted(path.name for path in mine.iterdir())
    path = rows(
        filled(OPEN, "=10+32=42"),
        filled(OPEN, "=41"),
        {"question_id": "feedfeedfeedfeed", "solution": "=1"},
        filled(HELD_OUT, "=25"),
        filled(TAUGHT, "two hundred and eighty-two"),
        {"solution": "=7"},
        filled(OPEN, 41),
    )
    report = take_in(mine, path)
    assert report.taken == 0 and not report.name
    assert sorted(path.name for path in mine.iterdir()) == before
    reasons = {one.where: one.reason for one in report.rejected}
    assert reasons["solutions.jsonl row 2"] == "wrong: 41 is not 42 (run demo-0)"
    assert reasons["solutions.jsonl row 3"].startswith("unknown question: no ledger of demo-0")
    assert reasons["solutions.jsonl row 4"].startswith("held out: run demo-0")
    assert reasons["solutions.jsonl row 5"].startswith("format: the student's tokenizer cannot write")
    assert reasons["solutions.jsonl row 6"].startswith("it names no question")
    assert "row 7" in " ".join(reasons), "a bare number is judged, not taken for a row that nobody filled in"
    taken = take_in(mine, path, skip_rejected=True)
    assert taken.taken == 1 and len(taken.rejected) == 6


def test_the_question_itself_may_stand_for_its_id(mine, rows):
    assert take_in(mine, rows({"question": "  12+30?\n", "solution": "=42"})).taken == 1


def test_an_import_for_one_run_is_for_that_run_alone(mine, rows):
    write_run(mine, "demo-1")
    take_in(mine, rows(filled(OPEN, "=42")), runs=["*-1"])
    assert teacher_of(mine, "demo-0").demonstrations([OPEN]) == []
    assert len(teacher_of(mine, "demo-1").demonstrations([OPEN])) == 1
    with pytest.raises(LedgerError, match="There are: demo-0, demo-1"):
        take_in(mine, rows(filled(OPEN, "=42")), runs=["demo-2"])


def test_a_run_with_another_gold_refuses_what_another_one_takes(mine, rows):
    write_run(mine, "odd", hard=[Question(id=OPEN.id, text=OPEN.text, answer="43", source="s")])
    assert take_in(mine, rows(filled(OPEN, "=42")), runs=["demo-0"]).taken == 1
    (rejected,) = take_in(mine, rows(filled(OPEN, "=42"))).rejected
    assert rejected.reason == "wrong: 42 is not 43 (run odd)"


def test_a_run_of_another_version_of_relift_is_passed_over_and_refused_by_name(mine, rows, caplog):
    write_run(mine, "old")
    with Ledger.open(mine / "old" / "ledger.duckdb", "old") as ledger:
        ledger._write("UPDATE runs SET config_json = ?", ['{"questions": {"form": "boxed"}}'])
        ledger.publish(mine / "old" / "hard_examples.duckdb")
    with pytest.raises(LedgerError, match="run old is of another version"):
        take_in(mine, rows(filled(OPEN, "=42")), runs=["old"])
    assert take_in(mine, rows(filled(OPEN, "=42"))).taken == 1
    assert "run old is of another version" in caplog.text


def test_a_run_that_trains_finds_what_is_imported_meanwhile(mine, rows):
    patient, eager = teacher_of(mine), teacher_of(mine, look_seconds=0.0)
    take_in(mine, rows(filled(OPEN, "=42")))
    assert patient.demonstrations([OPEN]) == []
    assert len(eager.demonstrations([OPEN])) == 1


def test_the_desk_prefers_an_import_and_goes_on_to_the_dataset_without_one(mine, rows):
    take_in(mine, rows(filled(OPEN, "=10+32=42")))
    config, student = small_config(mine), load_student(small_config(mine).policy)
    verifier = Verifier("equals")
    dataset = DatasetTeacher(config.questions, verifier=verifier, student=student, max_tokens=64)
    queue = TeacherQueue([teacher_of(mine), dataset])
    queue.ask([OPEN, TAUGHT])
    found, owed = queue.pick_up()
    queue.close()
    assert [(d.question_id, d.source, d.is_admitted) for d in found] == [
        (OPEN.id, "human/solutions", True),
        (TAUGHT.id, "dataset", False),
    ]
    assert owed == []


def test_what_was_half_imported_when_the_process_died_is_no_import(mine, rows, monkeypatch):
    def die(self, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Ledger, "publish", die)
        take_in(mine, rows(filled(OPEN, "=42")))
    assert teacher_of(mine).demonstrations([OPEN]) == [] and not list(mine.glob("import-*"))
    assert take_in(mine, rows(filled(OPEN, "=42"))).taken == 1
    assert not list(mine.glob(".import-*"))
    assert query(mine, "SELECT count(*) FROM demonstrations WHERE run LIKE 'import-%'").rows == ((1,),)


def test_a_file_that_holds_no_solutions_is_said(mine, rows, tmp_path):
    with pytest.raises(DataError, match="no column 'solution'"):
        take_in(mine, rows({"question_id": OPEN.id}))
    with pytest.raises(LedgerError, match="does not exist"):
        take_in(mine, tmp_path / "gone.jsonl")
    (tmp_path / "half.jsonl").write_text('{"question_id": "x", "solut')
    with pytest.raises(DataError, match="line 1 is not JSON"):
        take_in(mine, tmp_path / "half.jsonl")


def test_import_and_export_on_the_command_line(mine, rows, tmp_path, monkeypatch, capsys):
    def relift(*arguments):
        monkeypatch.setattr(sys, "argv", ["relift", "ledger", *arguments, "--store", str(mine)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    code, said = relift("import", rows(filled(OPEN, "=41"), filled(TAUGHT, "=282")))
    assert code == 2 and "solutions.jsonl row 1" in said and "Nothing was imported: 1 of 2 solutions" in said
    assert (
        "1 verified solution for demo-0, as import-"
        in relift("import", rows(filled(TAUGHT, WORKED)), "--run", "demo-0")[1]
    )
    code, said = relift("export", str(tmp_path / "set"))
    assert code == 0 and "2 hard questions, 1 of them with 1 verified solutions; 0 left out" in said
    said = relift("export", str(tmp_path / "w.jsonl"), "--format", "jsonl")[1]
    assert "1 question to solve" in said and f"import {tmp_path / 'w.jsonl'} --store {mine}" in said
    code, said = relift("export", str(tmp_path / "w.jsonl"), "--state", "opne")
    assert code == 2 and "no state 'opne'" in said
