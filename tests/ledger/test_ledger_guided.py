"""What was sampled after a given prefix, or asked beside the batch, says nothing of the question in the batch: no view
and no query but guidance counts it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relift.ledger import Ledger, named_queries
from relift.ledger.browsing import read_entries
from relift.ledger.project import open_file
from relift.ledger.schema import SNAPSHOT
from relift.ledger.sql import views_sql
from relift.records import DemonstrationKind, Purpose
from tests.ledger.ledger_histories import demonstration, group, question
from tests.ledger.ledger_small import HELD_OUT, REFUSED, TRAINING, write_small_project
from tests.ledger.test_ledger_cookbook import RECIPES

OF_ALL = {"slowest-verdicts", "guidance", "group_results"}
"""About the verifier, whatever it was asked about; about guidance; and what a group of any purpose is."""
VIEWS = re.findall(r"CREATE VIEW (\w+)", views_sql())
BESIDE = (Purpose.GUIDED, Purpose.UNGUIDED, Purpose.PREFIX_SEARCH, Purpose.CONTINUATION, Purpose.IN_VIEW)


def everything(path: Path) -> dict[str, Any]:
    with open_file(path) as connection:
        found = {view: connection.execute(f"FROM {view} ORDER BY ALL").fetchall() for view in VIEWS}
        found |= {q.name: connection.execute(q.sql).fetchall() for q in named_queries()}
        found |= {title: sorted(connection.execute(sql).fetchall(), key=repr) for title, sql in RECIPES}
    return {name: rows for name, rows in found.items() if name not in OF_ALL}


def test_a_view_that_is_new_is_looked_at_here() -> None:
    assert {"hard_examples", "plain_groups", "plain_attempts", "lift", "probes", "transitions"} < set(VIEWS)


@pytest.mark.parametrize("purpose", BESIDE)
@pytest.mark.parametrize("marks", ["++++++++", "--------", "tttttttt"])
def test_no_view_and_no_query_changes_by_what_was_sampled_beside_the_batch(
    tmp_path: Path, marks: str, purpose: Purpose
) -> None:
    path = write_small_project(tmp_path) / "small-0" / "ledger.duckdb"
    before, shown = everything(path), read_entries(path.parent.parent)
    assert all(rows for name, rows in before.items() if name in VIEWS), "a view without rows shows nothing"
    with Ledger.open(path, "small-0") as ledger:
        (last,) = ledger.execute("SELECT max(iteration), max(policy_version) FROM groups")
        for iteration in range(last[0] + 1):
            groups = [group(asked, marks, version=last[1]) for asked in (*TRAINING, *HELD_OUT)]
            ledger.record_attempts(f"{iteration}/gate/{purpose}", iteration, groups, purpose=purpose)
        assert ledger.execute("SELECT count(*) FROM groups WHERE purpose = ?", [purpose.value])[0][0] > 40
        ledger.publish(path.with_name(SNAPSHOT))
    assert read_entries(path.parent.parent) == shown
    for name, rows in everything(path).items():
        assert rows == before[name], name


def test_a_step_that_was_set_right_is_no_solution_of_its_question(tmp_path: Path) -> None:
    path = write_small_project(tmp_path) / "small-0" / "ledger.duckdb"
    (query,) = (named.sql for named in named_queries() if named.name == "open")
    with Ledger.open(path, "small-0") as ledger:
        asked = ledger.execute(query)
        step = replace(demonstration(REFUSED, text="=3"), kind=DemonstrationKind.INTERVENTION)
        ledger.record_demonstrations("3/source", 3, [step])
        assert REFUSED.id in {row[0] for row in asked} and ledger.execute(query) == asked


@pytest.mark.parametrize(("first_hardest", "first_use"), [(0, 0), (1, 0), (None, 0), (0, -1)])
def test_lift_is_not_defined_where_nothing_was_called_hardest_before_it_was_taught(
    tmp_path: Path, first_hardest: int | None, first_use: int
) -> None:
    """As after a warm start on all questions, taught again or not; the same two are compared where it was."""
    taught, control = question("47*6?"), question("58*3?", "174")
    with Ledger.open(tmp_path / "ledger.duckdb", "a") as ledger:
        ledger.record_questions("q", [taught, control], "train")
        for iteration in (0, 1):
            hardest = [control.id] + [taught.id] * (first_hardest is not None and first_hardest <= iteration)
            groups = [group(taught, "----" if taught.id in hardest else "+---"), group(control, "----")]
            ledger.record_attempts(
                f"{iteration}/gate", iteration, groups, purpose=Purpose.TRAIN, hardest=hardest, control=[control.id]
            )
        ledger.record_demonstrations("0/source", 0, [demonstration(taught), demonstration(control)])
        use = "INSERT INTO uses VALUES ('a', ?, 'sft', 1, ?, ?, NULL, NULL, NULL)"
        for iteration in {0, first_use}:
            ledger.execute(use, [iteration, demonstration(taught).id, taught.id])
        probed = [group(taught, "++++", version=1), group(control, "+---", version=1)]
        ledger.record_attempts("2/probe", 2, probed, purpose=Purpose.PROBE)
        ((lift, compared, left_out),) = ledger.execute("SELECT lift, taught_questions, left_out FROM lift")
        (query,) = (named.sql for named in named_queries() if named.name == "lift")
        parts = {part: rate for _, _, part, _, _, rate, _, _ in ledger.execute(query)}
    if first_hardest == first_use == 0:
        assert (lift, compared, left_out) == (0.75, 1, 0) and parts["difference"] == 0.75
    else:
        assert (lift, compared, left_out) == (None, 0, 2) and parts["difference: not defined"] is None


def test_what_the_solutions_of_controls_cost_is_told_apart(tmp_path: Path) -> None:
    taught, control = question("47*6?"), question("58*3?", "174")
    with Ledger.open(tmp_path / "ledger.duckdb", "a") as ledger:
        groups = [group(taught, "----"), group(control, "----")]
        both = [taught.id, control.id]
        ledger.record_attempts("0/gate", 0, groups, purpose=Purpose.TRAIN, hardest=both, control=[control.id])
        bought = [replace(demonstration(q), cost_usd=usd) for q, usd in ((taught, 0.5), (control, 0.25))]
        ledger.record_demonstrations("0/source", 0, bought)
        (query,) = (named.sql for named in named_queries() if named.name == "cost")
        ((*_, usd, control_usd),) = ledger.execute(query)
        assert (usd, control_usd) == (0.75, 0.25)


def test_a_question_solved_only_with_a_prefix_does_not_become_learned_or_solved(tmp_path: Path) -> None:
    taught, untaught = question("47*6?"), question("58*3?", "174")
    with Ledger.open(tmp_path / "ledger.duckdb", "a") as ledger:
        ledger.record_questions("q", [taught, untaught], "train")
        both = [taught.id, untaught.id]
        ledger.record_attempts(
            "0/gate", 0, [group(taught, "----"), group(untaught, "----")], purpose=Purpose.TRAIN, hardest=both
        )
        ledger.record_demonstrations("0/source", 0, [demonstration(taught)])
        ledger.execute(
            "INSERT INTO uses VALUES ('a', 0, 'sft', 1, ?, ?, NULL, NULL, NULL)", [demonstration(taught).id, taught.id]
        )
        guided = [group(taught, "++++", version=1), group(untaught, "++++", version=1)]
        for purpose in BESIDE:
            ledger.record_attempts(f"1/gate/{purpose}", 1, guided, purpose=purpose)
        state = "SELECT question_id, state, last_accuracy, times_sampled FROM hard_examples"
        assert sorted(ledger.execute(state)) == sorted([(taught.id, "taught", 0.0, 1), (untaught.id, "open", 0.0, 1)])
        ledger.record_attempts("2/gate", 2, [group(taught, "+---", version=1)], purpose=Purpose.TRAIN)
        assert (taught.id, "learned", 0.25, 2) in ledger.execute(state)
