"""switch, insert and mixed in a run: taught in the iteration that asks, no control ever, and the same run after a kill
in any phase of an iteration in which they teach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from relift.interleave import ALL_KEPT, is_control
from relift.ledger.check import check
from relift.phases.batch import batch_of
from relift.phases.rl_update import fates_of, recorded_fates, recorded_rows
from relift.run.recorded import GateRecord, UpdateRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import Outcome, drive_and_keep, keep_copy, require_same_end
from tests.phases.test_own_rules import SETTINGS as SMALL
from tests.phases.test_own_rules import SHARE, ref

KINDS = {
    "switch": "{ kind = 'switch', weight = 0.5 }",
    "insert": "{ kind = 'insert', on = 'all' }",
    "mixed": "{ kind = 'mixed', decay_share = 1.0, token_weights = 'p(1-p)' }",
}
KILLED_IN, END = 3, 5


def settings(kind: str) -> tuple[str, ...]:
    return (*SMALL, "sft=off", f"teach.rule={KINDS[kind]}", "rollout.temperature=0.9")


def taught(run: Run, iterations: int) -> list[tuple[int, str]]:
    return [(i, q) for i in range(iterations) for q in recorded_fates(run, i).taught]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_after_any_phase_of_an_iteration_that_teaches_it_ends_as_the_uninterrupted_run(
    kind: str, opener: Opener, tmp_path: Path
) -> None:
    kept: Callable[[str], Path] = lambda phase: tmp_path / f"after {phase}"  # noqa: E731
    run = opener(*settings(kind))

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            keep_copy(run, kept(phase))

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    assert {KILLED_IN - 1, KILLED_IN} <= {i for i, _ in taught(run, END)}, "too little happens to show anything"
    run.__exit__()
    phases = ("rollout", "gate", "source", "rl_update", "checkpoint")
    require_same_end(opener, settings(kind), run.root, {phase: kept(phase) for phase in phases}, expected, END)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_taught_was_asked_for_in_the_same_iteration_and_is_a_use_each_and_never_a_controls(
    kind: str, opener: Opener
) -> None:
    run = opener(*settings(kind))
    drive(run, END, checkpoints=False)
    expected = taught(run, END)
    uses = run.ledger.execute("SELECT iteration, question_id, kind, version FROM uses")
    assert expected and sorted((i, q) for i, q, *_ in uses) == sorted(expected)
    assert {use[2] for use in uses} == {"rl"}
    assert not any(is_control(question, SHARE) for _, question in expected)
    controls = 0
    for iteration in range(END):
        decision = read(run.store, phase_key(iteration, "gate"), GateRecord).decision
        controls += len(decision.control)
        groups = batch_of(run, iteration, ref(run, iteration, "rollout"), ref(run, iteration, "verify")).groups
        improvable = {group.question.id for group in groups if group.accuracy < 1}
        wanted = {q for q in improvable if not is_control(q, SHARE)} if kind == "insert" else set(decision.hardest)
        now = {question for i, question in expected if i == iteration}
        assert now == wanted - set(decision.control), "the data set has a solution of each"
        rows = recorded_rows(run, phase_key(iteration, "rl_update"))
        assert {row["question_id"] for row in rows} == now
    assert controls, "too little happens to show anything"
    assert len(run.interleaving.buffer) == 0
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_a_group_that_is_switched_is_in_no_denominator_and_its_demonstration_is(opener: Opener) -> None:
    run = opener(*settings("switch"))
    drive(run, END, checkpoints=False)
    rows = run.ledger.execute("SELECT iteration, sequences FROM updates WHERE kind = 'rl' ORDER BY iteration")
    assert len(rows) == END
    for iteration, sequences in rows:
        fates = recorded_fates(run, iteration)
        batch = batch_of(run, iteration, ref(run, iteration, "rollout"), ref(run, iteration, "verify"))
        kept = [group for group in batch.groups if group.question.id not in fates.dropped]
        assert set(fates.dropped) == set(fates.taught)
        graded = sum(rollout.reward is not None for group in kept for rollout in group.rollouts)
        assert sequences == graded + len(fates.taught)


def test_mu_is_recorded_as_it_falls_with_the_run(opener: Opener) -> None:
    run = opener(*settings("mixed"))
    drive(run, END, checkpoints=False)
    of_iterations = [recorded_fates(run, i) for i in range(END)]
    total = run.resolved.schedule_iterations
    for iteration, fates in enumerate(of_iterations):
        mu = 0.9 - 0.85 * iteration / total
        assert fates.rl_weight == pytest.approx(1 - mu)
        assert all(answer.weight == pytest.approx(mu) for answer in fates.supervised)


def test_what_the_gate_recorded_once_is_still_what_a_replay_leaves_out(opener: Opener) -> None:
    """Runs of earlier days of this release: the groups' fates stand with the gate."""
    run = opener(*settings("switch"))
    drive(run, 1, checkpoints=False)
    update = read(run.store, phase_key(0, "rl_update"), UpdateRecord)
    assert update.fates != ALL_KEPT
    gate = run.store.manifest(update.gated)
    assert gate is not None
    facts = {**gate.facts, "dropped": ["a"], "joined": ["b"]}
    run.store.publish(update.gated, {}, inputs=gate.inputs, counts=gate.counts, facts=facts)
    tree = json.loads(json.dumps(update.to_json()))
    del tree["redo"]["fates"]
    old = UpdateRecord.from_json(tree)
    assert (fates_of(run, old).dropped, fates_of(run, old).joined) == (("a",), ("b",))


def test_a_budget_of_demonstrations_holds_in_the_rl_update_too(opener: Opener) -> None:
    run = opener(*settings("insert"), "budget.demonstrations=3")
    drive(run, END, checkpoints=False)
    ((distinct,),) = run.ledger.execute("SELECT count(DISTINCT demonstration_id) FROM uses")
    assert distinct == 3
