"""switch, insert and mixed: what each answers of groups whose verdicts are known, and what is refused beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relift.config import InsertRuleConfig, MixedRuleConfig, SwitchRuleConfig
from relift.config.recipe import load_recipe
from relift.errors import ConfigError
from relift.interleave import Drop, Join, Lesson, Moment, Supervise, make_rule
from relift.interleave.rules.insert import InsertRule
from relift.interleave.rules.mixed import MixedRule
from relift.interleave.rules.switch import SwitchRule
from relift.records import Status
from tests.interleave.interleave_groups import group

GROUPS = (
    group("hard", [Status.WRONG] * 4),
    group("bare", [Status.WRONG] * 4),
    group("cut", [Status.TRUNCATED] * 4),
    group("once", [Status.CORRECT] + [Status.WRONG] * 3),
    group("known", [Status.CORRECT] * 4),
)
LESSONS = {
    q: Lesson(question_id=q, demonstration_id=q, text="1", first_iteration=0, failures=1)
    for q in ("hard", "cut", "once", "elsewhere")
}
MOMENT = Moment(
    iteration=3,
    seed=0,
    questions=tuple(g.question.id for g in GROUPS),
    waiting=LESSONS,
    groups=GROUPS,
    hardest=("hard", "bare"),
    teachable=tuple(g.question.id for g in GROUPS),
)


def test_switch_replaces_the_groups_that_the_gate_calls_hardest_and_have_a_demonstration() -> None:
    rule = SwitchRule(SwitchRuleConfig(weight=0.3))
    assert rule.requests(MOMENT) == ["hard", "bare"]
    assert rule.groups(MOMENT) == [Supervise("hard", weight=0.3, drop=True)]
    assert rule.rl_weight(MOMENT) == 1


def test_switch_with_a_gate_of_one_replaces_those_solved_once_too_and_none_for_lack_of_tokens() -> None:
    rule = SwitchRule(SwitchRuleConfig(gate=1))
    assert rule.requests(MOMENT) == ["hard", "bare", "once"]
    assert rule.groups(MOMENT) == [Supervise("hard", drop=True), Supervise("once", drop=True)]


def test_our_own_failures_switch_nothing_whatever_the_gate() -> None:
    """One right and seven that timed out: they may all have been right."""
    failed = group("once", [Status.CORRECT] + [Status.TIMEOUT] * 7)
    now = replace(MOMENT, groups=(failed,), hardest=())
    assert not SwitchRule(SwitchRuleConfig(gate=7)).requests(now)
    assert SwitchRule(SwitchRuleConfig(gate=8)).requests(now) == ["once"]


def test_insert_joins_the_hardest_or_all_that_have_a_demonstration() -> None:
    rule, all_of_them = InsertRule(InsertRuleConfig()), InsertRule(InsertRuleConfig(on="all"))
    assert (rule.requests(MOMENT), rule.groups(MOMENT)) == (["hard", "bare"], [Join("hard")])
    assert all_of_them.requests(MOMENT) == ["hard", "bare", "cut", "once"], "all of known is right"
    assert all_of_them.groups(MOMENT) == [Join("hard"), Join("cut"), Join("once")]


@pytest.mark.parametrize(("progress", "mu"), [(0.0, 0.8), (0.1, 0.6), (0.2, 0.4), (0.4, 0.0), (0.9, 0.0)])
def test_mixed_lets_mu_fall_linearly_and_the_weights_of_both_terms_with_it(progress: float, mu: float) -> None:
    rule = MixedRule(MixedRuleConfig(mu=0.8, final_mu=0.0, decay_share=0.4, token_weights="p(1-p)"))
    now = replace(MOMENT, progress=progress)
    assert rule.rl_weight(now) == pytest.approx(1 - mu)
    if not mu:
        assert not rule.groups(now) and not rule.requests(now), "what has no weight is not taught"
        return
    (answer,) = rule.groups(now)
    assert (answer.question_id, answer.token_weights, answer.drop) == ("hard", "p(1-p)", False)
    assert answer.weight == pytest.approx(mu)
    assert rule.requests(now) == ("hard", "bare")


def test_the_defaults_of_mixed_are_chord_mu_and_two_settings_make_it_chord_phi() -> None:
    default, phi = MixedRuleConfig(), MixedRuleConfig(mu=0.1, final_mu=0.1, token_weights="p(1-p)")
    for config, start, end, weights in ((default, 0.9, 0.05, "none"), (phi, 0.1, 0.1, "p(1-p)")):
        for progress, mu in ((0.0, start), (0.25, (start + end) / 2), (0.5, end), (1.0, end)):
            (answer,) = MixedRule(config).groups(replace(MOMENT, progress=progress))
            assert (answer.weight, answer.token_weights) == (pytest.approx(mu), weights)


def test_mixed_of_all_teaches_whatever_of_the_batch_has_a_demonstration() -> None:
    rule = MixedRule(MixedRuleConfig(on="all"))
    assert [answer.question_id for answer in rule.groups(MOMENT)] == ["hard", "cut", "once"]
    assert not any(isinstance(answer, Drop) or answer.drop for answer in rule.groups(MOMENT))


@pytest.mark.parametrize("kind", ["switch", "insert", "mixed"])
def test_what_would_be_ignored_or_come_too_late_is_refused_before_the_run(kind: str) -> None:
    rule = f"teach.rule={{ kind = '{kind}' }}"
    config = load_recipe("demo", [rule, "sft=off"])
    assert config.teaches and make_rule(config).needs_demonstrations_first
    with pytest.raises(ConfigError, match="the section sft would be ignored: set sft=off"):
        load_recipe("demo", [rule])
    with pytest.raises(ConfigError, match=r"(?s)wait_seconds=0 no answer of 'my_teachers:worked' would come in time"):
        load_recipe("demo", [rule, "sft=off", "teacher.sources=['dataset', 'my_teachers:worked']"])
    with pytest.raises(ConfigError, match=f"rl='off' leaves nothing to train.*'{kind}' teaches nothing"):
        load_recipe("demo", [rule, "sft=off", "rl=off"])
    with pytest.raises(ConfigError, match=f"buffer.capacity=63 would evict .*'{kind}' can teach them: up to 64 come"):
        load_recipe("demo", [rule, "sft=off", "buffer.capacity=63"])
    assert load_recipe("demo", [rule, "sft=off", "buffer.capacity=64"]).buffer.capacity == 64
    with pytest.raises(ConfigError, match=r"buffer.capacity=100 would evict"):
        load_recipe("demo", [rule, "sft=off", "buffer.capacity=100", "sampling.refill.cap=2"])
    with pytest.raises(ConfigError, match="batch_size"):
        load_recipe("demo", ["sft=off", f"teach.rule={{ kind = '{kind}', batch_size = 3 }}"])


def test_insert_is_refused_where_the_reward_may_be_on_another_scale() -> None:
    """Right rollouts of 10 would make of a demonstration's 1 a loss, and unlearn it."""
    settings = ["sft=off", "rl.reward=my_rewards:of_ten"]
    with pytest.raises(ConfigError, match=r"'insert' gives a demonstration the reward 1.*'my_rewards:of_ten'.*correct"):
        load_recipe("demo", [*settings, "teach.rule={ kind = 'insert' }"])
    load_recipe("demo", [*settings, "teach.rule={ kind = 'mixed' }"])
