"""Rules that come with relift, in whole runs: what they taught is what the ledger says, and a replay says it again."""

from __future__ import annotations

import pytest

from relift.ledger.check import check
from relift.ledger.schema import LEDGER
from relift.phases.rl_update import recorded_fates
from relift.policy.weights import weights_checksum
from tests.phases.conftest import Opener, drive

RULES = {
    "random": "teach.rule={kind='random', batch_size=4}",
    "every-k": "teach.rule={kind='every-k', every=2, batch_size=4}",
}


@pytest.mark.parametrize("rule", RULES)
def test_uses_equal_a_recount_and_a_resumed_run_ends_in_the_same_bits(opener: Opener, rule: str) -> None:
    whole, parts = opener(RULES[rule], "checkpoint.every=2", name="whole"), opener(RULES[rule], name="parts")
    expected = drive(whole, 6)[-1]
    drive(parts, 4)
    parts.__exit__()
    again = opener(RULES[rule], name="parts")
    last = drive(again, 6)[-1]
    again.policy.at(last)
    assert weights_checksum(again.policy.model) == expected.checksum == last.checksum
    used = "SELECT iteration, question_id FROM uses ORDER BY ALL"
    assert again.ledger.execute(used) == whole.ledger.execute(used) != []
    taught = whole.ledger.execute("SELECT iteration, count(*) FROM uses WHERE kind = 'sft' GROUP BY ALL ORDER BY ALL")
    asked = dict(whole.ledger.execute("SELECT iteration, count(*) FROM demonstrations GROUP BY ALL"))
    hardest = "SELECT iteration, count(*) FROM groups WHERE is_hardest AND NOT is_control GROUP BY ALL"
    solved = "SELECT count(*) FROM uses JOIN groups USING (question_id) WHERE purpose = 'train' AND is_hardest"
    if rule == "every-k":
        assert [i for i, _ in taught] == [1, 3, 5] and all(n <= 4 for _, n in taught)
    else:
        controls = "SELECT iteration, count(*) FROM groups WHERE is_hardest AND is_control GROUP BY ALL"
        wanted = dict(whole.ledger.execute(hardest))
        followed = dict(whole.ledger.execute(controls))
        assert asked == {i: wanted.get(i, 0) + followed.get(i, 0) for i in asked}
        assert whole.ledger.execute(solved)[0][0] < sum(n for _, n in taught), "the hardest alone were taught"
    whole.__exit__()
    assert not [one for one in check(whole.root / LEDGER) if one.wrong]


def test_what_no_update_moved_the_policy_by_is_no_use_and_waits_on(opener: Opener) -> None:
    """Supervised updates whose every step is refused, RL updates between them that are not."""
    run = opener("sft.optimizer.skip_above=1e-9", "checkpoint.every=2", name="refused")
    drive(run, 3)
    tried = run.ledger.execute("SELECT iteration FROM updates WHERE kind = 'sft' AND refused > 0 AND steps = 0")
    assert tried and not run.ledger.execute("SELECT * FROM uses") and not run.interleaving.taught
    assert len(run.interleaving.buffer) >= 4, "the batch that was tried, whole"
    state = run.interleaving.to_json()
    run.__exit__()
    again = opener("sft.optimizer.skip_above=1e-9", "checkpoint.every=2", name="refused")
    drive(again, 3)
    assert again.interleaving.to_json() == state


def test_of_an_rl_update_without_a_step_nothing_was_taught_either(opener: Opener) -> None:
    settings = ("teach.rule={kind='insert'}", "sft=off", "rl.optimizer.skip_above=1e-9")
    run = opener(*settings, name="refused")
    drive(run, 2, checkpoints=False)
    assert run.ledger.execute("SELECT refused, steps FROM updates") == [(2, 0), (2, 0)]
    assert recorded_fates(run, 0).taught and not run.ledger.execute("SELECT * FROM uses")
    assert set(recorded_fates(run, 0).taught) & {entry.question_id for entry in run.interleaving.buffer.waiting}
    assert run.spent.demonstrations == 0
