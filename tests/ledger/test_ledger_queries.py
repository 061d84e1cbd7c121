"""Each named query over the small project, with rows worked out by hand."""

import csv
import io
import json

import duckdb
import pytest
from ledger_histories import demonstration
from ledger_small import (
    CUT,
    HELD_OUT,
    IN_VAIN,
    LEARNED,
    OPEN,
    OTHER_CONTROL,
    QUEUED,
    REFUSED,
    REGRESSED,
    SOLVED,
    SOURCING,
    TWIN,
    UNREADABLE,
    WRONG_GOLD,
    write_small_project,
)

from relift.errors import LedgerError
from relift.ledger import named_queries, named_query, query, write_init_script
from relift.ledger.queries import GROUPS
from relift.ledger.results import Form, answer, write_answer

NAMES = [named.name for named in named_queries()]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_small_project(tmp_path_factory.mktemp("runs"))


def asked(store, name, **options):
    found = answer(store, named_query(name), **options)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_there_are_at_least_fifteen_and_each_says_what_it_answers_and_where_it_belongs():
    assert len(NAMES) >= 15 and len(set(NAMES)) == len(NAMES)
    for named in named_queries():
        assert named.description.endswith(".") and len(named.description) <= 100, named.name
        assert named.sql.startswith(f"-- {named.description}\n-- Group: {named.group}.\n")
        assert named.sql.endswith(";\n") and named.group in GROUPS


