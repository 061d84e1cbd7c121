"""The rollouts of an iteration are decoded from Parquet at most once, by whichever phase needs them first."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from relift.ledger.schema import LEDGER
from relift.phases import rollout, verify
from relift.records import Completion, PhaseRef
from relift.run.recorded import phase_key
from tests.phases.conftest import Opener, drive


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the rollouts of a question were decoded; every question of the run stands in one iteration."""
    found: Counter[str] = Counter()
    decode = verify.completions_from_parquet

    def counted(content: bytes) -> list[tuple[str, int, Completion]]:
        completions = decode(content)
        found[completions[0][0]] += 1
        return completions

    monkeypatch.setattr(verify, "completions_from_parquet", counted)
    return found


def test_an_iteration_decodes_its_rollouts_once(opener: Opener, decodes: Counter[str]) -> None:
    run = opener()
    drive(run, 4)
    assert decodes == {run.order.batch(iteration)[0].id: 1 for iteration in range(4)}


def test_a_resumed_run_decodes_an_iteration_once_and_once_more_where_it_replays_it(
    opener: Opener, decodes: Counter[str]
) -> None:
    """Resumed in the middle of iteration 3, with neither checkpoint nor ledger: every earlier update is replayed."""
    settings = ["checkpoint.every=100", "probe=off"]
    first = opener(*settings)
    verify.verify(first, 3, rollout.rollout(first, 3, drive(first, 3)[-1]))
    first.__exit__()
    (first.root / LEDGER).unlink()
    decodes.clear()
    again = opener(*settings)
    drive(again, 4)
    manifests = [again.store.manifest(phase_key(iteration, "rl_update")) for iteration in range(3)]
    replayed = [manifest is not None and manifest.facts["moved"] for manifest in manifests]
    assert sum(replayed) >= 2, "too little is replayed to show anything"
    expected = [1 + is_replayed for is_replayed in replayed] + [1]
    assert decodes == {again.order.batch(iteration)[0].id: count for iteration, count in enumerate(expected)}


def test_only_the_newest_iterations_rollouts_are_kept_and_none_while_others_are_sampled(opener: Opener) -> None:
    run = opener()
    drive(run, 2)
    refs = [
        PhaseRef(key=uri, sha256=run.store.manifest_sha256(uri))
        for uri in (phase_key(0, "rollout"), phase_key(1, "rollout"))
    ]
    assert [run.decoded.holds(ref) for ref in refs] == [False, True]
    rollout.rollout(run, 2, run.base)
    assert not run.decoded.holds(refs[1])


def test_a_place_that_is_recorded_anew_is_decoded_anew(opener: Opener) -> None:
    run = opener()
    drive(run, 1)
    uris = [phase_key(0, phase) for phase in ("rollout", "verify")]
    rollouts, verdicts = (PhaseRef(key=uri, sha256=run.store.manifest_sha256(uri)) for uri in uris)
    groups = verify.groups_of(run, rollouts, verdicts)
    assert verify.groups_of(run, rollouts, verdicts) is groups
    files = {verify.FILE: Path(run.store.path(verdicts.key) / verify.FILE).read_bytes()}
    run.store.publish(verdicts.key, files, inputs="others")
    other = PhaseRef(key=verdicts.key, sha256=run.store.manifest_sha256(verdicts.key))
    assert verify.groups_of(run, rollouts, other) is not groups
