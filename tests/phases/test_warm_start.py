"""The warm start: what it teaches, what it leaves behind, and that it replays as any update."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
import torch

from relift.errors import ConfigError, DataError
from relift.interleave import is_control
from relift.learning.optimizers import optimizer_tensors
from relift.ledger import named_queries
from relift.ledger.check import check
from relift.ledger.schema import LEDGER
from relift.opening.run import open_run
from relift.phases.checkpoint import checkpoint
from relift.phases.evaluate import evaluate, results_of
from relift.phases.report import report, summary_of
from relift.phases.warm_start import reference, start_version, warm_start
from relift.policy.weights import weights_checksum
from relift.rebuild.rebuild import rebuild
from relift.records import PolicyVersion, Spent, UpdateKind
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.small_run import small_config

ALONE = ("rl=off", "sft=off", "warm_start={demonstrations=12, epochs=3, minibatch=4, optimizer={lr=1e-3}}")
THEN_RELIFT = ALONE[2:]
WITH_KL = (*THEN_RELIFT, "rl.kl.weight=0.01", "iterations=3")


def taught(run: Run) -> list[tuple[int, str, str]]:
    return run.ledger.execute("SELECT iteration, kind, question_id FROM uses ORDER BY version, rowid")


def test_it_draws_n_by_the_seed_teaches_each_in_every_epoch_and_ends_with_fresh_optimizers(opener: Opener) -> None:
    run = opener(*ALONE)
    assert (run.iterations, run.first, run.is_over(0)) == (0, -1, True)
    version = warm_start(run, run.base)
    uses = taught(run)
    assert {(i, kind) for i, kind, _ in uses} == {(-1, "sft")}
    epochs = [{q for _, _, q in uses[12 * e : 12 * e + 12]} for e in range(3)]
    assert (len(uses), len(epochs[0])) == (36, 12) and epochs[0] == epochs[1] == epochs[2]
    assert version.number == 3 and version.iteration == -1 and version.kind is UpdateKind.SFT
    assert run.spent.demonstrations == 12 and run.spent.optimizer_steps == 9 and run.spent.rollouts == 0
    [(steps, flops)] = run.ledger.execute("SELECT sum(steps), sum(flops) FROM updates")
    assert (run.spent.optimizer_steps, run.spent.update_flops) == (steps, pytest.approx(flops))
    assert not run.policy.warm_start.state and version == start_version(run)
    assert {q for _, _, q in taught_by(opener, "seed=1")} != epochs[0]


def taught_by(opener: Opener, *settings: str) -> list[tuple[int, str, str]]:
    run = opener(*ALONE, *settings, name="other")
    warm_start(run, run.base)
    return taught(run)


@pytest.mark.parametrize("count", ["40", "'all'"])
def test_no_control_is_taught_and_their_solutions_are_bought_where_something_is_probed(
    opener: Opener, count: str
) -> None:
    settings = (f"warm_start={{demonstrations={count}}}", "teach.control_share=0.4")
    run, unprobed = opener(*settings), opener(*settings, "probe=off", name="unprobed")
    alone = opener(*settings, "rl=off", "sft=off", name="alone")
    for each in (run, unprobed, alone):
        warm_start(each, each.base)
        assert not [q for _, _, q in taught(each) if is_control(q, 0.4)]
    offered = "SELECT question_id FROM demonstrations WHERE refusal IS NULL AND iteration = -1"
    controls, *none = (
        {q for (q,) in each.ledger.execute(offered) if is_control(q, 0.4)} for each in (run, unprobed, alone)
    )
    assert len(controls) > 10 and none == [set(), set()]
    assert {q for (q,) in run.ledger.execute(f"FROM controls SELECT question_id INTERSECT {offered}")} == controls
    ((_, *costs),) = run.ledger.execute(next(query.sql for query in named_queries() if query.name == "cost"))
    assert (costs[0], costs[1], costs[6]) == (-1, -1, len(taught(run)))
    if count == "'all'":
        assert len(taught(run)) + len(controls) == len(run.questions.training)
    assert run.interleaving.probes.snapshot().waiting == (), "no gate has called them hardest"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PolicyVersion, str, Spent]:
    """(root, last version, digest of the ledger, what was spent) of a warm start with three iterations after it."""
    with open_run(small_config(tmp_path_factory.mktemp("whole"), *WITH_KL), "small") as run:
        expected = drive(run, 3)[-1]
        digest = run.ledger.digest()
    assert not [one for one in check(run.root / LEDGER) if one.wrong]
    return run.root, expected, digest, run.spent


@pytest.mark.parametrize("killed", ["source", "00000", "00001", "00002", "checkpoint", "loop"])
def test_killed_after_each_of_its_phases_and_resumed_the_bits_are_the_uninterrupted_runs(
    tmp_path: Path, killed: str, uninterrupted: tuple[Path, PolicyVersion, str, Spent]
) -> None:
    root, expected, digest, spent = uninterrupted
    # What a kill leaves: all that came after is not there yet. The ledger may have it: nothing is written twice.
    gone = {"source": 0, "00000": 1, "00001": 2, "00002": 3}.get(killed)
    again_root = tmp_path / "again" / "small"
    shutil.copytree(root, again_root)
    (again_root / "metrics.jsonl").unlink()
    if killed != "loop":
        for iteration in range(3):
            shutil.rmtree(again_root / "iterations" / f"{iteration:05d}", ignore_errors=True)
        shutil.rmtree(again_root / "checkpoints" / "00003")
    if gone is not None:
        shutil.rmtree(again_root / "checkpoints")
        for epoch in range(gone, 3):
            shutil.rmtree(again_root / "iterations" / "warm_start" / f"{epoch:05d}")
    with open_run(small_config(tmp_path / "again", *WITH_KL), "small") as again:
        found = drive(again, 3)
        assert (found[-1] if found else again.resume()[1]).checksum == expected.checksum
        again.policy.at(expected)
        assert weights_checksum(again.policy.model) == expected.checksum
        assert (again.spent, again.ledger.digest()) == (spent, digest)


@pytest.mark.parametrize("of_the_model", [(), ("policy.lora.rank=4",)])
def test_the_run_goes_on_with_fresh_optimizers_from_the_last_version_which_a_kl_term_compares_with(
    opener: Opener, of_the_model: tuple[str, ...]
) -> None:
    settings = (*THEN_RELIFT, *of_the_model, "rl.kl.weight=0.01", "checkpoint.keep=1", "checkpoint.every=1")
    run = opener(*settings)
    version = warm_start(run, run.base)
    run.policy.at(version)
    assert all(not optimizer_tensors(optimizer) for optimizer in run.policy.optimizers.values())
    checkpoint(run, 0, version)
    assert weights_checksum(reference(run)) == version.checksum != run.base.checksum
    drive(run, 3)
    assert run.store.keys("checkpoints") == ["checkpoints/00000", "checkpoints/00003"], "the start is kept for the KL"
    assert not (run.root / "iterations" / "00001" / "rollout").exists()
    run.__exit__()
    again = opener(*settings)
    assert weights_checksum(reference(again)) == version.checksum == start_version(again).checksum


def test_a_run_of_it_alone_says_what_base_and_end_came_to_and_its_ledger_can_be_made_again(opener: Opener) -> None:
    run = opener(*ALONE)
    before = evaluate(run, run.first, run.base, full=True)
    version = warm_start(run, run.base)
    checkpoint(run, 0, version)
    start = evaluate(run, 0, version, full=True)
    summary = summary_of(run, report(run, 0, version, before, start, evaluate(run, 0, version, full=True)))
    assert summary.mean_base == pytest.approx(sum(r.avg_at_k for r in results_of(run, before)) / 9)
    assert summary.mean_start == summary.mean_after and summary.iterations == 0
    assert (summary.demonstrations, summary.demonstrations_used, summary.optimizer_steps) == (12, 12, 9)
    assert all(score.start == score.after for score in summary.families.values())
    run.ledger.set_status("interrupted")
    digest, root = run.ledger.digest(), run.root
    run.__exit__()
    (root / LEDGER).unlink()
    (root / "hard_examples.duckdb").unlink(missing_ok=True)
    rebuilt = rebuild(root)
    assert rebuilt.after["uses"] == 36 and not rebuilt.notes[2:]
    # An epoch whose recording is lost is kept by the ledger that has it, though the others are written again.
    shutil.rmtree(root / "iterations" / "warm_start" / "00001")
    with duckdb.connect(root / LEDGER) as connection:
        connection.execute("DELETE FROM uses WHERE version = 1")
    assert rebuild(root).after["uses"] == 36
    with open_run(small_config(root.parent, *ALONE), root.name) as again:
        assert again.ledger.digest() == digest


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("warm_start.demonstrations=290", "teach.control_share=0.5"), "are no controls: lower it"),
        (
            ("warm_start={epochs=2, optimizer={lr=1e-3, schedule={hold_share=0, final_share=0}}}",),
            "comes to a rate of 0 in the last of 2",
        ),
        (("warm_start.demonstrations=20", "budget.demonstrations=10"), "more than budget.demonstrations=10"),
        (("warm_start.demonstrations='all'", "budget.demonstrations=10"), "more than budget.demonstrations=10"),
        (
            ("warm_start.demonstrations=5", "rl=off", "teach.rule={kind='relift'}", "sft=off", "budget.rollouts=1"),
            "one",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name_before_any_work(
    opener: Opener, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        opener(*settings)


def test_why_solutions_were_refused_is_said_where_too_few_are_left(opener: Opener) -> None:
    run = opener("warm_start={demonstrations=240}", "teacher.max_tokens=12")
    with pytest.raises(DataError, match=r"lower it, or give more .* Of \d+ solutions, \d+ were refused: .* \(\d+\)"):
        warm_start(run, run.base)


def test_what_it_taught_counts_in_the_budget_of_demonstrations(opener: Opener) -> None:
    run = opener(*THEN_RELIFT, "budget.demonstrations=14")
    drive(run, 5)
    [(distinct,)] = run.ledger.execute("SELECT count(DISTINCT demonstration_id) FROM uses")
    assert distinct == run.spent.demonstrations <= 14
    assert torch.get_num_threads() == 1
