import dataclasses
import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from flows.cli import ask
from flows.terminal.tables import cell, fit, print_table
from relift.errors import LedgerError, ModelError, RunError
from relift.ledger import LeavingRecord, Ledger, Table, Use
from relift.records import Purpose, UpdateKind
from relift.run.summary import FamilyScore, RunSummary
from tests.ledger.ledger_histories import demonstration, group, question, update, version

EVIL = "[red]Tom[/red] has \x1b[31m47 boxes\nof 6."
HARD, CONTROL, EASY = question(EVIL), question("58*3?", "174"), question("1+1?", "2")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Run demo-0 taught a hard question, which its later rollouts solve, and kept another from teaching."""
    folder = tmp_path_factory.mktemp("runs")
    with Ledger.open(folder / "demo-0" / "ledger.duckdb", "demo-0") as ledger:
        ledger.record_run("run", "{}", "arithmetic", "0.1")
        ledger.record_questions("questions", [HARD, CONTROL, EASY], "train")
        groups = [group(HARD, "-t--"), group(CONTROL, "----"), group(EASY, "++++")]
        ledger.record_attempts(
            "0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[HARD.id, CONTROL.id], control=[CONTROL.id]
        )
        offered = [
            demonstration(HARD, text="[b]=282"),
            demonstration(HARD, text="=281", refusal="wrong: 281 is not 282"),
        ]
        ledger.record_demonstrations("0/source", 0, offered)
        use = Use(demonstration_id=offered[0].id, question_id=HARD.id, nll_before=2.0, nll_after=0.5)
        ledger.record_update("0/sft", 0, update(), version(1), [use])
        left = [LeavingRecord(question_id=HARD.id, demonstration_id=offered[0].id, reason="retired")]
        ledger.record_leavings("0/leavings", 0, left)
        left = [LeavingRecord(question_id=EASY.id, demonstration_id="d", reason="solved_meanwhile")]
        ledger.record_leavings("1/leavings", 1, left)
        probed = [group(HARD, "-+-", version=1), group(CONTROL, "--", version=1)]
        ledger.record_attempts("1/probe", 1, probed, purpose=Purpose.PROBE)
        ledger.record_attempts("7/record", 7, [group(HARD, "-+++", version=1)], purpose=Purpose.TRAIN)
        for purpose, marks in ((Purpose.CONFIRM, "-"), (Purpose.EVALUATION, "+")):
            ledger.record_attempts(f"7/{purpose}", 7, [group(HARD, marks, version=1)], purpose=purpose)
        ledger.publish(folder / "demo-0" / "hard_examples.duckdb")
    return folder


def rows_of(printed, heading):
    """Cells of the lines below a table's rule."""
    lines = printed.splitlines()
    start = next(n for n, line in enumerate(lines) if line.split() and line.split()[0] == heading)
    return [line.split() for line in lines[start + 2 :]]


def test_a_query_prints_its_rows(store, capsys):
    ask.print_query(store, "SELECT status, count(*) AS rollouts FROM attempts GROUP BY status ORDER BY status")
    printed = capsys.readouterr().out
    assert rows_of(printed, "status")[:3] == [["correct", "9"], ["truncated", "1"], ["wrong", "13"]]
    assert "3 rows" in printed


def test_a_query_that_cannot_be_asked_is_an_error_of_the_user(store, tmp_path):
    with pytest.raises(LedgerError, match="Only reading"):
        ask.print_query(store, "DROP TABLE runs")
    with pytest.raises(LedgerError, match="has published a ledger"):
        ask.print_query(tmp_path, "SELECT 1")


def test_cells_are_never_markup_and_never_escape_sequences(store, capsys):
    ask.print_query(store, "SELECT text FROM questions ORDER BY length(text) DESC LIMIT 1")
    printed = capsys.readouterr().out
    assert "[red]Tom[/red] has \ufffd[31m47 boxes of 6." in printed
    assert "\x1b" not in printed


def test_a_story_is_told_in_the_order_it_happened(store, capsys):
    ask.print_story(store, HARD.id[:8])
    told = capsys.readouterr().out
    in_order = [
        "[red]Tom[/red] has \ufffd[31m47 boxes",
        "of 6.",
        "282",
        "demo-0: learned",
        "0  rollouts      3 wrong, 1 truncated; hardest  (policy version 0)",
        "-0",
        "wrong: no answer",
        "admitted  (from dataset, 5 tokens)",
        "[b]=282",
        "taught        supervised update to policy version 1; NLL 2.000 -> 0.500 nats per token",
        "retired       taught as often as the run allows",
        "1  probe         2 wrong, 1 correct; 1 iteration after it was first taught  (policy version 1)",
        "7  evaluation    1 correct  (policy version 1)",
        "7  confirmation  1 wrong  (policy version 1)",
        "7  rollouts      3 correct, 1 wrong  (policy version 1)",
    ]
    index = 0
    for part in in_order:
        index = told.index(part, index) + 1
    assert "refused: wrong: 281 is not 282" in told and "\x1b" not in told


