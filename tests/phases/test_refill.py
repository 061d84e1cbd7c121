"""Questions are asked until a batch of groups has signal, all that was asked counts, and a replay is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relift.phases.rounds import next_round, rl_groups
from relift.policy.weights import weights_checksum
from relift.rebuild.rebuild import rebuild
from relift.records import (
    Completion,
    FinishReason,
    PhaseRef,
    Question,
    Rollout,
    RolloutGroup,
    Status,
    Verdict,
)
from relift.run.progress import METRICS
from relift.run.recorded import GateRecord, phase_key, read
from tests.phases.conftest import Opener, drive
from tests.small_run import small_config

B, G = 16, 4
REFILL = ("sampling.refill.cap=3", "checkpoint.every=100")


def test_every_rl_batch_holds_as_many_groups_with_signal_or_the_iteration_says_what_it_lacks(opener: Opener) -> None:
    run = opener(*REFILL)
    version = drive(run, 6)[-1]
    reports = [json.loads(line) for line in (run.root / METRICS).read_text().splitlines()]
    sql = (
        "SELECT count(*), count(*) FILTER (rewards > 1) FROM (SELECT count(DISTINCT reward) AS rewards FROM attempts "
        "WHERE purpose = 'train' AND iteration = ? GROUP BY question_id)"
    )
    for report in reports:
        asked, signal = run.ledger.execute(sql, [report["iteration"]])[0]
        assert (report["questions"], report["signal"]) == (asked, signal), "gate and ledger see all that was asked"
        assert report["lacking"] == max(0, B - signal)
        assert asked == 3 * B if report["lacking"] else asked <= 3 * B
        (update,) = [update for update in report["updates"] if update["kind"] == "rl"]
        assert update["sequences"] == G * min(signal, B)
        gated = read(run.store, phase_key(report["iteration"], "gate"), GateRecord)
        assert gated.rounds == report["rounds"] == len(run.store.keys(phase_key(report["iteration"], "verify"))) + 1
    assert run.spent.rollouts == reports[-1]["spent"]["rollouts"] == G * sum(report["questions"] for report in reports)
    assert run.spent.sampled_tokens == sum(report["tokens"] for report in reports)
    found = run.ledger.execute("SELECT rounds, lacking FROM iterations ORDER BY iteration")
    assert found == [(report["rounds"], report["lacking"]) for report in reports]
    assert {bool(report["lacking"]) for report in reports} == {True, False}, "too little happens to show anything"
    assert max(report["rounds"] for report in reports) > 2
    run.__exit__()
    assert not rebuild(run.root).is_changed
    again = opener(*REFILL)
    again.policy.at(version)
    assert weights_checksum(again.policy.model) == version.checksum, "replayed from the base, all rounds"


@pytest.mark.parametrize(
    ("questions", "signal", "asks"),
    [
        (16, 16, 0),
        (16, 8, 16),  # 8 are missing, and one of two has signal
        (16, 12, 6),  # 4 are missing, and three of four have it
        (16, 0, 16),
        (16, 1, 16),  # never more than a batch at once
        (40, 10, 8),  # never more than the cap
        (48, 15, 0),
    ],
)
def test_a_round_asks_as_many_as_should_do(tmp_path: Path, questions: int, signal: int, asks: int) -> None:
    rollouts = PhaseRef(key="rollout", sha256="", counts={"questions": questions})
    verdicts = PhaseRef(key="verify", sha256="", counts={"signal": signal})
    assert next_round(small_config(tmp_path, "sampling.refill.cap=3"), rollouts, verdicts) == asks
    assert next_round(small_config(tmp_path), rollouts, verdicts) == 0


def group(text: str, *rewards: float) -> RolloutGroup:
    completion = Completion(token_ids=(1,), logprobs=(0.0,), text="", finish_reason=FinishReason.STOP, policy_version=0)
    verdicts = [Verdict(status=Status.CORRECT if reward else Status.WRONG) for reward in rewards]
    rollouts = tuple(
        Rollout(sample=sample, completion=completion, verdict=verdict, reward=reward)
        for sample, (reward, verdict) in enumerate(zip(rewards, verdicts, strict=True))
    )
    return RolloutGroup(question=Question(id=text, text=text, answer="", source=""), rollouts=rollouts)


def test_of_a_surplus_the_first_with_signal_are_trained_on(tmp_path: Path) -> None:
    few = ("questions.batch_size=2", "rl.questions_per_update=2")
    config = small_config(tmp_path, *few, "sampling.refill.cap=3")
    groups = [group("a", 0, 1), group("b", 0, 0), group("c", 1, 1), group("d", 1, 0), group("e", 0, 1)]
    assert [g.question.id for g in rl_groups(config, groups)] == ["a", "d"]
    assert [g.question.id for g in rl_groups(config, groups[1:3] * 2)] == ["b", "c"], "no step is taken of them"
    assert rl_groups(small_config(tmp_path, *few), groups) is groups


@pytest.mark.parametrize(
    "rule", ["{ kind = 'switch' }", "{ kind = 'insert' }", "{ kind = 'mixed', mu = 0.5, final_mu = 0.5 }"]
)
def test_a_demonstration_enters_one_of_the_steps_of_a_refilled_batch_and_makes_none(rule: str, opener: Opener) -> None:
    run = opener(*REFILL, "sft=off", f"teach.rule={rule}", "rl.questions_per_update=16")
    drive(run, 3)
    sql = "SELECT steps + skipped + refused, sequences FROM updates WHERE kind = 'rl' ORDER BY iteration"
    uses = "SELECT count(*) FROM uses GROUP BY iteration ORDER BY iteration"
    signal = [min(B, json.loads(line)["signal"]) for line in (run.root / METRICS).read_text().splitlines()]
    taught = [count for (count,) in run.ledger.execute(uses)]
    beside = [count * (1 + G * ("insert" in rule)) for count in taught]
    assert len(taught) == 3 and run.ledger.execute(sql) == [
        (1, G * groups + more) for groups, more in zip(signal, beside, strict=True)
    ]
