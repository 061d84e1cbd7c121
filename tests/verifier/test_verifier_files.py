"""Files of rows: JSONL and Parquet in, the same with verdicts out, and refusals that name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relift.errors import DataError, Interrupted
from relift.records import DecidedBy, Status, Verdict
from relift.verifier import Verifier
from relift.verifier.case_files import ADDED, open_rows
from relift.verifier.cases import verify_rows
from relift.verifier.journal import Journal

ROWS = [
    {"id": 1, "gold": "3", "answer": "3.0", "tags": ["a", "b"]},
    {"id": 2, "gold": 3, "answer": 4},
    {"id": 3, "gold": None, "answer": "3"},
    {"id": 4, "gold": "3", "answer": None},
    {"id": 5, "gold": ["3"], "answer": "3"},
    {"id": 6, "gold": "3", "answer": {"x": 1}},
    {"id": 7, "gold": True, "answer": "3"},
    {"id": 8, "gold": "\ud800", "answer": "\ud800 x"},
    {"id": 9, "gold": "", "answer": "3"},
    {"id": 10},
]


@pytest.fixture
def verifier():
    with Verifier("boxed", workers=1) as verifier:
        yield verifier


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_of_a_jsonl_file_gets_a_status_and_keeps_its_columns(tmp_path, verifier):
    source, out = written(tmp_path / "cases.jsonl", ROWS), tmp_path / "verdicts.jsonl"
    told: list[int] = []
    tally = verify_rows(open_rows(source), out, verifier, "answer", verified=told.append)
    rows = read(out)
    assert [{k: v for k, v in row.items() if k not in ADDED} for row in rows] == ROWS
    assert [row["status"] for row in rows][:7] == [
        "correct",
        "wrong",
        "bad_gold",
        "no_answer",
        "bad_gold",
        "error",
        "bad_gold",
    ]
    assert rows[1]["extracted"] == "4"
    assert (rows[4]["reason"], rows[5]["reason"]) == ("the gold is a list, not text", "the answer is a dict, not text")
    assert rows[9]["reason"] == "no gold"
    assert all(set(ADDED) <= set(row) for row in rows)
    assert (tally.statuses[Status.CORRECT], tally.paths[DecidedBy.RATIONAL]) == (1, 2)
    assert len(tally.seconds) == told[0] == 10


def test_whole_completions_are_searched_for_their_answer(tmp_path, verifier):
    rows = [{"gold": "3", "answer": text} for text in (r"so \boxed{3}", "3", r"\boxed{3", r"\boxed{4}")]
    source, out = written(tmp_path / "cases.jsonl", rows), tmp_path / "out.jsonl"
    verify_rows(open_rows(source), out, verifier, "response")
    assert [row["status"] for row in read(out)] == ["correct", "no_answer", "malformed", "wrong"]
    assert [row["extracted"] for row in read(out)] == ["3", None, None, "4"]


def test_a_parquet_file_keeps_its_columns_and_their_types(tmp_path, verifier, monkeypatch):
    monkeypatch.setattr("relift.verifier.case_files.ROWS_AT_A_TIME", 3)
    table = pa.table(
        {
            "gold": pa.array(["1", "2", r"\frac{\pi}{4}", None, "5"]).dictionary_encode(),
            "answer": ["1", "2.5", r"\arctan(1)", "4", "5"],
            "when": pa.array([0, 1, 2, 3, None], pa.timestamp("us", "UTC")),
            "more": [{"a": [n]} for n in range(5)],
        }
    )
    source, out = tmp_path / "cases.parquet", tmp_path / "verdicts.parquet"
    pq.write_table(table, source)
    verify_rows(open_rows(source), out, verifier, "answer")
    found = pq.read_table(out)
    assert found.select(["answer", "when", "more"]).equals(table.select(["answer", "when", "more"]))
    assert found.column("gold").to_pylist() == table.column("gold").to_pylist()
    assert found.column("status").to_pylist() == ["correct", "wrong", "correct", "bad_gold", "correct"]
    assert found.column("path").to_pylist() == ["string", "rational", "sympy", "guard", "string"]
    assert found.schema.field("seconds").type == pa.float64()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"gold": "1", "answer": "1"}\n{"gold": \n', "a.jsonl, line 2 is not JSON"),
        ("a.jsonl", b'{"gold": "1", "answer": "1"}\n[1]\n', "a.jsonl, line 2 holds a list"),
        ("a.jsonl", b"\xff\xfe\n", "a.jsonl, line 1 is not JSON"),
        ("a.jsonl", b'{"gold": "1", "reply": "1"}\n', "has no column 'answer'; its columns are: gold, reply"),
        ("a.jsonl", b'{"gold": "1", "answer": "1", "path": "x"}\n', "already has a column 'path'"),
        ("a.jsonl", b'{"gold": ' + b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        ("a.jsonl", b"9" * (17 << 20), "longer than 16 MiB"),
        ("a.parquet", b"PAR1 and nothing more", "is not a whole Parquet file"),
        ("a.csv", b"gold,answer\n1,1\n", "neither .jsonl nor .parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_compared(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        open_rows(tmp_path / name)
    assert said in str(refused.value)


def test_an_empty_file_gives_an_empty_one(tmp_path, verifier):
    source, out = written(tmp_path / "a.jsonl", []), tmp_path / "b.jsonl"
    assert len(verify_rows(open_rows(source), out, verifier, "answer").seconds) == 0
    assert out.read_text() == ""


def stopped_after(source: Path, out: Path, verifier: Verifier, rows: int, settings: str = "") -> None:
    done = 0

    def verified(count: int) -> None:
        nonlocal done
        done += count
        if done >= rows:
            raise Interrupted("now")

    with pytest.raises(Interrupted):
        verify_rows(open_rows(source), out, verifier, "answer", settings=settings, verified=verified)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_file_gone_on_with_is_the_one_that_was_never_stopped(tmp_path, verifier, monkeypatch, ending):
    monkeypatch.setattr("relift.verifier.cases.FIRST_ROWS", 4)
    rows = [{"gold": str(n), "answer": str(n + n % 3)} for n in range(40)]
    source = written(tmp_path / "a.jsonl", rows)
    if ending == "parquet":
        source = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_pylist(rows), source)
    out, whole = tmp_path / f"b.{ending}", tmp_path / f"c.{ending}"
    stopped_after(source, out, verifier, 4)
    told: list[int] = []
    tally = verify_rows(open_rows(source), out, verifier, "answer", verified=told.append)
    assert (told[0], sum(told), tally.statuses[Status.CORRECT], len(tally.seconds)) == (4, 40, 14, 40)
    verify_rows(open_rows(source), whole, verifier, "answer")
    found = [pq.read_table(p).to_pylist() if ending == "parquet" else read(p) for p in (out, whole)]
    for row in [*found[0], *found[1]]:
        del row["seconds"]
    assert found[0] == found[1]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".part") == []


@pytest.mark.parametrize("change", ["rows", "settings"])
def test_verdicts_on_other_rows_or_by_other_settings_are_begun_anew(tmp_path, verifier, monkeypatch, caplog, change):
    monkeypatch.setattr("relift.verifier.cases.FIRST_ROWS", 1)
    source, out = written(tmp_path / "a.jsonl", [{"gold": "1", "answer": "1"}] * 9), tmp_path / "b.jsonl"
    stopped_after(source, out, verifier, 1, "those")
    if change == "rows":
        written(source, [{"gold": "1", "answer": "2"}] * 9)
    verify_rows(open_rows(source), out, verifier, "answer", settings="those" if change == "rows" else "these")
    assert {row["status"] for row in read(out)} == {"wrong" if change == "rows" else "correct"}
    assert "is of other rows or settings, and is begun anew" in caplog.text


def test_a_verdict_that_was_cut_off_is_made_again(tmp_path, verifier, monkeypatch):
    monkeypatch.setattr("relift.verifier.cases.FIRST_ROWS", 2)
    source, out = written(tmp_path / "a.jsonl", [{"gold": "1", "answer": "1"}] * 9), tmp_path / "b.jsonl"
    stopped_after(source, out, verifier, 2)
    journal = tmp_path / ".b.jsonl.part"
    journal.write_text(journal.read_text()[:-5])
    told: list[int] = []
    verify_rows(open_rows(source), out, verifier, "answer", verified=told.append)
    assert (told[0], sum(told)) == (1, 9)
    assert [row["status"] for row in read(out)] == ["correct"] * 9


def test_two_at_once_do_not_write_the_same_file(tmp_path, verifier):
    source, out = written(tmp_path / "a.jsonl", ROWS), tmp_path / "b.jsonl"
    with Journal(out, "another") as journal:
        journal.append([Verdict(status=Status.WRONG)])
        with pytest.raises(DataError, match="is being written by another relift verify"):
            verify_rows(open_rows(source), out, verifier, "answer")


def test_a_run_that_is_stopped_leaves_no_file(tmp_path, verifier):
    source = written(tmp_path / "a.jsonl", ROWS)

    def stop() -> None:
        raise Interrupted("now")

    with pytest.raises(Interrupted):
        verify_rows(open_rows(source), tmp_path / "b.jsonl", verifier, "answer", check=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
