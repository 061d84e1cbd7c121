"""What a run may spend, and what it has spent, by its recorded phases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relift.phases.updates import learning_rate
from relift.records import Spent, UpdateKind
from relift.run.recorded import phase_key
from relift.run.run import Run
from relift.run.spending import spent_in
from relift.study.collect import SpentUntil
from tests.phases.conftest import Opener, drive

GUIDED = """
from relift import GuidedPrompt, Rule

class Guided(Rule):
    def requests(self, moment):
        return moment.hardest

    def prompts(self, moment):
        lessons = list(moment.waiting.values())[:3]
        begun = lambda lesson: lesson.text.partition("=")[0] + "="
        guided = [
            GuidedPrompt(lesson.question_id, begun(lesson), demonstration_id=lesson.demonstration_id)
            for lesson in lessons
        ]
        return [*guided, *(GuidedPrompt(lesson.question_id, None) for lesson in lessons)]
"""


def recounted(run: Run) -> Spent:
    """The same from the ledger, which the phases wrote on their own."""

    def one(sql: str) -> Any:
        return run.ledger.execute(sql)[0][0] or 0

    counted = "FROM groups WHERE purpose NOT IN ('probe', 'evaluation', 'confirm')"
    return Spent(
        rollouts=one(f"SELECT sum(rollouts) {counted}"),
        sampled_tokens=one(f"SELECT sum(tokens) {counted}"),
        update_flops=pytest.approx(one("SELECT sum(flops) FROM updates")),
        optimizer_steps=one("SELECT sum(steps) FROM updates"),
        trained_tokens=one("SELECT sum(tokens) FROM updates"),
        demonstrations=one("SELECT count(DISTINCT demonstration_id) FROM uses"),
    )


def test_what_a_run_has_spent_is_what_its_ledger_says_and_a_resumed_one_knows_it(opener: Opener) -> None:
    first = opener()
    drive(first, 5)
    assert first.spent == recounted(first)
    assert min(first.spent.demonstrations, first.spent.rollouts, first.spent.update_flops) > 0
    assert first.ledger.execute("SELECT count(*) FROM groups WHERE purpose = 'probe'")[0] > (0, 0)
    lines = [json.loads(line)["spent"] for line in (first.root / "metrics.jsonl").read_text().splitlines()]
    assert [Spent(**line).rollouts for line in lines] == [64, 128, 192, 256, 320]
    first.__exit__()
    again = opener()
    again.resume()
    assert again.spent.rollouts == 192, "that of the checkpoint after three iterations"
    drive(again, 5)
    assert again.spent == first.spent


def test_completions_after_a_prefix_are_counted_and_their_demonstrations_too(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rule_that_guides.py").write_text(GUIDED)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = opener("teach.rule=rule_that_guides:Guided", "budget.demonstrations=5", "sft=off")
    drive(run, 5)
    asked = "SELECT purpose, sum(rollouts), count(DISTINCT question_id) FROM groups GROUP BY purpose"
    (guided, questions), (unguided, _) = (
        found for purpose, *found in sorted(run.ledger.execute(asked)) if purpose in ("guided", "unguided")
    )
    assert run.spent.rollouts == 5 * 64 + guided + unguided and unguided == guided > 0
    studied = SpentUntil(run.ledger.execute)
    assert studied.of("rollouts") == run.spent.rollouts
    ((used,),) = run.ledger.execute("SELECT count(DISTINCT demonstration_id) FROM uses")
    assert 0 < run.spent.demonstrations == studied.demonstrations() == used <= min(questions, 5)


def test_what_a_rule_that_was_mended_has_nothing_for_any_more_is_forgotten(opener: Opener) -> None:
    run = opener("teach.rule.batch_size=200")
    for phase in ("sft_update", "trial"):
        run.store.publish(
            phase_key(0, phase), {}, inputs="of another rule", counts={"rollouts": 9, "tokens": 9}, facts={}
        )
    drive(run, 1)
    assert run.spent == recounted(run)
    assert not any(run.store.manifest(phase_key(0, phase)) for phase in ("sft_update", "trial"))


def test_a_budget_of_rollouts_ends_the_run_at_the_first_boundary_where_it_is_used(opener: Opener) -> None:
    run = opener("budget.rollouts=150", "iterations=100")
    assert run.iterations == 3
    assert [run.done(i) for i in range(3)] == [0, 1 / 3, 2 / 3]
    drive(run, 100)
    assert run.spent.rollouts == 192 and run.is_over(3)
    assert len((run.root / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_budget_of_flops_ends_the_run_and_its_share_moves_the_schedules(opener: Opener) -> None:
    probing = opener("checkpoint.every=100", name="probing")
    drive(probing, 4)
    each = [spent_in(probing.store, i).update_flops for i in range(4)]
    limit = sum(each[:3]) - 1
    config = [
        "iterations=1000",
        "checkpoint.every=100",
        f"budget.update_flops={limit}",
        "rl.optimizer.schedule.warmup_iterations=0",
    ]
    run = opener(*config, "rl.optimizer.schedule.hold_share=0", "rl.optimizer.schedule.final_share=0")
    assert run.iterations == 1000
    assert learning_rate(run, UpdateKind.RL, 0) == 2e-4
    drive(run, 1)
    used = run.spent.update_flops / limit
    assert 0 < used < 1 and learning_rate(run, UpdateKind.RL, 1) == pytest.approx(2e-4 * (1 - used))
    drive(run, 1000)
    count = len((run.root / "metrics.jsonl").read_text().splitlines())
    before = run.spent.update_flops - spent_in(run.store, count - 1).update_flops
    assert before < limit <= run.spent.update_flops, "it did not end at the first boundary"


def test_no_more_demonstrations_are_taught_than_the_budget_has(opener: Opener) -> None:
    free = opener("checkpoint.every=100", name="free")
    bound = opener("checkpoint.every=100", "budget.demonstrations=8", name="bound")
    drive(free, 6)
    drive(bound, 6)
    in_order = "SELECT DISTINCT ON (demonstration_id) demonstration_id FROM uses ORDER BY version, rowid"
    (taught, allowed) = ([name for (name,) in run.ledger.execute(in_order)] for run in (free, bound))
    assert len(taught) > 8 and len(allowed) == 8
    assert set(allowed) <= set(taught), "the surplus is what is left out, not what comes first"
    assert bound.spent.demonstrations == 8
    wanted = [len(bound.store.manifest(f"iterations/{i:05d}/gate").facts["wanted"]) for i in range(6)]  # type: ignore[union-attr]
    assert wanted[0] > 0 and wanted[-1] == 0, "teachers are asked for what may not be taught"
