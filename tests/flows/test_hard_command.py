"""`relift hard` over the small project: the listing, the forms of an answer, and what it refuses."""

import csv
import io
import json
import subprocess
import sys

import pytest

from flows.cli import main as cli
from flows.cli.hard import hard_command
from relift.errors import LedgerError
from relift.ledger import named_queries
from relift.ledger.states import STATES
from tests.ledger.ledger_small import write_small_project

NOTHING = {"run": "", "since": None, "limit": None, "form": "", "out": ""}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return str(write_small_project(tmp_path_factory.mktemp("runs")))


def hard(store, name="", **options):
    hard_command(store, name, **{**NOTHING, **options})


def test_alone_it_shows_how_the_hard_questions_stand_and_all_that_can_be_asked(store, capsys):
    hard(store)
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert ["large-0", "open", "1", "1", "0"] in rows and ["small-0", "control", "2", "2", "0"] in rows
    assert STATES["retired"] in printed
    assert "taught, and not solved since, perhaps" not in printed, "states that no question is in are not explained"
    for named in named_queries():
        assert f"  {named.name} " in printed and named.description in printed
    assert printed.index("did teaching work") < printed.index("  lift ") < printed.index("teachers and money")


def test_on_a_terminal_of_eighty_columns_no_line_is_wider(store, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.printing.WIDTH_OF_A_FILE", 80)
    for name in ("", *(named.name for named in named_queries())):
        hard(store, name)
        assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80, name


def test_a_table_is_cut_at_the_limit_and_keeps_to_run_and_iteration(store, capsys):
    hard(store, "unsolved", run="small-*", limit=2)
    printed = capsys.readouterr().out
    assert "2 rows; there are more" in printed and "large-0" not in printed
    hard(store, "updates", since=3)
    assert "1 row" in capsys.readouterr().out


def test_json_and_csv_go_to_standard_output_whole(store, capsys):
    hard(store, "updates", form="json")
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 7 and rows[0]["run"] == "small-0"
    hard(store, "updates", form="csv", limit=3)
    assert [row["kind"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["rl", "sft", "rl"]


def test_a_file_is_written_as_it_is_called(store, tmp_path, capsys):
    import pyarrow.parquet as pq

    hard(store, "lift", out=str(tmp_path / "lift.parquet"))
    hard(store, "lift", out=str(tmp_path / "lift.txt"), form="json")
    rows = pq.read_table(tmp_path / "lift.parquet").to_pylist()
    assert len(rows) == 3 and json.loads((tmp_path / "lift.txt").read_text()) == rows
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "parquet"}, "Add --out FILE"),
        ({"form": "xml"}, "cannot be written as 'xml'.*table, json, csv, parquet"),
        ({"out": "states.txt"}, "cannot be written as 'txt'"),
        ({"out": "states"}, "A table is for the terminal.*Add --format"),
        ({"run": "demo-9"}, "No run is called 'demo-9'. There are: large-0, small-0"),
        ({"since": 2}, "does not ask by iteration"),
    ],
)
def test_options_that_do_not_go_together_are_refused(store, tmp_path, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerError, match=message):
        hard(store, "states", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_hands_its_options_on(store, monkeypatch, capsys):
    arguments = ["hard", "updates", "--store", store, "--run", "small-0", "--since", "3", "--format", "csv"]
    monkeypatch.setattr(sys, "argv", ["relift", *arguments, "--limit", "1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out.splitlines()[1].startswith("small-0,3,rl,7,")


def test_its_import_loads_nothing_heavy():
    code = "import sys, flows.cli.hard; print({'torch', 'prefect', 'duckdb', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