@pytest.fixture(scope="module")
def everything(store):
    return {name: asked(store, name, max_rows=1000) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_each_query_finds_something_and_keeps_to_the_run_asked_for(store, everything, name):
    assert everything[name], "the small project holds an answer for each"
    if "run" in everything[name][0]:
        alone = asked(store, name, run="small-*", max_rows=1000)
        assert alone == [row for row in everything[name] if row["run"] == "small-0"]


def test_each_file_runs_as_it_stands_in_a_client_that_has_read_the_init_script(store, everything):
    with duckdb.connect() as client:
        client.execute(write_init_script(store).read_text())
        for name in NAMES:
            assert len(client.execute(named_query(name).sql).fetchall()) == len(everything[name]), name


@pytest.mark.parametrize("name", [named.name for named in named_queries() if named.takes_since])
def test_what_is_asked_from_an_iteration_on_leaves_out_what_was_before(store, everything, name):
    last = 4  # the second evaluation
    assert everything[name] and asked(store, name, since=last + 1, max_rows=1000) == []


def test_an_answer_is_cut_at_the_rows_asked_for(store, everything):
    for rows in (1, len(everything["states"])):
        cut = answer(store, named_query("states"), max_rows=rows)
        assert (len(cut.rows), cut.is_cut) == (rows, rows == 1)


def test_hard_questions(store):
    assert {(r["run"], r["state"]): r["questions"] for r in asked(store, "states")} == {
        ("large-0", "open"): 1,
        ("small-0", "control"): 2,
        ("small-0", "learned"): 1,
        ("small-0", "regressed"): 1,
        ("small-0", "retired"): 1,
        ("small-0", "open"): 1,
        ("small-0", "no_teacher_solves_it"): 1,
        ("small-0", "sourcing"): 1,
        ("small-0", "queued"): 1,
        ("small-0", "solved"): 1,
    }
    unsolved = asked(store, "unsolved", run="small-0")
    assert unsolved[0]["question_id"] == IN_VAIN.id and unsolved[0]["times_unsolved"] == 5
    assert len(unsolved) == 7
    # The demonstration of OPEN left the buffer, but nobody need ask for one; SOURCING is hard in both runs.
    assert {r["question_id"]: r["runs"] for r in asked(store, "open")} == {REFUSED.id: 1, SOURCING.id: 2}
    assert [(r["question_id"], r["waits_since"], r["iterations_waited"]) for r in asked(store, "waiting")] == [
        (QUEUED.id, 1, 3),
        (REGRESSED.id, 2, 2),
    ]
    assert [(r["question_id"], r["times_taught"]) for r in asked(store, "unsolved-after-three")] == [(IN_VAIN.id, 3)]
    assert {(r["question_id"], r["last_accuracy"]) for r in asked(store, "solved-by-rl")} == {
        (OTHER_CONTROL.id, 0.5),
        (SOLVED.id, 0.5),
    }
    assert [(r["hard"], r["sampled"], r["unsolved"], r["taught"], r["learned"]) for r in asked(store, "sources")] == [
        (1, 2, 1, 0, 0),
        (10, 12, 7, 3, 1),
    ]
    assert [(r["run"], r["questions"], r["hardest"], r["hard"]) for r in asked(store, "difficulty")] == [
        ("large-0", 2, 0.5, 0.0),
        ("small-0", 22, 16 / 22, 1 / 22),
    ]


def test_did_teaching_work(store):
    taught, control, difference = asked(store, "lift")
    assert [(r["run"], r["distance"], r["part"]) for r in (taught, difference)] == [
        ("small-0", 1, "taught"),
        ("small-0", 1, "difference"),
    ]
    # 0.5, 1 and 0 have the standard deviation 0.5, so the standard error 0.5 / sqrt 3: the interval reaches both ends.
    assert [taught[c] for c in ("questions", "rate_before", "rate", "low", "high")] == [3, 0, 0.5, 0, 1]
    # 0 and 1/8: standard deviation sqrt 2 / 16, standard error 1/16. sqrt(1/12 + 1/256) = 0.29536.
    assert [control[c] for c in ("questions", "rate", "low")] == [2, 1 / 16, 0]
    assert control["high"] == pytest.approx(1 / 16 + 1.96 / 16, abs=1e-4)
    # One source and one anchor: a taught question weighs 2/5, a control 3/5. Of the squared distances to the own side's
    # mean that is 0.08 + 0.0028125; over (6/5) ** 2, times 5 questions over 5 - 2, the root is 0.30959.
    assert difference["rate"] == pytest.approx(0.5 - 1 / 16)
    assert difference["low"] == pytest.approx(0.4375 - 1.96 * 0.30959, abs=1e-4)
    assert difference["high"] == pytest.approx(0.4375 + 1.96 * 0.30959, abs=1e-4)
    assert [(r["question_id"], r["state"], r["times_taught"]) for r in asked(store, "taught", since=1)] == [
        (IN_VAIN.id, "retired", 3)
    ]
    effects = asked(store, "effect")
    assert [r["fall"] for r in effects] == [1.5, 1.5, 1.5, 1.25, 1.0]
    assert {(r["source"], r["state"]) for r in effects} == {
        ("dataset", "learned"),
        ("dataset", "retired"),
        ("api/big", "regressed"),
    }
    assert [(r["question_id"], r["last_solved"], r["last_sampled"]) for r in asked(store, "regressions")] == [
        (REGRESSED.id, 1, 2)
    ]
    assert [(r["question_id"], r["best_accuracy"], r["times_taught"]) for r in asked(store, "forgetting")] == [
        (REGRESSED.id, 1.0, 1),
        (HELD_OUT[1].id, 0.125, 0),
    ]
    matrix = ("from_band", "questions", "easy", "medium", "hard", "hardest")
    third = pytest.approx(1 / 3)
    assert [tuple(r[c] for c in ("from", "to", *matrix)) for r in asked(store, "transitions")] == [
        (0, 4, "easy", 1, 1, 0, 0, 0),
        (0, 4, "medium", 1, 1, 0, 0, 0),
        (0, 4, "hardest", 3, third, third, 0, third),
    ]
    assert [tuple(r[c] for c in matrix) for r in asked(store, "noise", since=0) if r["iteration"] == 0] == [
        ("easy", 1, 1, 0, 0, 0),
        ("medium", 1, 0, 1, 0, 0),
        ("hardest", 3, 0, 0, third, pytest.approx(2 / 3)),
    ]


def test_teachers_and_money(store):
    (teacher,) = asked(store, "teacher")
    assert (teacher["requests"], teacher["answered"], teacher["questions_solved"]) == (3, 2, 1)
    assert (teacher["cost_usd"], teacher["unanswered_usd"]) == (pytest.approx(0.04), pytest.approx(0.05))
    value = {r["source"]: r for r in asked(store, "teacher-value")}
    assert value.keys() == {"dataset", "api/big"}
    assert [value["dataset"][c] for c in ("offered", "admitted", "taught", "learned", "regressed", "cost_usd")] == [
        6, 6, 2, 1, 0, 0,
    ]  # fmt: skip
    assert [value["api/big"][c] for c in ("offered", "admitted", "taught", "learned", "regressed")] == [2, 1, 1, 0, 1]
    assert value["api/big"]["cost_usd"] == pytest.approx(0.09) and value["api/big"]["learned_per_usd"] == 0
    assert value["dataset"]["learned_per_usd"] is None
    assert [(r["source"], r["kind"], r["demonstrations"]) for r in asked(store, "refusals")] == [
        ("api/big", "wrong", 1)
    ]
    (cost,) = asked(store, "cost")
    assert (cost["minutes"], cost["sampled_tokens"], cost["trained_tokens"]) == (4, 48, 35)
    assert (cost["taught"], cost["usd"], cost["control_usd"]) == (5, pytest.approx(0.04), 0)


def test_can_the_data_be_trusted(store):
    (suspicious,) = asked(store, "suspicious-golds")
    assert (suspicious["question_id"], suspicious["gold"], suspicious["other"]) == (WRONG_GOLD.id, "7", "8")
    assert (suspicious["agreeing"], suspicious["rollouts"], suspicious["correct"]) == (7, 8, 1)
    (twins,) = asked(store, "duplicates")
    assert (twins["ids"], twins["other_gold"], twins["train_and_held_out"], twins["golds"]) == (2, True, True, "8 | 9")
    assert TWIN.id in query(store, "SELECT question_id FROM questions WHERE answer = '9'").rows[0]
    assert {r["question_id"] for r in asked(store, "quarantined")} == {UNREADABLE.id}
    assert [(r["question_id"], r["truncated"], r["called_hardest"]) for r in asked(store, "truncations")] == [
        (CUT.id, 6, False)
    ]
    assert [r["seconds"] for r in asked(store, "slowest-verdicts")][:8] == [1.5] * 7 + [0.0]
    statuses = {r["run"]: r for r in asked(store, "statuses")}
    assert statuses["small-0"]["truncated"] == 6 / (22 * 8) and statuses["large-0"]["correct"] == 0.5


def test_runs(store):
    assert [(r["run"], r["base_model"], r["iterations"], r["hard"], r["learned"]) for r in asked(store, "runs")] == [
        ("small-0", "small-1.5b", 4, 10, 1),
        ("large-0", "large-7b", None, 1, 0),
    ]
    assert [(r["iteration"], r["avg_at_k"], round(r["gain"], 6)) for r in asked(store, "evaluations")] == [
        (0, 0.3, 0.0),
        (4, 0.7, 0.4),
    ]
    assert [(r["iteration"], r["kind"]) for r in asked(store, "updates", since=2)] == [(2, "rl"), (2, "sft"), (3, "rl")]
    assert [(r["fails"], r["solves"], r["question_id"]) for r in asked(store, "solved-by-another-model")] == [
        ("small-1.5b", "large-7b", OPEN.id)
    ]


def test_names_and_runs_that_are_not_there_are_answered_with_those_that_are(store):
    with pytest.raises(LedgerError, match=r"no query named 'solved'.*Did you mean 'unsolved'.*states.*unsolved"):
        named_query("solved")
    with pytest.raises(LedgerError, match=r"No run is called 'small-9'. There are: large-0, small-0\."):
        answer(store, named_query("states"), run="small-9")
    with pytest.raises(LedgerError, match=r"'; DROP TABLE runs"):
        answer(store, named_query("states"), run="'; DROP TABLE runs; --")
    with pytest.raises(LedgerError, match=r"'states' does not ask by iteration, so since=3 would change nothing"):
        answer(store, named_query("states"), since=3)


def test_an_answer_is_written_whole_as_csv_json_and_parquet(store, tmp_path):
    named = named_query("effect")
    expected = asked(store, "effect", max_rows=1000)
    stream = io.StringIO()
    write_answer(store, named, Form.JSON, stream)
    assert json.loads(stream.getvalue()) == expected
    write_answer(store, named, Form.CSV, tmp_path / "effect.csv", max_rows=2)
    with (tmp_path / "effect.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["demonstration_id"] for row in rows] == [row["demonstration_id"] for row in expected[:2]]
    write_answer(store, named, Form.PARQUET, tmp_path / "effect.parquet", run="small-0")
    found = duckdb.sql(f"SELECT demonstration_id, fall FROM '{tmp_path}/effect.parquet'").fetchall()
    assert found == [(row["demonstration_id"], row["fall"]) for row in expected]
    assert demonstration(LEARNED).id in {row[0] for row in found}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["effect.csv", "effect.parquet"]


@pytest.mark.parametrize("form", [Form.CSV, Form.PARQUET])
def test_a_file_that_cannot_be_written_is_said_and_leaves_nothing(store, tmp_path, form):
    with pytest.raises(LedgerError, match=r"could not be written to .*absent.*Name a file in a folder"):
        write_answer(store, named_query("states"), form, tmp_path / "absent" / "states.csv")
    assert list(tmp_path.iterdir()) == []
