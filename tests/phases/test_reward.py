"""A reward of one's own: a number or named parts, in processes that may be killed; the verdicts stay as they are."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from relift.config.recipe import load_recipe
from relift.errors import ConfigError, SelfCheckFailed
from relift.ledger.check import check
from relift.phases.rollout import rollout
from relift.phases.tables import from_parquet
from relift.phases.verify import FILE, groups_of, verify
from relift.rebuild.rebuild import rebuild
from relift.records import GradedCompletion, Question, Rewarded, RewardStatus, Rollout, RolloutGroup, Status
from relift.reward import OwnReward, make_reward, require_reward
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.own_rewards import FATES, fate_of, parts_of
from tests.verifier.process_table import wait_until_gone

HERE = "tests.phases.own_rewards"
SETTINGS = (
    f"rl.reward.kind={HERE}:two_parts",
    "rl.reward.settings.weight=0.25",
    "rl.reward.seconds=2",
    "rl.reward.workers=2",
    "rl.reward.max_failed_share=0.5",
)
STATUS_OF = {
    "": RewardStatus.GIVEN,
    "hang": RewardStatus.TIMEOUT,
    "raise": RewardStatus.ERROR,
    "nan": RewardStatus.NOT_FINITE,
    "infinite part": RewardStatus.NOT_FINITE,
    "text": RewardStatus.NOT_A_NUMBER,
    "nothing": RewardStatus.NOT_A_NUMBER,
}


def never() -> None:
    pass


def own(function: str, *settings: str) -> OwnReward:
    made = make_reward(load_recipe("demo", [f"rl.reward.kind={HERE}:{function}", *settings]).rl)
    assert isinstance(made, OwnReward)
    return made


def graded(completion: str) -> GradedCompletion:
    return GradedCompletion(question="1+2?", gold="3", completion=completion, answer=None, status=Status.NO_ANSWER)


def graded_of(question: Question, one: Rollout) -> GradedCompletion:
    return GradedCompletion(
        question=question.text,
        gold=question.answer,
        completion=one.completion.text,
        answer=one.verdict.answer,
        status=one.verdict.status,
    )


def rewards(own_reward: OwnReward, words: Sequence[str]) -> list[Rewarded]:
    with closing(own_reward):
        found = dict(own_reward.results([graded(word) for word in words], check=never))
    assert sorted(found) == list(range(len(words)))
    return [found[number] for number in range(len(words))]


def first_groups(run: Run) -> tuple[list[RolloutGroup], list[str], list[dict[str, object]]]:
    """Of iteration 0: its groups, the hardest questions, and the rows of its verdicts."""
    drive(run, 1, checkpoints=False)
    rollouts = rollout(run, 0, run.base)
    verdicts = verify(run, 0, rollouts)
    hardest = run.ledger.execute("SELECT question_id FROM groups WHERE is_hardest ORDER BY 1")
    rows = from_parquet(run.store.read(verdicts.key, FILE))
    return groups_of(run, rollouts, verdicts), [question for (question,) in hardest], rows


def test_what_a_reward_gives_has_a_status_and_a_phrase_that_says_what_was_wrong():
    told = {
        "whole": (RewardStatus.GIVEN, ""),
        "true": (RewardStatus.GIVEN, ""),
        "parts": (RewardStatus.GIVEN, ""),
        "nan": (RewardStatus.NOT_FINITE, "by_word returned nan"),
        "infinite part": (RewardStatus.NOT_FINITE, "returned inf for 'b'"),
        "no finite sum": (RewardStatus.NOT_FINITE, "have no finite sum"),
        "vast": (RewardStatus.NOT_FINITE, "returned inf"),
        "text": (RewardStatus.NOT_A_NUMBER, "returned str, not a number"),
        "text part": (RewardStatus.NOT_A_NUMBER, "returned str for 'a', not a number"),
        "nothing": (RewardStatus.NOT_A_NUMBER, "returned NoneType, not a number"),
        "no parts": (RewardStatus.NOT_A_NUMBER, "returned 0 parts"),
        "no name": (RewardStatus.NOT_A_NUMBER, "named a part 3"),
        "unprintable": (RewardStatus.NOT_A_NUMBER, "printable characters"),
        "raise": (RewardStatus.ERROR, "raised ValueError: cannot read it"),
        "exit": (RewardStatus.ERROR, "raised SystemExit: 3"),
        "fill": (RewardStatus.ERROR, "it needed more memory than a worker may have"),
        "vanish": (RewardStatus.ERROR, "twice: exit status 7"),
        "hang": (RewardStatus.TIMEOUT, "no reward within 2 s"),
    }
    found = rewards(own("by_word", "rl.reward.seconds=2", "rl.reward.max_failed_share=1"), list(told))
    for (word, (status, phrase)), one in zip(told.items(), found, strict=True):
        assert (one.status, phrase in one.reason) == (status, True), (word, one)
        assert (one.value is None) == (status is not RewardStatus.GIVEN)
    assert [(one.value, one.parts) for one in found[:3]] == [(2.0, ()), (1.0, ()), (-0.75, (("b", 0.25), ("a", -1.0)))]


def test_a_hopeless_reward_is_given_up_after_the_share_that_may_fail():
    settings = ("rl.reward.seconds=0.5", "rl.reward.workers=1", "rl.reward.max_failed_share=0.1")
    found = rewards(own("by_word", *settings), ["hang"] * 20)
    assert Counter(one.status for one in found) == {RewardStatus.TIMEOUT: 3, RewardStatus.ERROR: 17}
    assert all("not asked" in one.reason for one in found if one.status is RewardStatus.ERROR)


def test_a_reward_that_forks_and_returns_in_the_child_is_given_once():
    words = ["whole", "fork", "true", "fork", *["whole", "true"] * 8]
    found = rewards(own("by_word", "rl.reward.workers=1"), words)
    assert [one.value for one in found] == [2.0, 0.5, 1.0, 0.5, *[2.0, 1.0] * 8]


def test_what_a_reward_started_ends_with_it(tmp_path):
    started = tmp_path / "pid"
    (one,) = rewards(own("by_word", "rl.reward.seconds=2"), [f"child {started}"])
    assert one.status is RewardStatus.TIMEOUT
    assert wait_until_gone(int(started.read_text()), 5.0)


def test_of_what_a_reward_printed_before_it_crashed_the_end_is_read():
    tracemalloc.start()
    (one,) = rewards(own("by_word"), ["print"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert one.status is RewardStatus.ERROR and "exit status 7" in one.reason
    assert peak < 16 << 20


def test_a_reward_whose_source_changes_while_it_is_used_gives_no_more(tmp_path, monkeypatch):
    source = tmp_path / "reward_that_changes.py"
    source.write_text("import os\ndef one(graded):\n    return 1.0 if graded.completion else os._exit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    config = load_recipe("demo", ["rl.reward=reward_that_changes:one", "rl.reward.max_failed_share=1"]).rl
    require_reward(config)
    made = make_reward(config)
    assert isinstance(made, OwnReward)
    with closing(made):
        assert dict(made.results([graded("a")], check=never))[0].value == 1.0
        source.write_text(source.read_text().replace("1.0", "200.0"))
        dict(made.results([graded("")], check=never))  # its worker ends, and another begins
        (one,) = dict(made.results([graded("a")], check=never)).values()
    assert one.value is None and "has changed since this run was opened" in one.reason


def test_a_completion_too_long_for_a_worker_costs_its_own_reward_alone():
    found = rewards(own("length", "rl.reward.max_failed_share=0.5"), ["\U0001d11e" * 1_000_000, "1", "1" * 1_100_000])
    assert [one.value for one in found[:2]] == [1_000_000, 1]
    assert found[2].status is RewardStatus.ERROR and "1100014 characters" in found[2].reason


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["rl.reward.kind=corect"], r"rl.reward: its kind is one of 'correct' or the import path"),
        (["rl.reward.kind=nowhere_at_all:x"], r"rl.reward.kind='nowhere_at_all:x': the module nowhere_at_all was not"),
        ([f"rl.reward.kind={HERE}:two_part"], r"has no 'two_part'. Did you mean 'two_parts'"),
        (
            [f"rl.reward.kind={HERE}:not_a_function"],
            r"is int; a reward is something to call that takes \(graded, ...\)",
        ),
        ([f"rl.reward.kind={HERE}:needs_another"], r"takes \(answer: 'str'\); a reward .* takes \(graded, ...\)"),
        ([*SETTINGS, "rl.reward.settings.wieght=1"], r"rl.reward.settings.wieght: no such setting \(did you mean"),
        ([*SETTINGS, "rl.reward.settings.weight=much"], r"rl.reward.settings.weight: .*valid number.*got 'much'"),
        ([*SETTINGS, "rl.reward.secnds=1"], r"rl.reward.secnds: no such key \(did you mean rl.reward.seconds"),
    ],
)
def test_a_reward_that_cannot_be_used_is_refused_before_anything_is_made(opener: Opener, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        opener(*settings)
    assert not (tmp_path / "runs").exists()


def test_a_module_that_ends_its_process_does_not_end_this_one(tmp_path, monkeypatch):
    (tmp_path / "ends_at_once.py").write_text("import os\nos._exit(5)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"rl.reward.kind='ends_at_once:x': .*cannot be started: exit status 5"):
        require_reward(load_recipe("demo", ["rl.reward.kind=ends_at_once:x"]).rl)


def test_failures_mask_their_own_rollouts_and_move_neither_verdict_nor_gate(opener: Opener):
    plain, plain_hardest, plain_rows = first_groups(opener("rollout.samples=8", name="plain"))
    with opener(*SETTINGS, "rollout.samples=8", name="own") as run:
        groups, hardest, rows = first_groups(run)
    assert hardest == plain_hardest and hardest
    fates = Counter[str]()
    for group, as_ever in zip(groups, plain, strict=True):
        for one, before in zip(group.rollouts, as_ever.rollouts, strict=True):
            assert replace(one.verdict, seconds=0) == replace(before.verdict, seconds=0)
            assert one.completion == before.completion
            fate = fate_of(graded_of(group.question, one))
            parts = parts_of(graded_of(group.question, one), 0.25)
            fates[fate] += 1
            assert one.reward_status is STATUS_OF[fate], (fate, one.reward_reason)
            assert one.reward == (None if fate else sum(parts.values()))
            assert dict(one.reward_parts) == ({} if fate else parts)
    assert set(fates) == {"", *FATES} and fates[""] > 64
    assert not any(name.startswith("reward_") for name in plain_rows[0]) and "reward_parts" in rows[0]
    manifest = run.store.manifest("iterations/00000/verify")
    assert manifest is not None and sum(manifest.counts.values()) == len(rows)
    assert json.loads((run.root / "run.json").read_text())["plugins"].keys() == {f"rl.reward {HERE}:two_parts"}


def test_too_many_failed_rewards_stop_the_run_and_say_why(opener: Opener):
    run = opener(f"rl.reward.kind={HERE}:by_word", "rl.reward.seconds=2")
    with pytest.raises(SelfCheckFailed, match=r"64 of 64 rewards of .*:by_word failed \(.*error, .*KeyError"):
        verify(run, 0, rollout(run, 0, run.base))


def test_results_may_come_in_any_order(opener: Opener):
    class Judge:
        """Of all completions at once, the last one first."""

        def results(
            self, graded: Sequence[GradedCompletion], *, check: Callable[[], None]
        ) -> Iterator[tuple[int, Rewarded]]:
            for number in reversed(range(len(graded))):
                value = float(len(graded[number].completion))
                yield number, Rewarded(value=value, status=RewardStatus.GIVEN)

        def close(self) -> None: ...

    run = opener(*SETTINGS)
    run.reward = Judge()
    groups, *_ = first_groups(run)
    assert all(one.reward == len(one.completion.text) for group in groups for one in group.rollouts)


@pytest.mark.slow
def test_killed_and_resumed_it_is_bit_equal_and_its_parts_are_in_the_ledger_and_in_one_made_again(opener: Opener):
    with opener(*SETTINGS, name="whole") as run:
        checksum = drive(run, 3, checkpoints=False)[-1].checksum
        _require_parts_add_up(run)
        rows, root = _attempts(run), run.root
    with opener(*SETTINGS, name="killed") as run:
        version = drive(run, 1, checkpoints=False)[-1]
        verify(run, 1, rollout(run, 1, version))
    with opener(*SETTINGS, name="killed") as run:
        assert drive(run, 3, checkpoints=False)[-1].checksum == checksum
        assert _attempts(run) == rows
    for path in (*root.glob("ledger.duckdb*"), *root.glob("hard_examples.duckdb")):
        path.unlink()
    rebuild(root)
    assert not any(one.wrong for one in check(root / "ledger.duckdb"))
    with opener(*SETTINGS, name="whole") as run:
        assert _attempts(run) == rows


def _require_parts_add_up(run: Run) -> None:
    off = run.ledger.execute(
        "SELECT count(*) FROM attempts a JOIN (SELECT iteration, question_id, sample, sum(value) AS total FROM "
        "reward_parts WHERE purpose = 'train' GROUP BY ALL) USING (iteration, question_id, sample) "
        "WHERE a.purpose = 'train' AND abs(a.reward - total) > 1e-12"
    )
    failed = dict(run.ledger.execute("SELECT status, count(*) FROM reward_failures GROUP BY 1"))
    train = "SELECT count(*) FROM attempts WHERE purpose = 'train'"
    assert off == [(0,)] and set(failed) == {"timeout", "error", "not_finite", "not_a_number"}
    assert run.ledger.execute(f"{train} AND reward IS NULL") == [(sum(failed.values()),)]
    parts, rewarded = (
        run.ledger.execute(sql)[0][0]
        for sql in ("SELECT count(*) FROM reward_parts", f"{train} AND reward IS NOT NULL")
    )
    assert parts == 2 * rewarded > 100
    for line in (run.root / "metrics.jsonl").read_text().splitlines():
        means = json.loads(line)["rewards"]
        assert set(means) == {"reward", "reward/right", "reward/short", "failed"} and 0 < means["failed"] < 0.5
        assert means["reward"] == pytest.approx(means["reward/right"] + means["reward/short"])


def _attempts(run: Run) -> list[list[tuple[object, ...]]]:
    kept = "iteration, question_id, sample, purpose"
    return [
        run.ledger.execute(f"SELECT {kept}, {more} FROM {table} ORDER BY ALL")
        for table, more in (
            ("attempts", "status, reward"),
            ("reward_parts", "name, value"),
            ("reward_failures", "status, reason"),
        )
    ]
