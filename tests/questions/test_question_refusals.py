"""What a user sees when a dataset cannot be read: which file, what was found, what to change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relift.config import QuestionsConfig
from relift.errors import ConfigError, DataError
from relift.questions import load_questions
from relift.questions.text_files import MAX_LINE_BYTES

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def refusal(verifier):
    """The message with which loading ends."""

    def of(path, error=DataError, **changes) -> str:
        config = QuestionsConfig(path=None if path is None else str(path), **changes)
        with pytest.raises(error) as raised:
            load_questions(config, seed=0, verifier=verifier)
        return str(raised.value)

    return of


def test_no_path_a_missing_file_and_a_remote_one(refusal, tmp_path):
    assert "questions.path is not set" in refusal(None, error=ConfigError)
    assert "does not exist" in refusal(tmp_path / "train.jsonl")
    assert "Download" in refusal("s3://bucket/train.parquet")


def test_an_unknown_extension_names_the_known_ones(refusal, tmp_path):
    for name in ("train.docx", "train.parquet.gz", "train.jsonl.xz"):
        (tmp_path / name).write_text("question,answer\n")
        message = refusal(tmp_path / name)
        assert repr("".join((tmp_path / name).suffixes)) in message
        assert ".jsonl, .ndjson, .parquet, .tsv, text also as .gz or .zst" in message


def test_a_folder_with_nothing_to_read_or_with_two_datasets(refusal, tmp_path):
    assert "holds no file to read (.arrow, .csv, .json, .jsonl, .ndjson, .parquet, .tsv" in refusal(tmp_path)
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text('{"question": "1+1?", "answer": "2"}\n')
    message = refusal(tmp_path)
    assert "more than one dataset" in message
    assert "test.jsonl, train.jsonl" in message


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_an_empty_dataset(refusal, tmp_path, name):
    if name.endswith("jsonl"):
        (tmp_path / name).write_text("\n")
    else:
        pq.write_table(
            pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}), tmp_path / name
        )
    assert "holds no rows" in refusal(tmp_path / name)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_missing_column_names_file_columns_and_setting(refusal, tmp_path, kind):
    path = tmp_path / f"train.{kind}"
    if kind == "jsonl":
        path.write_text('{"problem": "1+1?", "answer": "2"}\n')
    else:
        pq.write_table(pa.table({"problem": ["1+1?"], "answer": ["2"]}), path)
    message = refusal(path)
    assert f"train.{kind} has no column 'question'" in message
    assert "answer, problem" in message
    assert "questions.text_column" in message


def test_a_missing_struct_field_is_a_missing_column(refusal, tmp_path):
    pq.write_table(pa.table({"prompt": ["1+1?"], "reward_model": [{"style": "rule"}]}), tmp_path / "a.parquet")
    message = refusal(tmp_path / "a.parquet", format="reference")
    assert "'reward_model.ground_truth'" in message
    assert "questions.format" in message


def test_another_format_than_the_file_has(refusal):
    message = refusal(DATA / "gsm8k_200.parquet", format="reference")
    assert "'prompt', 'reward_model.ground_truth'" in message
    assert "answer, question" in message


def test_half_written_files_name_the_line_or_the_file(refusal, tmp_path):
    whole = '{"question": "1+1?", "answer": "2"}\n'
    (tmp_path / "train.jsonl").write_text(whole + whole[:20])
    message = refusal(tmp_path / "train.jsonl")
    assert "line 2 is not JSON" in message
    assert "half written" in message
    data = (DATA / "gsm8k_200.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(data[: len(data) // 2])
    assert "train.parquet is not a whole Parquet file" in refusal(tmp_path / "train.parquet", format="gsm8k")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[1, 2]\n", "line 1 holds a list"),
        (b'{"question": "\xff"}\n', "line 1 is not JSON"),
        (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        (b" " * (MAX_LINE_BYTES + 1) + b"1\n", "longer than 16 MiB"),
    ],
    ids=["a list", "no UTF-8", "deep nesting", "endless"],
)
def test_a_line_that_is_no_row(refusal, tmp_path, line, words):
    (tmp_path / "train.jsonl").write_bytes(line)
    assert words in refusal(tmp_path / "train.jsonl")


def test_parquet_damaged_in_the_middle(refusal, tmp_path):
    data = bytearray((DATA / "gsm8k_200.parquet").read_bytes())
    data[2_000:2_400] = bytes(400)
    (tmp_path / "train.parquet").write_bytes(bytes(data))
    assert "train.parquet" in refusal(tmp_path / "train.parquet", format="gsm8k")


def test_importing_the_rooms_loads_nothing_heavy():
    code = (
        "import sys, relift.questions, relift.teacher, relift.verifier\n"
        "print(sorted({'torch', 'prefect', 'pyarrow', 'sympy', 'math_verify', 'duckdb'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
