"""The rule guided in a run: what it asks, what is trained on and counted, and that a kill changes nothing of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.interleave import is_control
from relift.interleave.rules.guided import GuidedRule
from relift.interleave.steps import steps_of
from relift.ledger import Ledger
from relift.ledger.check import check
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.phases.batch import guided_groups
from relift.phases.trial import trials_of
from relift.rebuild.rebuild import rebuild
from relift.records import PhaseRef, Prefix
from relift.run.recorded import GateRecord, RolloutRecord, TrialRecord, UpdateRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import PHASES, Outcome, drive_and_keep, keep_copy, require_same_end

SHARE = 0.2
SETTINGS = (
    "teach.rule.kind=guided",
    "teach.rule.questions=3",
    "teach.rule.batch_size=2",
    "questions.count=40",
    "questions.families.mul2=100000",
    "questions.batch_size=8",
    "rl.questions_per_update=4",
    "rollout.max_tokens=48",
    f"teach.control_share={SHARE}",
    "checkpoint.every=2",
    "evaluation=off",
)
KILLED_IN, END = 3, 6


def ref(run: Run, iteration: int, phase: str) -> PhaseRef:
    key = phase_key(iteration, phase)
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key))


def prefixes(run: Run, iteration: int) -> tuple[Prefix, ...]:
    return read(run.store, phase_key(iteration, "rollout"), RolloutRecord).guided


def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(opener: Opener, tmp_path: Path) -> None:
    run = opener(*SETTINGS)
    purposes = set[str]()

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            purposes.update(prefix.purpose for prefix in prefixes(run, iteration))
            keep_copy(run, tmp_path / f"after {phase}")

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    recorded = tmp_path / "after trial" / phase_key(KILLED_IN, "trial") / "manifest.json"
    assert recorded.exists() and purposes == {"guided", "unguided"}, "too little happens to show anything"
    run.__exit__()
    phases = (*(phase for phase in PHASES if phase not in ("probe", "report_iteration")), "trial")
    require_same_end(
        opener, SETTINGS, run.root, {phase: tmp_path / f"after {phase}" for phase in phases}, expected, END
    )


def test_what_is_guided_is_asked_as_it_is_too_and_is_a_use_of_the_rl_update_and_no_more(opener: Opener) -> None:
    run = opener(*SETTINGS)
    drive(run, END, checkpoints=False)
    uses = Counter[tuple[int, str, int]]()
    texts = dict(run.ledger.execute("SELECT demonstration_id, text FROM demonstrations"))
    first: dict[str, int] = {}
    steps = 0
    for iteration in range(END):
        batch = {question.id for question in run.order.batch(iteration)}
        guided = [prefix for prefix in prefixes(run, iteration) if prefix.token_ids]
        plain = {prefix.question_id for prefix in prefixes(run, iteration) if not prefix.token_ids}
        assert len(guided) <= 3 and {prefix.question_id for prefix in guided} <= plain | batch and not plain & batch
        for prefix in guided:
            assert prefix.demonstration_id
            given, text = run.student.decode(prefix.token_ids), texts[prefix.demonstration_id]
            assert (
                text.startswith(given) and given.endswith("=") and len(steps_of(given, "=")) < len(steps_of(text, "="))
            )
            uses[iteration, prefix.demonstration_id, len(prefix.token_ids)] += 1
            first.setdefault(prefix.question_id, iteration)
        update = read(run.store, phase_key(iteration, "rl_update"), UpdateRecord)
        steps += sum(report.steps for report in update.reports)
    told = "SELECT iteration, demonstration_id, prefix_tokens FROM uses WHERE kind = 'rl'"
    assert Counter(run.ledger.execute(told)) == uses and sum(uses.values()) > 5
    assert steps, "an update without a step shows nothing"
    anchors = run.interleaving.probes.snapshot().taught
    assert all(anchors[question] <= iteration for question, iteration in first.items())
    by_sft = {q for (q,) in run.ledger.execute("SELECT question_id FROM uses WHERE kind = 'sft'")}
    assert all(anchors[question] == iteration for question, iteration in first.items() if question not in by_sft)
    used = {demonstration for _, demonstration, _ in uses}
    assert used <= set(run.interleaving.taught)
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_what_was_solved_with_its_beginning_alone_is_not_learned(opener: Opener) -> None:
    run = opener(*SETTINGS, "sft=off")
    drive(run, END, checkpoints=False)
    solved = "SELECT DISTINCT question_id FROM groups WHERE correct > 0 AND purpose"
    with_it = {q for (q,) in run.ledger.execute(f"{solved} IN ('guided', 'prefix_search', 'unguided')")}
    alone = {q for (q,) in run.ledger.execute(f"{solved} IN ('train', 'probe')")}
    states = dict(run.ledger.execute("SELECT question_id, state FROM hard_examples"))
    assert with_it - alone, "too little happens to show anything"
    assert all(states[question] not in ("learned", "solved", "regressed") for question in with_it - alone)
    (train,) = run.ledger.execute("SELECT sum(correct) FROM groups WHERE purpose = 'train'")
    assert run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations") == [train]
    own = {entry.question_id for entry in run.interleaving.own_correct.entries}
    assert own <= alone


def test_no_control_is_guided_searched_for_or_shown(opener: Opener) -> None:
    run = opener(*SETTINGS, "teach.control_share=0.5")
    drive(run, END, checkpoints=False)
    controls = shown = 0
    for iteration in range(END):
        controls += len(read(run.store, phase_key(iteration, "gate"), GateRecord).decision.control)
        asked = list(prefixes(run, iteration))
        if run.store.manifest(phase_key(iteration, "trial")):
            rounds = read(run.store, phase_key(iteration, "trial"), TrialRecord).rounds
            asked += [prefix for prefixes_ in rounds for prefix in prefixes_]
        shown += len(asked)
        assert not any(is_control(prefix.question_id, 0.5) for prefix in asked)
    assert controls and shown
    assert not any(is_control(q, 0.5) for (q,) in run.ledger.execute("SELECT question_id FROM uses"))


def test_its_ledger_is_made_again_from_the_recordings_alone(opener: Opener) -> None:
    run = opener(*SETTINGS)
    drive(run, END, checkpoints=False)
    tables = ("groups", "attempts", "uses", "updates", "demonstrations")
    rows = lambda ledger: {t: ledger.execute(f"FROM {t} ORDER BY ALL") for t in tables}  # noqa: E731
    root, expected = run.root, rows(run.ledger)
    assert {"guided", "unguided", "prefix_search"} <= {purpose for _, _, purpose, *_ in expected["groups"]}
    run.__exit__()
    for name in (LEDGER, SNAPSHOT):
        (root / name).unlink(missing_ok=True)
    assert rebuild(root).is_changed
    with Ledger.open(root / LEDGER, root.name) as ledger:
        assert rows(ledger) == expected


def test_the_search_and_the_groups_come_back_as_the_rule_asked_for_them(opener: Opener) -> None:
    run = opener(*SETTINGS)
    drive(run, END, checkpoints=False)
    found = 0
    for iteration in range(END):
        groups = guided_groups(run, ref(run, iteration, "rollout"), ref(run, iteration, "verify"))
        assert [group.prefix for group in groups] == list(prefixes(run, iteration))
        if run.store.manifest(phase_key(iteration, "trial")):
            tried = trials_of(run, ref(run, iteration, "trial"))
            found += sum(not one.group.is_unsolved for one in tried)
            assert all(one.prefix.given >= 1 and len(one.group.rollouts) == 4 for one in tried)
    rule = run.interleaving.rule.rule
    assert isinstance(rule, GuidedRule) and found and (rule.guided or rule.failed)


def test_a_tokenizer_that_cannot_write_the_words_around_a_beginning_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"teach.rule.in_question.*cannot write"):
        opener(*SETTINGS, "teach.rule.in_question=true")


def test_guidance_without_an_rl_update_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigError, match="guided' teaches by the RL update"):
        opener(*SETTINGS, "rl=off")


def test_completions_that_no_beginning_leaves_a_token_of_are_refused_before_work_starts(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"rollout.max_tokens=4.*no beginning"):
        opener(*SETTINGS, "rollout.max_tokens=4")
