"""Recorded phases are done, versions are made from the record, and a damaged record is refused."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import torch

from relift.errors import Interrupted, RunError, SelfCheckFailed, StoreError
from relift.learning.optimizers import history_of, optimizer_tensors
from relift.ledger.check import check
from relift.ledger.schema import LEDGER
from relift.phases import rl_update as rl_phase
from relift.phases.gate import gate
from relift.phases.rl_update import rl_update
from relift.phases.rollout import rollout
from relift.phases.verify import verify
from relift.policy.weights import weights_checksum
from relift.records import UpdateKind
from relift.run.run import Run
from tests.phases.conftest import Opener, drive


def forbid_sampling(run: Run) -> None:
    class NoEngine:
        def serve(self, policy: Any) -> None:
            pytest.fail("weights were handed to an engine although every rollout is recorded")

        def close(self) -> None:
            pass

        def sample(self, *args: Any, **kwargs: Any) -> Any:
            pytest.fail("a recorded rollout was sampled again")

    run.engine = NoEngine()  # type: ignore[assignment]


def test_a_recorded_iteration_does_no_work_and_its_version_is_made_when_it_is_needed(opener: Opener) -> None:
    first = opener()
    versions = drive(first, 5)
    counts, digest = first.ledger.counts(), first.ledger.digest()
    waiting = first.interleaving.buffer.snapshot()
    assert versions[-1].number > 5, "no supervised update happened, so the test shows nothing"
    first.__exit__()

    again = opener()
    forbid_sampling(again)
    assert drive(again, 5)[-1].number == versions[-1].number
    assert again.policy.version is None, "a recorded update was computed although nobody needed its weights"
    assert (again.ledger.counts(), again.ledger.digest()) == (counts, digest)
    assert again.interleaving.buffer.snapshot() == waiting

    again.policy.at(versions[-1])
    assert weights_checksum(again.policy.model) == versions[-1].checksum


@pytest.mark.slow
def test_replay_from_the_base_and_from_a_checkpoint_come_to_the_same_weights(opener: Opener) -> None:
    whole = opener("checkpoint.every=100", name="whole")
    parts = opener("checkpoint.every=2", name="parts")
    assert [v.checksum for v in drive(whole, 5)] == [v.checksum for v in drive(parts, 5)]
    target = drive(whole, 5)[-1]
    whole.policy.at(whole.base)
    assert weights_checksum(whole.policy.model) == whole.base.checksum
    whole.policy.at(target)
    assert weights_checksum(whole.policy.model) == target.checksum


def test_resuming_in_the_middle_continues_as_if_nothing_had_happened(opener: Opener) -> None:
    expected = [v.checksum for v in drive(opener(name="whole"), 7)]
    first = opener()
    drive(first, 4)
    # What a crash in the middle of iteration 4 leaves: some phases done, the RL update not.
    rollouts = rollout(first, 4, drive(first, 4)[-1])
    verify(first, 4, rollouts)
    first.__exit__()
    second = opener()
    found = [v.checksum for v in drive(second, 7)]
    assert found == expected[-len(found) :]


def test_an_update_that_raises_leaves_no_version_resident(opener: Opener) -> None:
    run = opener()
    version = drive(run, 1)[-1]
    rollouts = rollout(run, 1, version)
    verdicts = verify(run, 1, rollouts)
    gated = gate(run, 1, rollouts, verdicts)
    run.stop.set()
    with pytest.raises(Interrupted):
        rl_update(run, 1, rollouts, verdicts, gated, version)
    assert run.policy.version is None


def test_weights_that_replay_to_something_else_are_refused(opener: Opener) -> None:
    first = opener("checkpoint.every=100")
    version = drive(first, 2)[-1]
    first.__exit__()
    manifest = first.root / "iterations" / "00000" / "rl_update" / "manifest.json"
    tree = json.loads(manifest.read_text())
    tree["facts"]["redo"]["lr"] *= 2
    manifest.write_text(json.dumps(tree))
    again = opener("checkpoint.every=100")
    with pytest.raises(SelfCheckFailed, match="replay came to"):
        again.policy.at(version)
    assert again.policy.version is None


def test_a_damaged_rollout_file_is_refused_rather_than_trained_on(opener: Opener) -> None:
    first = opener()
    drive(first, 2)
    first.__exit__()
    file = first.root / "iterations" / "00001" / "rollout" / "rollouts.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    shutil.rmtree(first.root / "iterations" / "00001" / "verify")
    with pytest.raises(StoreError, match="checksum"):
        drive(opener(), 3)


def test_a_gap_between_engine_and_trainer_stops_the_run(opener: Opener) -> None:
    run = opener()
    version = run.base
    rollouts = rollout(run, 0, version)
    verdicts = verify(run, 0, rollouts)
    gated = gate(run, 0, rollouts, verdicts)
    with torch.no_grad():  # an engine that sampled from other weights than the trainer holds
        run.policy.model.model.norm.weight.mul_(1.5)
    with pytest.raises(SelfCheckFailed, match="log-probabilities differ"):
        rl_update(run, 0, rollouts, verdicts, gated, version)
    assert run.store.manifest("iterations/00000/rl_update") is None


def test_a_supervised_update_leaves_the_schedule_and_the_rl_optimizer_alone(opener: Opener) -> None:
    with_sft, without = opener(name="relift"), opener("sft=off", name="grpo")
    drive(with_sft, 6)
    drive(without, 6)

    def rates(run: Run) -> list[float]:
        keys = [f"iterations/{i:05d}/rl_update" for i in range(3, 6)]
        return [run.store.manifest(p).facts["redo"]["lr"] for p in keys]  # type: ignore[union-attr]

    assert rates(with_sft) == rates(without)
    assert with_sft.policy.optimizers[UpdateKind.RL] is not with_sft.policy.optimizers[UpdateKind.SFT]


def test_old_checkpoints_and_the_rollouts_before_them_are_retired(opener: Opener) -> None:
    run = opener("checkpoint.every=2", "checkpoint.keep=1")
    drive(run, 6)
    assert run.store.keys("checkpoints") == ["checkpoints/00006"]
    assert not (run.root / "iterations" / "00005").exists()


def test_another_configuration_is_refused_before_anything_is_written(opener: Opener) -> None:
    opener().__exit__()
    with pytest.raises(RunError, match=r"rollout\.samples: 4 -> 5"):
        opener("rollout.samples=5")
    opener("iterations=3").__exit__()


@pytest.mark.parametrize(("iterations", "said"), [(12, "stays there for the 4 added"), (7, "is cut short")])
def test_a_run_of_another_length_keeps_its_schedules_and_says_so(
    opener: Opener, caplog: pytest.LogCaptureFixture, iterations: int, said: str
) -> None:
    first = opener("iterations=8")
    version = drive(first, 3)[-1]
    began_with = [rl_phase.learning_rate(first, kind, i) for kind in UpdateKind for i in range(8)]
    assert not [r for r in caplog.records if "schedule" in r.message]
    first.__exit__()
    again = opener(f"iterations={iterations}")
    again.policy.at(version)
    assert weights_checksum(again.policy.model) == version.checksum
    assert [rl_phase.learning_rate(again, kind, i) for kind in UpdateKind for i in range(8)] == began_with
    added = [rl_phase.learning_rate(again, UpdateKind.RL, i) for i in range(7, 12)]
    assert added == pytest.approx([0.1 * again.config.rl.optimizer.lr] * 5), "a rate leaps in what was added"
    warnings = [r.message for r in caplog.records if "schedule was laid over the 8 iterations" in r.message]
    assert [w.partition(".")[0] for w in warnings] == ["rl", "sft"]
    assert all(said in warning for warning in warnings)


def test_a_version_that_did_not_move_for_longer_than_checkpoints_are_kept_is_found_again(opener: Opener) -> None:
    # Hardly any signal, and demonstrations enough for one supervised update.
    settings = (
        "seed=6",
        "checkpoint.every=1",
        "checkpoint.keep=1",
        "questions.families.par=100000",
        "teach.rule.batch_size=30",
    )
    first = opener(*settings)
    versions = drive(first, 4)
    assert [v.number for v in versions[-2:]] == [1, 1], "the weights moved, so the test shows nothing"
    first.__exit__()
    again = opener(*settings)
    again.policy.at(versions[-1])
    assert weights_checksum(again.policy.model) == versions[-1].checksum


def test_where_replay_is_not_exact_the_difference_is_said_and_the_run_goes_on(
    opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    first = opener("checkpoint.every=100")
    version = drive(first, 2)[-1]
    first.__exit__()
    run_file = first.root / "run.json"
    run_file.write_text(run_file.read_text().replace('"torch": "', '"torch": "0.'))
    manifest = first.root / "iterations" / "00000" / "rl_update" / "manifest.json"
    tree = json.loads(manifest.read_text())
    tree["facts"]["redo"]["lr"] = 1e-5
    manifest.write_text(json.dumps(tree))
    again = opener("checkpoint.every=100")
    again.policy.at(version)
    assert "replayed to other bits" in caplog.text
    assert "this run was started elsewhere: torch" in caplog.text


def test_other_questions_under_the_same_path_are_refused(opener: Opener) -> None:
    first = opener()
    run_file = first.root / "run.json"
    first.__exit__()
    tree = json.loads(run_file.read_text())
    tree["made_from"]["questions"] = "other"
    run_file.write_text(json.dumps(tree))
    with pytest.raises(RunError, match="started from other questions"):
        opener()
    run_file.write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        opener()


def test_an_engine_that_samples_from_other_weights_is_caught_though_no_group_has_signal(opener: Opener) -> None:
    run = opener("questions.families.par=100000")
    rollouts = rollout(run, 0, run.base)
    verdicts = verify(run, 0, rollouts)
    gated = gate(run, 0, rollouts, verdicts)
    with torch.no_grad():
        run.policy.model.model.norm.weight.mul_(1.5)
    with pytest.raises(SelfCheckFailed, match="log-probabilities differ"):
        rl_update(run, 0, rollouts, verdicts, gated, run.base)


def test_a_question_solved_while_it_waits_is_no_longer_taught(opener: Opener) -> None:
    run = opener("teach.rule.batch_size=60", "sft.minibatch=2", "questions.count=64")
    drive(run, 8, checkpoints=False)
    assert run.interleaving.buffer.left["solved_meanwhile"] > 0
    latest = {}
    for iteration in range(8):
        sql = "SELECT question_id, max(status = 'correct') FROM attempts WHERE iteration = ? GROUP BY ALL"
        latest |= dict(run.ledger.execute(sql, [iteration]))
    assert not any(latest[entry.question_id] for entry in run.interleaving.buffer.waiting)


def test_a_question_solved_while_it_waits_is_taught_all_the_same_where_that_is_set(opener: Opener) -> None:
    run = opener("teach.rule.batch_size=60", "sft.minibatch=2", "questions.count=64", "buffer.leave_when_solved=false")
    drive(run, 8, checkpoints=False)
    assert run.interleaving.buffer.left["solved_meanwhile"] == 0
    sql = "SELECT DISTINCT question_id FROM attempts WHERE status = 'correct' AND purpose = 'train'"
    solved = {name for (name,) in run.ledger.execute(sql)}
    assert solved & {entry.question_id for entry in run.interleaving.buffer.waiting}
    run.__exit__()
    assert not [one for one in check(run.root / LEDGER) if one.wrong]


def test_what_a_crash_left_of_a_checkpoint_is_swept_away(opener: Opener) -> None:
    run = opener("checkpoint.every=2")
    half = run.root / "checkpoints" / "00001"
    half.mkdir(parents=True)
    (half / "weights.safetensors").write_bytes(b"half")
    drive(run, 2)
    assert not half.exists()


def test_steps_that_moved_nothing_are_counted_again_when_the_weights_are(opener: Opener) -> None:
    # Hardly any signal: most RL updates take no step, before and after the one that does.
    settings = ("seed=6", "checkpoint.every=100", "questions.families.par=100000", "teach.rule.batch_size=30")
    first = opener(*settings)
    versions = drive(first, 4)
    assert [v.number for v in versions[-2:]] == [1, 1], "every update moved the weights, so the test shows nothing"
    expected = {kind: history_of(optimizer) for kind, optimizer in first.policy.optimizers.items()}
    assert expected[UpdateKind.RL].skipped > 0
    first.__exit__()
    again = opener(*settings)
    again.policy.at(versions[-1])
    assert {kind: history_of(optimizer) for kind, optimizer in again.policy.optimizers.items()} == expected


@pytest.mark.slow
def test_a_run_with_adapters_resumes_in_the_same_bits(opener: Opener) -> None:
    settings = ("policy.lora.rank=4", "rl.optimizer.lr=0.01", "sft.optimizer.lr=0.01")
    whole = opener(*settings, "checkpoint.every=3", name="whole")
    expected = drive(whole, 7)
    opened = opener(*settings, "checkpoint.every=3")
    drive(opened, 5)
    opened.__exit__()
    again = opener(*settings, "checkpoint.every=3")
    found = drive(again, 7)
    assert [v.checksum for v in found] == [v.checksum for v in expected[-len(found) :]]
    again.policy.at(found[-1])
    for kind in UpdateKind:
        one, other = (optimizer_tensors(run.policy.optimizers[kind]) for run in (whole, again))
        assert one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
    pairs = zip(whole.policy.model.parameters(), again.policy.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert expected[-1].number > 5


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_resumed_run_goes_on_counting_the_updates_that_were_refused_in_a_row(
    opener: Opener, checkpoints: bool
) -> None:
    settings = ("rl.optimizer.skip_above=1e-9", "sft=off", "checks.max_skipped_updates=3", "checkpoint.every=1")
    first = opener(*settings)
    drive(first, 2, checkpoints=checkpoints)
    assert first.interleaving.refused_in_a_row == 2
    first.__exit__()
    again = opener(*settings)
    with pytest.raises(SelfCheckFailed, match="3 updates in a row were refused"):
        drive(again, 3)
