"""A run's folder read into its result, of runs driven by hand."""

from __future__ import annotations

import pytest

from relift.errors import RunError
from relift.phases.evaluate import evaluate
from relift.phases.report import report, summary_of
from relift.phases.warm_start import start_version
from relift.run.run import Run
from relift.run.summary import write_summary
from relift.study.collect import Title, collect
from relift.study.results import RunResult
from tests.phases.conftest import Opener, drive, opener

__all__ = ["opener"]

GUIDED = ("teach.rule.kind=guided", "teach.rule.questions=3", "teach.rule.batch_size=2", "rollout.max_tokens=48")
WARM = "warm_start={demonstrations=12, epochs=2, minibatch=4, optimizer={lr=1e-3}}"


def finished(run: Run, iterations: int) -> Run:
    """As flows/train.py ends it."""
    before = evaluate(run, run.first, run.base, full=True)
    version = (drive(run, iterations) or [start_version(run)])[-1]
    start = evaluate(run, 0, start_version(run), full=True) if run.config.warm_start else before
    after = evaluate(run, iterations, version, full=True)
    write_summary(run.root, summary_of(run, report(run, iterations, version, before, start, after)))
    run.publish()
    return run


def result_of(run: Run, *measured: str) -> RunResult:
    title = Title(study="tiny", method="m", seed=0, reference=False, command="relift compare", measured=measured)
    return collect(run.store, title)


def test_what_is_asked_beside_the_batch_counts_and_so_do_controls_that_were_never_sampled(opener: Opener) -> None:
    run = finished(opener(*GUIDED, WARM, "budget.rollouts=400", "teach.control_share=0.3"), 6)
    found = result_of(run)
    purposes = dict(run.ledger.execute("SELECT purpose, sum(rollouts)::INT FROM groups GROUP BY purpose"))
    assert min(purposes[name] for name in ("train", "guided", "unguided", "prefix_search")) > 0
    counted = sum(count for name, count in purposes.items() if name not in ("probe", "evaluation", "confirm"))
    assert found.rollouts == counted == found.curve[-1].rollouts == found.training[-1].rollouts == run.spent.rollouts
    assert found.budget_used == pytest.approx(counted / 400) and found.budget_used > 1
    bought = "SELECT count(DISTINCT question_id) FROM demonstrations WHERE refusal IS NULL AND iteration = -1"
    assert found.controls_bought >= run.ledger.execute(bought)[0][0] - 12 > 0
    one = result_of(run, "add3")
    assert (
        [one.mean, one.mean_base]
        == [found.families["add3"].after, found.families["add3"].base]
        == [one.curve[-1].mean, one.curve[0].mean]
    )
    assert [point.update_flops > 0 for point in found.curve] == [False, True, True]
    assert [point.demonstrations for point in found.curve] == [0, 12, run.spent.demonstrations]


def test_a_ledger_that_counts_otherwise_than_the_run_is_no_result(opener: Opener) -> None:
    run = finished(opener("rl=off", "sft=off", WARM), 0)
    assert result_of(run).budget_used is None
    run.ledger.execute("DELETE FROM uses WHERE demonstration_id = (SELECT min(demonstration_id) FROM uses)")
    run.publish()
    with pytest.raises(RunError, match=r"spent 12 demonstrations, and its ledger counts 11.*relift ledger rebuild"):
        result_of(run)


@pytest.mark.parametrize(
    "settings", [("rl=off", "sft=off", "warm_start.demonstrations=0"), ("warm_start.demonstrations=0",)]
)
def test_a_warm_start_of_no_demonstrations_is_none(opener: Opener, settings: tuple[str, ...]) -> None:
    count = 0 if "rl=off" in settings else 3
    run = finished(opener(*settings, name="none"), count)
    found = result_of(run)
    assert found.mean_start == found.mean_base and start_version(run) == run.base
    if count:
        assert drive(opener(name="plain"), count)[-1].checksum == found.weights_sha256
    else:
        assert (found.weights_sha256, found.demonstrations, found.iterations) == (run.base.checksum, 0, 0)
    run.__exit__()
    again = opener(*settings, name="none")
    assert again.resume() == (count, run.resume()[1]), "the checkpoint after it is gone on from"


def test_a_budget_of_no_demonstrations_teaches_and_buys_none(opener: Opener) -> None:
    run = opener("budget.demonstrations=0", "teach.control_share=0.3")
    weights = drive(run, 5)[-1].checksum
    counts = run.ledger.counts()
    assert (counts["uses"], counts["demonstrations"]) == (0, 0)
    assert weights == drive(opener("sft=off", name="grpo"), 5)[-1].checksum
