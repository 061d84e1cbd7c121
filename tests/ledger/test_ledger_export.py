import json

import pyarrow.parquet as pq
import pytest
import yaml
from exchange_project import HELD_OUT, OPEN, OVERLAPPING, SOLVED, TAUGHT, WORDY, WORKED, worked, write_run

from relift.config import QuestionsConfig
from relift.errors import LedgerError
from relift.exchange import read_hard_set, write_folder, write_wanted
from relift.exchange.card import licence_of
from relift.questions import load_questions
from relift.questions.overlap import Overlaps
from relift.verifier import Verifier


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Run ``a`` learned a question, another one's solution was refused; ``b`` holds out what overlaps with ``a``."""
    folder = tmp_path_factory.mktemp("project") / "runs"
    refused = worked(OPEN, "12+30=41", refusal="wrong: 41 is not 42")
    write_run(folder, "a", hard=[TAUGHT, OPEN, WORDY], demonstrations=[worked(), refused])
    write_run(folder, "b", hard=[TAUGHT, OPEN], held_out=[HELD_OUT, OVERLAPPING])
    return folder


def rows_of(path):
    return pq.read_table(path).to_pylist()


def test_the_folder_holds_admitted_demonstrations_and_what_is_unsolved(store, tmp_path):
    card, demonstrations, unsolved = write_folder(read_hard_set(store), tmp_path / "out")
    (row,) = rows_of(demonstrations)
    assert (row["question"], row["answer"], row["solution"]) == (TAUGHT.text, "282", WORKED)
    assert row["state"] == "open"  # in b, where nobody taught it
    assert [(s["run"], s["state"]) for s in row["runs"]] == [("a", "learned"), ("b", "open")]
    assert [row["question"] for row in rows_of(unsolved)] == [OPEN.text]
    assert "41" not in demonstrations.read_bytes().decode("latin-1")  # what was refused is nowhere
    assert card.name == "README.md"


def test_what_overlaps_with_a_held_out_question_of_any_run_is_left_out(store, tmp_path):
    hard = read_hard_set(store)
    assert hard.held_out_count == 2
    assert [(one.id, one.held_out_id, one.reason) for one in hard.left_out] == [
        (WORDY.id, OVERLAPPING.id, "13 words in a row")
    ]
    text = write_folder(hard, tmp_path / "out")[0].read_text()
    assert "Compared with the 2 held-out and benchmark questions" in text and WORDY.id in text


def test_thirteen_words_in_a_row_overlap_and_twelve_do_not():
    words = [f"w{number}" for number in range(20)]
    overlaps = Overlaps([TAUGHT, WORDY.__class__(id="h", text=" ".join(words), answer="1", source="s")])
    assert overlaps.with_text("Other words, then: " + ", ".join(w.upper() for w in words[3:16])) == "h"
    assert overlaps.with_text(" ".join(words[3:15])) is None
    assert overlaps.with_text(TAUGHT.text) is None


def test_the_card_is_valid_and_names_both_configurations(store, tmp_path):
    folder = tmp_path / "out"
    text = write_folder(read_hard_set(store), folder)[0].read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    files = {config["config_name"]: config["data_files"][0]["path"] for config in front["configs"]}
    assert files == {"demonstrations": "data/demonstrations.parquet", "unsolved": "data/unsolved/unsolved.parquet"}
    assert all((folder / path).is_file() for path in files.values())
    assert front["license"] == "apache-2.0" and front["size_categories"] == ["n<1K"]
    assert "| arithmetic/mul2 | 2 | 1 |" in text and "| dataset | 1 |" in text
    assert licence_of("gsm8k") == "mit" and licence_of("numina/olympiads") == "unknown"


def test_the_same_ledgers_give_the_same_bytes(store, tmp_path):
    made = [write_folder(read_hard_set(store), tmp_path / name) for name in ("one", "two")]
    assert [path.read_bytes() for path in made[0]] == [path.read_bytes() for path in made[1]]


def test_the_data_is_a_dataset_to_train_on(store, tmp_path):
    write_folder(read_hard_set(store), tmp_path / "out")
    config = QuestionsConfig(
        path=str(tmp_path / "out" / "data"), solution_column="solution", answer_form="equals", held_out_share=0.0
    )
    with Verifier("equals") as verifier:
        (loaded,) = load_questions(config, seed=0, verifier=verifier).training
    assert (loaded.id, loaded.answer, loaded.solution) == (TAUGHT.id, "282", WORKED)


def test_runs_and_states_narrow_the_set(store):
    assert {q.id for q in read_hard_set(store, runs=["b"]).questions} == {TAUGHT.id, OPEN.id}
    assert [q.id for q in read_hard_set(store, runs=["a"], states=["learned"]).questions] == [TAUGHT.id]
    with pytest.raises(LedgerError, match="no state 'solvd'"):
        read_hard_set(store, states=["solvd"])
    with pytest.raises(LedgerError, match="There are: a, b"):
        read_hard_set(store, runs=["c"])


def test_an_export_replaces_its_own_folder_and_no_other(store, tmp_path):
    hard = read_hard_set(store)
    write_folder(hard, tmp_path / "out")
    write_folder(hard, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my own notes")
    with pytest.raises(LedgerError, match="no export wrote"):
        write_folder(hard, tmp_path / "mine")
    assert (tmp_path / "mine" / "README.md").read_text() == "my own notes"
    with pytest.raises(LedgerError, match="no hard question to export"):
        write_folder(read_hard_set(store, states=["retired"]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_people_get_the_questions_that_want_a_solution(store, tmp_path):
    assert write_wanted(read_hard_set(store), tmp_path / "open.jsonl") == 1
    (line,) = (tmp_path / "open.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "question_id": OPEN.id,
        "question": "12+30?",
        "source": "arithmetic/mul2",
        "gold": "42",
        "ends_with": "=ANSWER",
        "solution": "",
        "author": "",
    }
    write_wanted(read_hard_set(store), tmp_path / "blind.jsonl", with_gold=False)
    assert "gold" not in json.loads((tmp_path / "blind.jsonl").read_text())
    with pytest.raises(LedgerError, match="wants a solution"):
        write_wanted(read_hard_set(store, states=["learned"]), tmp_path / "none.jsonl")
    assert SOLVED.id not in (tmp_path / "open.jsonl").read_text()
