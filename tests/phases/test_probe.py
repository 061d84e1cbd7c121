"""Probes look and do not touch: the weights are the same without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.opening.run import open_run
from relift.phases.evaluate import evaluate
from relift.phases.probe import probe
from relift.policy.weights import weights_checksum
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.small_run import small_config

SETTINGS = ("questions.batch_size=8", "rl.questions_per_update=4", "teach.rule.batch_size=2", "teach.control_share=0.3")
PROBED = """
    SELECT g.iteration - min(u.iteration) AS distance
    FROM groups g JOIN uses u USING (question_id) WHERE g.purpose = 'probe' GROUP BY g.iteration, question_id"""


def test_taught_and_control_questions_are_sampled_again_under_the_policy_of_then(opener: Opener) -> None:
    run = opener(*SETTINGS, "probe.samples=3", "probe.after=[1, 2]", "probe.questions=6")
    drive(run, 5)
    groups = run.ledger.execute(
        "SELECT iteration, count(*), min(rollouts), max(rollouts), min(policy_version), max(policy_version) "
        "FROM groups WHERE purpose = 'probe' GROUP BY iteration ORDER BY iteration"
    )
    assert groups, "nothing was taught, so this shows nothing"
    for iteration, count, fewest, most, oldest, newest in groups:
        assert count <= 6
        assert (fewest, most) == (3, 3)
        [(before,)] = run.ledger.execute("SELECT max(version) FROM updates WHERE iteration < ?", [iteration])
        assert (oldest, newest) == (before, before)
    assert {distance for (distance,) in run.ledger.execute(PROBED)} == {1, 2}
    taught = "SELECT question_id FROM uses"
    [(controls,)] = run.ledger.execute(
        f"SELECT count(DISTINCT question_id) FROM groups WHERE purpose = 'probe' AND question_id NOT IN ({taught})"
    )
    [(withheld,)] = run.ledger.execute(
        "SELECT count(DISTINCT question_id) FROM groups p WHERE purpose = 'probe' AND question_id IN "
        "(SELECT question_id FROM groups WHERE is_hardest AND is_control)"
    )
    assert controls == withheld > 0


def test_no_update_trains_on_a_probe(opener: Opener) -> None:
    def weights(run: Run) -> str:
        version = drive(run, 4, checkpoints=False)[-1]
        run.policy.at(version)
        return weights_checksum(run.policy.model)

    assert weights(opener(*SETTINGS, name="with")) == weights(opener(*SETTINGS, "probe=off", name="without"))


def test_a_recorded_probe_is_not_sampled_again_and_comes_back_into_an_older_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(tmp_path / "runs", *SETTINGS, "checkpoint.every=3")
    with open_run(config, "small") as run:
        version = drive(run, 3)[-1]
        assert run.interleaving.probes.due(3)
        assert probe(run, 3, version) is not None
        digest = run.ledger.digest()
    monkeypatch.delattr("relift.phases.probe.sampled_groups")  # whoever samples now fails
    for name in ("ledger.duckdb", "ledger.duckdb.wal"):
        (run.root / name).unlink(missing_ok=True)
    with open_run(config, "small") as run:
        iteration, version = run.resume()
        assert run.ledger.digest() != digest, "the snapshot is older than the probe"
        for _ in range(2):
            assert probe(run, iteration, version) is not None
            assert run.ledger.digest() == digest


def test_a_confirmed_evaluation_holds_two_rounds_with_draws_of_their_own(opener: Opener) -> None:
    run = opener("evaluation.confirm=true", "evaluation.temperature=1.0", "evaluation.samples=4")
    evaluate(run, 0, run.base, full=True)
    rounds = {
        purpose: dict(run.ledger.execute("SELECT question_id, correct FROM groups WHERE purpose = ?", [purpose]))
        for purpose in ("evaluation", "confirm")
    }
    assert rounds["evaluation"].keys() == rounds["confirm"].keys()
    assert rounds["evaluation"] != rounds["confirm"]
    assert run.ledger.execute("SELECT count(*) FROM evaluations")[0][0] == len(run.config.questions.families)


def test_confirming_without_draws_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="temperature=0 draws nothing"):
        small_config(tmp_path, "evaluation.confirm=true")


def test_what_leaves_the_buffer_untaught_is_in_the_ledger(opener: Opener) -> None:
    run = opener("questions.batch_size=8", "rl.questions_per_update=4", "teach.rule.batch_size=4", "buffer.capacity=4")
    drive(run, 5)
    left = dict(run.ledger.execute("SELECT reason, count(*) FROM leavings GROUP BY reason"))
    assert left == {
        reason.value: count for reason, count in run.interleaving.buffer.left.items() if count and reason != "used"
    }
    assert left
