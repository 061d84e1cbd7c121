"""What a dataset may be written in, each read to the same rows; and files that are damaged or mean harm."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relift.config import BenchmarkConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions import QuestionSet, load_questions, text_files, with_benchmarks
from relift.questions.files import find_dataset
from relift.questions.rows import Columns, Row, read_rows

ROWS = [
    {"question": f"What is {n}+1, or as one says, \u201cthe next\u201d?\nSay it.", "answer": str(n + 1)}
    for n in range(40)
]
COLUMNS = Columns(needed=("question", "answer"), optional=("note",), setting="questions.text_column")


def as_text(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_csv(path: Path, delimiter: str, encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, ["question", "answer"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


def write_zst(path: Path, content: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(content)


def write_stream(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def save_to_disk(folder: Path, rows: list[dict[str, str]], shards: int = 3) -> None:
    """As Hugging Face's datasets does it."""
    folder.mkdir()
    names = [f"data-{n:05d}-of-{shards:05d}.arrow" for n in range(shards)]
    for n, name in enumerate(names):
        part = rows[n * len(rows) // shards : (n + 1) * len(rows) // shards]
        write_stream(folder / name, pa.Table.from_pylist(part))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "x", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def rows_of(path: Path) -> list[Row]:
    return [row for file in find_dataset(str(path)).files for row in read_rows(file, COLUMNS)]


def arrow_file(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def parquet_folder(path: Path) -> None:
    path.mkdir()
    (path / "_SUCCESS").touch()
    (path / ".part-00000.crc").touch()
    (path / "dataset_infos.json").write_text("{}")
    (path / "about.json").write_text("{}")
    for n, name in enumerate(("0f3c9a52-6f0e-4b1c-9d1e-2f6a7b8c9d0e", "7be1c0aa-1f2e-4c3d-8e9f-a0b1c2d3e4f5")):
        table = pa.Table.from_pylist(ROWS[20 * n : 20 * n + 20])
        pq.write_table(table, path / f"part-0000{n}-{name}-c000.snappy.parquet")


WRITERS = {
    "train.jsonl": lambda path: path.write_text(as_text(ROWS)),
    "TRAIN.JSONL": lambda path: path.write_text(as_text(ROWS)),
    "train.ndjson": lambda path: path.write_text("\n\n" + as_text(ROWS)),
    "marked.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + as_text(ROWS).encode()),
    "train.jsonl.gz": lambda path: path.write_bytes(gzip.compress(as_text(ROWS).encode())),
    "train.v1.JSONL.GZ": lambda path: path.write_bytes(
        gzip.compress(as_text(ROWS[:9]).encode()) + gzip.compress(as_text(ROWS[9:]).encode())
    ),
    "train.jsonl.zst": lambda path: write_zst(path, as_text(ROWS).encode()),
    "train.json": lambda path: path.write_text(json.dumps(ROWS)),
    "pretty.json": lambda path: path.write_text("\ufeff \n" + json.dumps(ROWS, indent=3) + " \n"),
    "lines.json": lambda path: path.write_text(as_text(ROWS)),
    "train.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "train.csv": lambda path: write_csv(path, ","),
    "excel.CSV": lambda path: write_csv(path, ",", "utf-8-sig"),
    "train.tsv": lambda path: write_csv(path, "\t"),
    "train.Parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "stream.arrow": lambda path: write_stream(path, pa.Table.from_pylist(ROWS)),
    "file.arrow": arrow_file,
    "saved": lambda path: save_to_disk(path, ROWS),
    "spark": parquet_folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_way_to_write_a_dataset_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    wanted = [{**row, "note": None} for row in ROWS]
    assert [row.values for row in rows_of(tmp_path / name)] == wanted


def test_a_csv_field_stays_the_text_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,answer\r\n"He said ""2, or 3"".\nWhich?",007\r\n\r\nb,1e3\r\n')
    assert [(row.number, row.values["question"], row.values["answer"]) for row in rows_of(tmp_path / "a.csv")] == [
        (3, 'He said "2, or 3".\nWhich?', "007"),
        (5, "b", "1e3"),
    ]


def test_results_go_by_one_name_however_many_shards_there_are(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "algebra", ROWS)
    assert find_dataset(str(tmp_path / "algebra")).name == "algebra"
    parquet_folder(tmp_path / "spark")
    assert find_dataset(str(tmp_path / "spark")).name == "spark"
    (tmp_path / "shards").mkdir()
    for n in range(2):
        (tmp_path / "shards" / f"train-0000{n}-of-00002.jsonl.gz").write_bytes(gzip.compress(as_text(ROWS).encode()))
    assert find_dataset(str(tmp_path / "shards")).name == "train"
    (tmp_path / "problems.jsonl.zst").touch()
    assert find_dataset(str(tmp_path / "problems.jsonl.zst")).name == "problems"


def test_an_array_is_read_an_item_at_a_time(tmp_path: Path) -> None:
    rows = [{"question": "x" * 50_000, "answer": str(n), "note": '\\"]}'} for n in range(12)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert [row.values for row in rows_of(tmp_path / "a.json")] == rows
    (tmp_path / "none.json").write_text(" [ ] ")
    assert rows_of(tmp_path / "none.json") == []


DAMAGED = {
    "cut.jsonl.gz": (gzip.compress(as_text(ROWS).encode())[:-30], "not a whole .gz file"),
    "no.jsonl.gz": (b"question", "not a whole .gz file"),
    "no.jsonl.zst": (b"question", "cannot be read"),
    "cut.json": (json.dumps(ROWS).encode()[:-5], "item 40 is not JSON"),
    "open.json": (json.dumps(ROWS).encode()[:-1], "',' is missing, it ends there"),
    "more.json": (json.dumps(ROWS).encode() + b" []", "goes on after the end of its array"),
    "numbers.json": (b"[1, 2]", "item 1 is not an object"),
    "trailing.json": (b'[{"question": "a", "answer": "b"},]', "item 2 is not an object"),
    "deep.json": (b'[{"question": ' + b"[" * 200_000, "item 1 is not JSON"),
    "columns.json": (b'{"question":\n ["a"]}', "read as an array of objects, or as one object a line"),
    "bytes.json": (b'[{"question": "\xff"}]', "not UTF-8"),
    "ragged.csv": (b"question,answer\na,b\nc,d,e\n", "line 3 has 3 fields, the header 2"),
    "cut.csv": (b"question,answer\na,b\nc\n", "line 3 has 1 fields"),
    "quote.csv": (b'question,answer\na,b\n"c,d\n', "line 3 is not CSV"),
    "twice.csv": (b"question,question,answer\na,b,c\n", "two columns 'question'"),
    "latin.csv": ("question,answer\nwie gro\xdf?,2\n".encode("latin-1"), "not UTF-8"),
    "nul.csv": (b"question,answer\na\0,b\n", "line 2 holds a NUL byte"),
    "nul.jsonl": (b'{"question": "a", "answer": "1"}\n\0\n', "line 2 holds a NUL byte"),
    "wide.csv": ("question,answer\na,b\n".encode("utf-16"), "written in UTF-16"),
    "wide.jsonl": (as_text(ROWS).encode("utf-16"), "written in UTF-16"),
    "columns.csv": (b"question;answer\na;b\n", "no column 'answer', 'question'; its columns are: question;answer"),
    "no.arrow": (b"ARROW1\0\0" + bytes(100), "not a whole Arrow file"),
    "empty.arrow": (b"", "not a whole Arrow file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_by_name_and_position(name: str, tmp_path: Path) -> None:
    content, words = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        rows_of(tmp_path / name)
    assert words in str(raised.value) and str(tmp_path / name) in str(raised.value)


def test_an_arrow_file_with_offsets_out_of_bounds_is_refused(tmp_path: Path) -> None:
    write_stream(tmp_path / "a.arrow", pa.Table.from_pylist(ROWS[:7]))
    data = bytearray((tmp_path / "a.arrow").read_bytes())
    offsets = b"".join(n.to_bytes(4, "little") for n in range(8))  # of seven answers, each one character long
    at = data.index(offsets)
    data[at + 24 : at + 28] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "a.arrow").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.arrow is not a whole Arrow file"):
        rows_of(tmp_path / "a.arrow")


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_a_bomb_is_refused_before_it_is_unpacked(packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MIN_UNPACKED_BYTES", 1 << 20)
    bomb = as_text(ROWS).encode() + (b" " * (1 << 20) + b"\n") * 24
    path = tmp_path / f"train.jsonl{packed}"
    if packed == ".gz":
        path.write_bytes(gzip.compress(bomb, 9))
    else:
        write_zst(path, bomb)
    with pytest.raises(DataError, match="over 100 times its size"):
        rows_of(path)


def test_a_folder_that_is_no_whole_dataset_is_refused(tmp_path: Path) -> None:
    def refusal() -> str:
        with pytest.raises(DataError) as raised:
            find_dataset(str(tmp_path))
        return str(raised.value)

    (tmp_path / "train-00000-of-00003.jsonl").touch()
    (tmp_path / "train-00002-of-00003.jsonl").touch()
    assert "holds 2 of 3 shards; number 1 is missing" in refusal()
    (tmp_path / "train-00001-of-00003.jsonl").symlink_to(tmp_path / "gone")
    assert "train-00001-of-00003.jsonl is a link to nothing" in refusal()
    (tmp_path / "train-00001-of-00003.jsonl").unlink()
    (tmp_path / "train-00001-of-00003.jsonl").mkdir()
    assert "is no file" in refusal()
    (tmp_path / "train-00001-of-00003.jsonl").rmdir()
    (tmp_path / "blob").touch()
    (tmp_path / "train-00001-of-00003.jsonl").symlink_to("blob")  # as the hub's cache lays files out
    assert len(find_dataset(str(tmp_path)).files) == 3
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    assert "several splits (test, train)" in refusal()


@pytest.mark.parametrize(
    "state",
    [
        "{",
        "[]",
        '{"_data_files": 3}',
        '{"_data_files": []}',
        '{"_data_files": [{"filename": "../outside.arrow"}]}',
        '{"_data_files": [{"filename": "/etc/x.arrow"}]}',
        '{"_data_files": [{"filename": "state.json"}]}',
        '{"_data_files": [{"filename": "data-00009-of-00003.arrow"}]}',
        "[" * 100_000,
    ],
)
def test_a_saved_dataset_names_files_of_its_own_folder_alone(state: str, tmp_path: Path) -> None:
    save_to_disk(tmp_path / "saved", ROWS)
    write_stream(tmp_path / "outside.arrow", pa.Table.from_pylist(ROWS))
    (tmp_path / "saved" / "state.json").write_text(state)
    with pytest.raises(DataError, match=r"saved/state\.json"):
        find_dataset(str(tmp_path / "saved"))


def test_a_pipe_is_no_dataset(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        find_dataset(str(tmp_path / "train.jsonl"))


def test_a_shard_with_other_columns_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["a"], "answer": [1]}), tmp_path / "s-0.parquet")
    pq.write_table(pa.table({"question": ["b"], "gold": [2]}), tmp_path / "s-1.parquet")
    with pytest.raises(DataError, match=r"s-1\.parquet has no column 'answer'"):
        rows_of(tmp_path)


def test_a_benchmark_is_read_from_all_of_them_and_its_faults_name_its_own_settings(tmp_path: Path, verifier) -> None:
    empty = QuestionSet(training=(), held_out=())

    def benchmarks(**settings: object) -> QuestionSet:
        config = BenchmarkConfig.model_validate({"name": "b", **settings})
        return with_benchmarks(empty, [config], answer_form="boxed", verifier=verifier)

    write_csv(tmp_path / "TEST.CSV", ",")
    assert len(benchmarks(path=str(tmp_path / "TEST.CSV")).benchmarks) == 40
    for settings, words in (
        ({"path": "absent.csv"}, r"Set evaluation\.benchmarks\.0\.path"),
        ({"path": str(tmp_path / "TEST.CSV"), "text_column": "q"}, r"Change evaluation\.benchmarks\.0\.text_column"),
    ):
        with pytest.raises(DataError, match=words):
            benchmarks(**settings)
    (tmp_path / "few.csv").write_text("question,answer\na,1\nb,\n")
    with pytest.raises(DataError, match=r"allow more with evaluation\.benchmarks\.0\.max_bad_share"):
        benchmarks(path=str(tmp_path / "few.csv"))
    assert len(benchmarks(path=str(tmp_path / "few.csv"), max_bad_share=0.5).benchmarks) == 1


def test_a_compressed_csv_trains_as_the_parquet_does(tmp_path: Path, verifier) -> None:
    write_csv(tmp_path / "train.csv", ",")
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress((tmp_path / "train.csv").read_bytes()))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "train.parquet")
    of_csv, of_parquet = (
        load_questions(QuestionsConfig(path=str(tmp_path / name)), seed=0, verifier=verifier)
        for name in ("train.csv.gz", "train.parquet")
    )
    assert of_csv == of_parquet


def test_a_path_may_begin_with_a_variable_and_one_that_is_not_set_is_named(jsonl, monkeypatch):
    path = Path(jsonl({"question": "1+1?", "answer": "2"}))
    monkeypatch.setenv("RELIFT_TEST_FOLDER", str(path.parent))
    assert find_dataset("$RELIFT_TEST_FOLDER/train.jsonl").files == (path,)
    monkeypatch.delenv("RELIFT_TEST_FOLDER")
    with pytest.raises(DataError, match="environment variable RELIFT_TEST_FOLDER is not set"):
        find_dataset("${RELIFT_TEST_FOLDER}/train.jsonl")
