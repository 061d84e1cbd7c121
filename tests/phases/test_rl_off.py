"""Without the RL update a run samples, judges and teaches as with it, and replays as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.policy.weights import weights_checksum
from relift.rebuild.recordings import Recordings
from relift.records import UpdateKind
from relift.store import FolderStore
from tests.phases.conftest import Opener, drive

PROMPTED = """
from relift import GuidedPrompt, Rule

class Prompted(Rule):
    def prompts(self, moment):
        return ()
"""


def test_without_the_rl_update_gate_and_supervised_updates_go_on_and_a_replay_is_bit_equal(opener: Opener) -> None:
    run = opener("rl=off", "checkpoint.every=100")
    versions = drive(run, 5)
    assert run.ledger.execute("SELECT DISTINCT kind FROM updates") == [("sft",)]
    assert run.ledger.execute("SELECT count(*) FROM groups WHERE purpose = 'train'") == [(5 * 16,)]
    (taught,), (hardest,) = run.ledger.execute(
        "SELECT count(*) FROM uses UNION ALL SELECT count(*) FROM groups WHERE is_hardest"
    )
    assert 4 <= taught <= hardest
    assert list(run.policy.optimizers) == [UpdateKind.SFT]
    assert run.checked, "engine and trainer were not compared"
    digest = run.ledger.digest()
    store = FolderStore(run.root)
    assert not Recordings(store, run.name).missing(run.ledger), "updates that never were are not lost"
    run.__exit__()

    again = opener("rl=off", "checkpoint.every=100")
    assert drive(again, 5)[-1].checksum == versions[-1].checksum
    assert again.policy.version is None and again.ledger.digest() == digest
    again.policy.at(versions[-1])
    assert weights_checksum(again.policy.model) == versions[-1].checksum != again.base.checksum


def test_a_rule_that_teaches_by_the_rl_update_is_refused_without_it(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rule_with_prompts.py").write_text(PROMPTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="has prompts for the RL update, which rl='off' switches off"):
        opener("rl=off", "teach.rule=rule_with_prompts:Prompted")
