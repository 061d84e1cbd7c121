"""The rule self-distil in a run: what is measured, taught and counted, and that a kill changes nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from relift.errors import ConfigError, SelfCheckFailed
from relift.interleave import is_control
from relift.interleave.rules.self_distil import IN_VIEW, SelfDistilRule
from relift.learning import beside
from relift.learning.passes import Forward
from relift.learning.throughput import forward_flops, update_flops
from relift.ledger import Ledger
from relift.ledger.check import check
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.phases.prompts import prefix_of
from relift.phases.rl_update import recorded_fates
from relift.policy.weights import weights_checksum
from relift.rebuild.rebuild import rebuild
from relift.records import Purpose, TrainingSequence
from relift.run.recorded import GateRecord, TrialRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import PHASES, Outcome, drive_and_keep, keep_copy, require_same_end

RULE = "teach.rule={ kind = 'self-distil', gap_questions = 4 }"
KILLED_IN, END = 1, 3


def distilled(run: Run) -> list[tuple[int, str]]:
    return [(i, answer.question_id) for i in range(END) for answer in recorded_fates(run, i).distilled]


def trials(run: Run) -> list[TrialRecord]:
    keys = [phase_key(iteration, "trial") for iteration in range(END)]
    return [read(run.store, key, TrialRecord) for key in keys if run.store.manifest(key)]


def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(guesser: Opener, tmp_path: Path) -> None:
    settings = ("teach.rule={ kind = 'self-distil', gap_questions = 6 }", "rollout.temperature=0.9")
    run = guesser(*settings)

    found = {"measured": set[int](), "taught": set[int]()}

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            keep_copy(run, tmp_path / f"after {phase}")
        if phase == "trial" and run.store.manifest(phase_key(iteration, "trial")):
            found["measured"].add(iteration)
        if phase == "rl_update" and recorded_fates(run, iteration).distilled:
            found["taught"].add(iteration)

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    assert KILLED_IN in found["measured"] and found["taught"] >= {KILLED_IN - 1, KILLED_IN}, "too little happens"
    run.__exit__()
    unseen = ("probe", "sft_update", "report_iteration")
    kept = {phase: tmp_path / f"after {phase}" for phase in (*PHASES, "trial") if phase not in unseen}
    require_same_end(guesser, settings, run.root, kept, expected, END)


def test_the_gap_is_measured_by_the_start_model_before_it_teaches_and_counts_for_nothing_but_the_budget(
    guesser: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    run = guesser(RULE)
    with caplog.at_level(logging.INFO, logger="relift"):
        drive(run, END, checkpoints=False)
    assert "with the demonstration in view" in caplog.text
    first, rule = trials(run)[0], run.interleaving.rule.rule
    assert first.policy_version == 0 and first.purpose is Purpose.IN_VIEW and len(first.rounds) == 2
    assert [p.question_id for p in first.rounds[0]] == [p.question_id for p in first.rounds[1]]
    assert all(prefix.prompt_ids for prefix in first.rounds[0]) and not any(p.prompt_ids for p in first.rounds[1])
    assert isinstance(rule, SelfDistilRule) and len(rule.measured) == 4
    half = "count(*) FILTER (status = 'correct' AND sample {} 4) / 4"
    which = "FROM attempts WHERE purpose = 'in_view' GROUP BY question_id"
    told = run.ledger.execute(f"SELECT question_id, {half.format('<')}, {half.format('>=')} {which}")
    assert {question: (seen, alone) for question, seen, alone in told} == rule.measured
    assert sum(seen - alone for seen, alone in rule.measured.values()) > 1, "it has learned to copy"
    ((train,), (all_of_them,)) = [
        run.ledger.execute(f"SELECT sum(rollouts) FROM groups WHERE purpose {which}")[0]
        for which in ("= 'train'", "<> 'probe'")
    ]
    assert run.spent.rollouts == all_of_them == train + 2 * 4 * 4
    correct = "SELECT sum(correct) FROM groups WHERE purpose = 'train'"
    assert run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations") == run.ledger.execute(correct)


def test_what_is_taught_is_a_use_each_and_no_target_and_never_a_controls(guesser: Opener) -> None:
    run = guesser(RULE, "teach.control_share=0.4")
    drive(run, END, checkpoints=False)
    taught = distilled(run)
    uses = run.ledger.execute("SELECT iteration, question_id, kind, prefix_tokens FROM uses ORDER BY iteration, rowid")
    assert taught and [(i, q) for i, q, *_ in uses] == taught
    assert {(kind, tokens) for *_, kind, tokens in uses} == {("rl", None)}, "they wait no longer"
    reported = run.ledger.execute("SELECT sum(taught) FROM iterations")
    assert reported == [(len(taught),)] and run.spent.demonstrations == len({q for _, q in taught})
    controls = sum(len(read(run.store, phase_key(i, "gate"), GateRecord).decision.control) for i in range(END))
    asked = [prefix.question_id for record in trials(run) for prefixes in record.rounds for prefix in prefixes]
    assert controls and asked and not any(is_control(q, 0.4) for q in (*asked, *(q for _, q in taught)))
    rows = run.ledger.execute("SELECT sequences FROM updates WHERE kind = 'rl' ORDER BY iteration")
    graded = run.ledger.execute("SELECT sum(graded) FROM groups WHERE purpose = 'train' GROUP BY iteration ORDER BY 1")
    more = sum(sequences for (sequences,) in rows) - sum(count for (count,) in graded)
    assert more == len(taught) * run.config.rollout.samples, "each rollout of theirs once more"
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_the_teacher_is_the_start_model_and_never_moves(guesser: Opener) -> None:
    run, other = guesser(RULE, name="with"), guesser(name="without")
    last, plain = (drive(each, END, checkpoints=False)[-1] for each in (run, other))
    teacher = run.policy.reference
    assert teacher is not None and weights_checksum(teacher) == run.base.checksum
    assert len({last.checksum, plain.checksum, run.base.checksum}) == 3, "what is distilled moves the policy"


@pytest.mark.parametrize("adapters", [(), ("policy.lora={ rank = 4 }", "rl.optimizer.lr=1e-2")])
def test_what_reads_the_demonstration_is_the_start_model_and_what_is_drawn_to_it_the_policy(
    guesser: Opener, monkeypatch: pytest.MonkeyPatch, adapters: tuple[str, ...]
) -> None:
    if adapters:
        pytest.importorskip("peft")
    run = guesser(RULE, *adapters)
    ids = torch.arange(1, 9)[None]
    says = lambda model: model(input_ids=ids).logits.detach().clone()  # noqa: E731
    base, found, likeliest = says(run.policy.model), [], beside._likeliest

    def spy(start: Forward, rollouts: Sequence[TrainingSequence]) -> tuple[torch.Tensor, torch.Tensor]:
        if run.store.manifest(phase_key(0, "rl_update")):
            found.append((says(start.model), rollouts))
        return likeliest(start, rollouts)

    monkeypatch.setattr(beside, "_likeliest", spy)
    versions = drive(run, END, checkpoints=False)
    assert found and versions[0].checksum != run.base.checksum, "too little happens to show anything"
    assert not torch.equal(says(run.policy.model), base)
    assert all(torch.equal(said, base) for said, _ in found), "the policy has moved, and what reads has not"
    solutions = dict(run.ledger.execute("SELECT question_id, text FROM demonstrations"))
    for rollout in (rollout for _, rollouts in found for rollout in rollouts):
        question = run.questions.by_id[rollout.question_id]
        view, plain = rollout.distillation and rollout.distillation.prompt_ids, run.student.prompt(question).token_ids
        assert view and IN_VIEW.format(solutions[question.id]) in run.student.decode(view)
        assert rollout.token_ids[: len(plain)] == plain and rollout.token_ids[: len(view)] != view


def test_without_a_start_model_it_refuses_to_distil_from_the_policy_itself(guesser: Opener) -> None:
    run = guesser(RULE)
    run.policy.reference = None
    with pytest.raises(SelfCheckFailed, match="would be distilled from itself"):
        drive(run, END, checkpoints=False)


def test_the_start_models_pass_over_what_it_reads_is_counted(guesser: Opener) -> None:
    run, plain = guesser(RULE, name="with"), guesser(name="without")
    for each in (run, plain):
        drive(each, 1, checkpoints=False)
    (flops,), (before,) = (
        each.ledger.execute("SELECT flops FROM updates WHERE kind = 'rl' AND iteration = 0")[0] for each in (run, plain)
    )
    model, prompts = run.policy.model, {q.id: len(run.student.prompt(q).token_ids) for q in run.questions.training}
    written = run.ledger.execute(
        "SELECT question_id, tokens FROM attempts WHERE iteration = 0 AND purpose = 'train' AND reward IS NOT NULL"
    )
    asked = recorded_fates(run, 0).distilled
    views = {one.question_id: len(prefix_of(run, "groups", one.prompt).prompt_ids) for one in asked}
    drawn = update_flops(model, [prompts[q] + tokens for q, tokens in written if q in views])
    assert flops - before == pytest.approx(
        drawn + forward_flops(model, [views[q] + n for q, n in written if q in views])
    )


def test_where_the_view_gains_too_little_nothing_is_taught(guesser: Opener, caplog: pytest.LogCaptureFixture) -> None:
    run = guesser("teach.rule={ kind = 'self-distil', gap_questions = 2, least_gap = 1.0 }")
    plain = guesser(name="plain")
    last = drive(run, END, checkpoints=False)[-1]
    assert "it teaches nothing any more" in caplog.text and not distilled(run)
    assert run.ledger.execute("SELECT count(*) FROM uses") == [(0,)]
    assert last.checksum == drive(plain, END, checkpoints=False)[-1].checksum, "it is plain GRPO then"


def test_no_more_demonstrations_are_in_view_than_the_budget_has(guesser: Opener) -> None:
    run = guesser(RULE, "budget.demonstrations=2")
    drive(run, END, checkpoints=False)
    assert len({q for _, q in distilled(run)}) == run.spent.demonstrations == 2
    tried = [{prefix.question_id for prefix in record.rounds[0]} for record in trials(run)]
    assert tried and all(len(questions) <= 2 for questions in tried)


def test_what_was_in_view_waits_no_longer_in_the_ledger_either(guesser: Opener) -> None:
    """What came while the gap was too small is taught once it is wide enough."""
    run = guesser("teach.rule={ kind = 'self-distil', gap_questions = 11, least_gap = 0.51 }")
    drive(run, 6, checkpoints=False)
    late = "SELECT count(*) FROM uses u JOIN entries e USING (demonstration_id) WHERE u.iteration > e.iteration"
    assert run.ledger.execute(late)[0][0], "too little happens to show anything"
    waiting = run.ledger.execute("SELECT question_id FROM hard_examples WHERE is_waiting")
    assert {q for (q,) in waiting} == {entry.question_id for entry in run.interleaving.buffer.waiting}


def test_what_no_step_was_taken_of_is_no_use_and_waits_on(guesser: Opener) -> None:
    run = guesser(RULE, "rl.optimizer.skip_above=1e-9")
    drive(run, 1, checkpoints=False)
    ((_, question), *_) = distilled(run)
    assert run.ledger.execute("SELECT steps FROM updates") == [(0,)] and run.spent.demonstrations == 0
    assert not run.ledger.execute("SELECT * FROM uses") and not run.interleaving.taught
    assert question in {entry.question_id for entry in run.interleaving.buffer.waiting}


def test_of_a_refilled_batch_what_has_no_signal_is_distilled_and_nothing_else_of_it_trained_on(guesser: Opener) -> None:
    settings = (RULE, "sampling.refill.cap=2", "questions.batch_size=4")
    run = guesser(*settings)
    last, samples = drive(run, END, checkpoints=False)[-1], run.config.rollout.samples
    taught = [len(recorded_fates(run, i).distilled) for i in range(END)]
    varied = "SELECT count(*) FILTER (correct BETWEEN 1 AND graded - 1) FROM groups WHERE purpose = 'train'"
    signal = [min(4, count) for (count,) in run.ledger.execute(f"{varied} GROUP BY iteration ORDER BY iteration")]
    sequences = run.ledger.execute("SELECT sequences FROM updates WHERE kind = 'rl' ORDER BY iteration")
    assert sum(taught) and sequences == [(samples * (t + s),) for t, s in zip(taught, signal, strict=True)]
    run.__exit__()
    again = guesser(*settings)
    assert again.policy.at(last) and weights_checksum(again.policy.model) == last.checksum, "replayed from the base"


def test_with_adapters_the_policy_without_them_is_the_teacher(guesser: Opener) -> None:
    pytest.importorskip("peft")
    run = guesser(RULE, "policy.lora={ rank = 4 }", "rl.optimizer.lr=1e-2")
    versions = drive(run, END)
    assert run.policy.reference is None and distilled(run) and versions[-1].number
    run.__exit__()
    again = guesser(RULE, "policy.lora={ rank = 4 }", "rl.optimizer.lr=1e-2")
    assert again.policy.at(versions[-1]) and weights_checksum(again.policy.model) == versions[-1].checksum


def test_after_a_warm_start_the_teacher_is_what_it_came_to(guesser: Opener) -> None:
    run = guesser(RULE, "warm_start={ demonstrations = 8, epochs = 1, minibatch = 8, optimizer = { lr = 1e-3 } }")
    drive(run, END)
    assert distilled(run) and trials(run)[0].policy_version == 1
    teacher = run.policy.reference
    assert teacher is not None and run.has_reference
    assert weights_checksum(teacher) not in (run.base.checksum, weights_checksum(run.policy.model))
    start = run.ledger.execute("SELECT checksum FROM updates WHERE iteration = -1 ORDER BY version")[-1]
    assert weights_checksum(teacher) == start[0]


def test_its_ledger_is_made_again_from_the_recordings_alone(guesser: Opener) -> None:
    run = guesser(RULE)
    drive(run, END, checkpoints=False)
    tables = ("groups", "attempts", "uses", "updates", "demonstrations")
    rows = lambda ledger: {t: ledger.execute(f"FROM {t} ORDER BY ALL") for t in tables}  # noqa: E731
    root, expected = run.root, rows(run.ledger)
    assert "in_view" in {purpose for _, _, purpose, *_ in expected["groups"]} and expected["uses"]
    run.__exit__()
    for name in (LEDGER, SNAPSHOT):
        (root / name).unlink(missing_ok=True)
    assert rebuild(root).is_changed
    with Ledger.open(root / LEDGER, root.name) as ledger:
        assert rows(ledger) == expected


def test_what_cannot_be_shown_and_who_thinks_are_refused_before_work_starts(
    guesser: Opener, opener: Opener, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"teach.rule.kind='self-distil' puts words into the prompt.*cannot write"):
        opener("teach.rule=self-distil", "sft=off")
    with pytest.raises(ConfigError, match=r"policy.max_prompt_tokens=50; the shortest is \d+ tokens") as refused:
        guesser(RULE, "policy.max_prompt_tokens=50")
    shortest = int(str(refused.value).partition("the shortest is ")[2].partition(" ")[0])
    with pytest.raises(ConfigError, match=f"the shortest is {shortest} tokens"):
        guesser(RULE, f"policy.max_prompt_tokens={shortest - 1}")
    opens = r"policy.prompt_suffix=<think>\n"
    with pytest.raises(ConfigError, match=r"whose prompt opens the reasoning.*teach.rule.thinks=true"):
        guesser("teach.rule=self-distil", opens)
    assert not list((tmp_path / "runs").glob("*/iterations"))
    run = guesser(RULE, f"policy.max_prompt_tokens={shortest}", name="enough")
    drive(run, 1, checkpoints=False)
    assert trials(run), "as few tokens as it named do"
    assert torch.get_num_threads() == 1
