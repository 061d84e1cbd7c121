"""The rule intervention in a run: what is trained on, what counts where, and going on after a kill in any phase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relift.interleave import is_control
from relift.interleave.steps import steps_of
from relift.ledger.check import check
from relift.phases.sampling import trials_of
from relift.phases.sft_update import OWN_CORRECT, recorded_rows
from relift.phases.updates import DEMONSTRATION
from relift.records import PhaseRef, Purpose
from relift.run.recorded import TrialRecord, UpdateRecord, find, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, driven_run
from tests.phases.test_killed_after_each_phase import OF_A_RULE, Outcome, drive_and_keep, keep_copy, require_same_end

SHARE = 0.2
SETTINGS = (
    "questions.count=60",
    "questions.families.add5=5",
    "questions.batch_size=12",
    "rl.questions_per_update=6",
    "rollout.max_tokens=48",
    "teach.rule.kind=intervention",
    "teach.rule.batch_size=2",
    f"teach.control_share={SHARE}",
    "checkpoint.every=1",
    "evaluation=off",
)
END = 5


@pytest.mark.slow
def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(opener: Opener, tmp_path: Path) -> None:
    run = opener(*SETTINGS)
    expected, kept = kept_in_a_busy_iteration(run, tmp_path)
    require_same_end(opener, SETTINGS, run.root, kept, expected, END)


def kept_in_a_busy_iteration(run: Run, folder: Path) -> tuple[Outcome, dict[str, Path]]:
    """(what the run came to, copies of it by phase of the first iteration after the first in which something is tried
    and something taught); the run is closed."""
    busy = []

    def keep(iteration: int, phase: str) -> None:
        if phase in OF_A_RULE and not busy:
            keep_copy(run, folder / f"{iteration} {phase}")
        made = (phase_key(iteration, each) for each in ("trial", "sft_update"))
        if iteration and phase == "sft_update" and all(run.store.manifest(key) is not None for key in made):
            busy.append(iteration)

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    assert busy, "too little happens to show anything"
    run.__exit__()
    return expected, {phase: folder / f"{busy[0]} {phase}" for phase in OF_A_RULE}


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    yield from driven_run(tmp_path_factory.mktemp("driven"), SETTINGS, END)


def test_what_is_trained_on_is_a_beginning_without_its_end_and_the_ledger_says_so(driven: Run) -> None:
    run, uses = driven, []
    for iteration in range(END):
        key = phase_key(iteration, "sft_update")
        record = find(run.store, key, UpdateRecord)
        rows = recorded_rows(run, key) if record else []
        admitted = admitted_in(run, iteration)
        for row in rows:
            prompt = run.student.prompt(run.questions.by_id[row["question_id"]]).token_ids
            assert tuple(row["token_ids"][: len(prompt)]) == prompt
            assert row["loss_mask"] == [0] * len(prompt) + [1] * (len(row["token_ids"]) - len(prompt))
            ended = row["token_ids"][-1] == run.student.end_id
            assert ended is (row["role"] == OWN_CORRECT)
            if row["role"] == DEMONSTRATION:
                uses.append((iteration, row["demonstration_id"], row["question_id"]))
                text = run.student.decode(row["token_ids"][len(prompt) :])
                solution = run.questions.by_id[row["question_id"]].solution or ""
                assert solution.startswith(text)
                assert text == solution or text in admitted.get(row["question_id"], ()), "taught, and never admitted"
                assert text == solution or "".join(steps_of(text, "=")[-1:]).endswith("=")
        if record:
            taught = [row for row in rows if row["role"] == DEMONSTRATION]
            own = [row for row in rows if row["role"] == OWN_CORRECT]
            assert len(taught) == 2 and own, "own correct rollouts are mixed in"
    assert len(uses) > 2, "too little happens to show anything"
    assert uses == run.ledger.execute(
        "SELECT iteration, demonstration_id, question_id FROM uses WHERE kind = 'sft' ORDER BY iteration, rowid"
    )
    assert not any(is_control(question, SHARE) for *_, question in uses)
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def admitted_in(run: Run, until: int) -> dict[str, set[str]]:
    """Targets of which a continuation was right, by question, of an iteration and those before it."""
    found: dict[str, set[str]] = {}
    for iteration in range(until + 1):
        key = phase_key(iteration, "trial")
        if run.store.manifest(key) is None:
            continue
        assert read(run.store, key, TrialRecord).purpose is Purpose.CONTINUATION
        for tried in trials_of(run, PhaseRef(key=key, sha256=run.store.manifest_sha256(key))):
            assert len(tried.group.rollouts) == 4 and not is_control(tried.group.question.id, SHARE)
            if not tried.group.is_unsolved:
                found.setdefault(tried.group.question.id, set()).add(run.student.decode(tried.prefix_ids))
    return found


def test_continuations_count_for_nothing_but_the_rule(driven: Run) -> None:
    run = driven
    right, tried = run.ledger.execute("SELECT sum(correct), sum(rollouts) FROM groups WHERE purpose = 'continuation'")[
        0
    ]
    assert tried > 8 and right, "too little happens to show anything"
    (own,) = run.ledger.execute("SELECT sum(correct) FROM groups WHERE purpose = 'train'")
    assert [own] == run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations")
    solved = run.ledger.execute("SELECT DISTINCT question_id FROM groups WHERE purpose = 'train' AND correct > 0")
    pool = {entry.question_id for entry in run.interleaving.own_correct.entries}
    assert pool and pool <= {question for (question,) in solved}