def test_what_only_gave_its_beginning_is_told_as_that(tmp_path, capsys):
    with Ledger.open(tmp_path / "a" / "ledger.duckdb", "a") as ledger:
        ledger.record_questions("questions", [HARD], "train")
        use = Use(demonstration_id="d", question_id=HARD.id, prefix_tokens=3)
        ledger.record_update("0/rl", 0, update(UpdateKind.RL), version(1), [use])
        ledger.publish(tmp_path / "a" / "hard_examples.duckdb")
    ask.print_story(tmp_path, HARD.id)
    assert "guided        by 3 tokens of its demonstration, RL update to policy version 1" in capsys.readouterr().out


def test_a_control_and_a_question_that_was_never_hard_are_told_as_such(store, capsys):
    ask.print_story(store, CONTROL.id)
    told = capsys.readouterr().out
    assert "4 wrong; hardest, kept from teaching as a control" in told
    assert "probe         2 wrong; 1 iteration after the update that would have taught it" in told
    ask.print_story(store, EASY.text)
    told = capsys.readouterr().out
    assert "demo-0: never called hardest" in told
    assert "1  left          its demonstration waits no more: solved meanwhile" in told
    with pytest.raises(LedgerError, match="nearest"):
        ask.print_story(store, "no such question")


def test_columns_shrink_before_rows_become_blocks():
    table = Table(columns=("run", "times_unsolved", "text"), rows=(("demo-0", 12, "x" * 70), ("demo-0", 3, None)))
    wide, narrow, tiny = (_printed(table, width) for width in (100, 40, 20))
    assert "x" * 70 in wide and "times_" in wide and "NULL" in wide
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 40 and "xxx…" in narrow and "unsolved" in narrow
    assert "times_unsolved  12" in tiny, "a block a row"


def _printed(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    print_table(console, table)
    return console.export_text()


def test_widths_are_taken_from_the_widest_column_that_may_shrink():
    assert fit([10, 30, 20], [True, False, False], 50) == [10, 20, 20]
    assert fit([10, 30, 20], [True, False, False], 30) == [10, 10, 10]
    assert fit([10, 30, 20], [True, False, False], 29) is None
    assert fit([5, 5], [True, False], 80) == [5, 5]


def test_cells_hold_few_characters():
    values = [None, True, 7, 0.123456, 2e-4, 123456.7, float("nan"), "a\nb", {"wrong": 3}, "y" * 200]
    expected = ["NULL", "True", "7", "0.1235", "0.0002", "123457", "nan", "a b", "{'wrong': 3}"]
    assert [cell(value) for value in values][:-1] == expected
    assert len(cell(values[-1])) == 80


def test_the_report_of_a_finished_run_is_drawn_again(tmp_path, capsys):
    families = {"gsm8k": FamilyScore(kind="", base=0.25, start=0.25, after=0.5, low=0.4, high=0.6)}
    summary = RunSummary(run="demo-0", recipe="demo", seed=0, families=families, iterations=3)
    (tmp_path / "summary.json").write_text(json.dumps(dataclasses.asdict(summary)))
    ask.redraw(tmp_path)
    assert str(tmp_path / "report" / "index.html") in capsys.readouterr().out
    assert "50.0 %" in (tmp_path / "report" / "index.html").read_text()


def test_a_run_that_cannot_be_drawn_is_an_error_of_the_user(tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        ask.redraw(tmp_path / "demo-9")
    (tmp_path / "summary.json").write_text('{"run": "demo-0"')
    with pytest.raises(RunError, match="no summary of this version"):
        ask.redraw(tmp_path)


def test_a_base_model_that_could_not_be_written_is_not_trained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        ask.build_base_model(tmp_path / "file" / "base", 0)


def test_a_base_model_is_built_with_its_seed_and_its_rates_are_printed(tmp_path, capsys, monkeypatch):
    from relift.arithmetic import build

    def scripted(folder, *, seed, steps, progress):
        progress(1, 2.5)
        (folder / "ORIGIN.json").write_text(
            json.dumps({"seed": seed, "held_out_percent_correct": {"mul2": {"greedy": 0.25, "sampled": 1.0}}})
        )

    monkeypatch.setattr(build, "build_base", scripted)
    ask.build_base_model(tmp_path / "base", 7)
    printed = capsys.readouterr().out
    assert "mul2" in printed and "unreached" in printed and "0.2 %" in printed
    assert json.loads((tmp_path / "base" / "ORIGIN.json").read_text())["seed"] == 7


def test_asking_loads_nothing_heavy_before_it_is_asked():
    code = (
        "import sys, flows.cli.ask; print({'torch', 'prefect', 'duckdb', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
