"""The rule intervention: which wrong rollout, which step, what is admitted and when it is taught."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from relift.config import InterventionRuleConfig, RunConfig
from relift.config.recipe import load_recipe
from relift.errors import ConfigError
from relift.interleave import GuidedPrompt, Lesson, Moment, Partial, make_rule
from relift.interleave.rules.intervention import MOST_AWAITED, InterventionRule
from relift.records import GuidedGroup, Prefix, Purpose, RolloutGroup, Status
from tests.interleave.interleave_groups import group

WORKED = "40*6+7*6=240+42=282"


def rule(mark: str = "=", **settings: Any) -> InterventionRule:
    return InterventionRule(InterventionRuleConfig(kind="intervention", **{"batch_size": 1} | settings), mark)


def wrote(name: str, *texts: str, statuses: Sequence[Status] = ()) -> RolloutGroup:
    found = group(name, statuses or [Status.WRONG] * len(texts))
    rollouts = zip(found.rollouts, texts, strict=True)
    return replace(
        found, rollouts=tuple(replace(r, completion=replace(r.completion, text=text)) for r, text in rollouts)
    )


def lesson(name: str, text: str = WORKED, *, since: int = 3) -> Lesson:
    return Lesson(question_id=name, demonstration_id=f"d-{name}", text=text, first_iteration=since, failures=1)


def part(question: str, beginning: str) -> Partial:
    return Partial(question, beginning, whole=WORKED)


def moment(groups: Sequence[RolloutGroup], waiting: Sequence[Lesson], iteration: int = 3) -> Moment:
    names = tuple(one.question.id for one in groups)
    return Moment(
        iteration=iteration,
        seed=0,
        questions=names,
        waiting={one.question_id: one for one in waiting},
        groups=tuple(groups),
        hardest=tuple(one.question.id for one in groups if one.is_unsolved),
    )


def tried(now: Moment, of: InterventionRule, *right: str) -> Moment:
    """The moment with what came of the rule's trials: right for these questions."""
    results = [
        GuidedGroup(
            prefix=Prefix(question_id=one.question_id, token_ids=(1,)),
            group=group(one.question_id, [Status.WRONG] * 3 + [status]),
        )
        for one in of.trials(now)
        for status in [Status.CORRECT if one.question_id in right else Status.WRONG]
    ]
    return replace(now, trials=tuple(results))


def target_of(*texts: str, demonstration: str = WORKED, mark: str = "=") -> str:
    (found,) = rule(mark).trials(moment([wrote("q", *texts)], [lesson("q", demonstration)]))
    assert isinstance(found, GuidedPrompt) and found.question_id == "q" and isinstance(found.prefix, str)
    return found.prefix


def test_the_target_is_the_right_beginning_and_the_demonstrations_next_step() -> None:
    assert target_of("40*6+7*6=240+41=281") == "40*6+7*6=240+42="
    assert target_of("47+6=53") == "40*6+7*6="
    assert target_of("40*6+7*6=2") == "40*6+7*6=240+42="
    assert target_of("40*6+7*6") == "40*6+7*6=", "what was cut is no step"


def test_of_several_wrong_rollouts_the_one_that_came_farthest_counts() -> None:
    assert target_of("47+6=53", "40*6+7*6=240+41=281", "1=2") == "40*6+7*6=240+42="


def test_lines_are_steps_elsewhere_and_a_tag_that_the_prompt_holds_is_no_step() -> None:
    worked = "<think>\nTwice 3 is 6.\n\nSo 7.\n</think>\n#### 7"
    assert target_of("Twice 3 is 6.\n\nSo 8.\n", demonstration=worked, mark="\n") == "<think>\nTwice 3 is 6.\n\nSo 7.\n"
    assert target_of("<think>\nThrice", demonstration=worked, mark="\n") == "<think>\nTwice 3 is 6.\n\n"


def test_what_could_not_be_graded_says_nothing() -> None:
    got = wrote("q", "40*6+7*6=240+41=281", "47+6=53", statuses=[Status.TIMEOUT, Status.WRONG])
    (found,) = rule().trials(moment([got], [lesson("q")]))
    assert found.prefix == "40*6+7*6="


def test_an_intervention_is_taught_where_one_continuation_is_right_and_else_waits() -> None:
    made = rule(batch_size=2)
    now = moment([wrote(name, "47+6=53") for name in "abc"], [lesson(name) for name in "abc"])
    made.advance(tried(now, made, "a", "c"))
    assert made.batches(now) == [[part("a", "40*6+7*6="), part("c", "40*6+7*6=")]]
    later = moment([wrote("b", "40*6+7*6=1")], [lesson("b")], iteration=4)
    assert [one.prefix for one in made.trials(later)] == ["40*6+7*6=240+42="], "tried again by a newer rollout"
    made.advance(tried(later, made, "b"))
    assert not made.batches(later), "two of them were taught, one alone waits"


def test_a_last_step_is_the_whole_demonstration_which_needs_no_trial() -> None:
    made = rule()
    now = moment([wrote("q", "40*6+7*6=240+42=281")], [lesson("q")])
    assert not made.trials(now)
    made.advance(now)
    assert made.batches(now) == [[part("q", WORKED)]]


def test_without_samples_nothing_is_continued_and_every_one_is_taught() -> None:
    made = rule(samples="off", batch_size=2)
    now = moment([wrote("a", "47+6=53"), wrote("b", "40*6+7*6=1")], [lesson("a"), lesson("b")])
    assert not made.trials(now)
    made.advance(now)
    assert made.batches(now) == [[part("a", "40*6+7*6="), part("b", "40*6+7*6=240+42=")]]


def test_a_long_step_is_not_taught() -> None:
    now = moment([wrote("q", "1=2")], [lesson("q")])
    assert rule(longest_step=len("40*6+7*6=")).trials(now)
    assert not rule(longest_step=len("40*6+7*6=") - 1).trials(now)


def test_a_demonstration_that_comes_late_is_compared_with_the_rollouts_of_then() -> None:
    made = rule()
    made.advance(moment([wrote("q", "40*6+7*6=1", "2"), wrote("solved", "1", statuses=[Status.CORRECT])], []))
    made.restore(json.loads(json.dumps(made.to_json())))
    later = moment([], [lesson("q", since=4)], iteration=4)
    assert [one.prefix for one in made.trials(later)] == ["40*6+7*6=240+42="]
    made.advance(tried(later, made, "q"))
    assert made.batches(later) == [[part("q", "40*6+7*6=240+42=")]]
    assert made.to_json()["wrong"] == {}


def test_rollouts_are_kept_for_a_bounded_number_of_questions_and_not_of_solved_ones() -> None:
    made = rule()
    made.advance(moment([wrote(f"q{n}", "1") for n in range(MOST_AWAITED + 5)], []))
    made.advance(moment([wrote("q9", "7", statuses=[Status.CORRECT])], []))
    kept = made.to_json()["wrong"]
    assert len(kept) == MOST_AWAITED - 1 and "q4" not in kept and "q9" not in kept and "q5" in kept


def test_what_waits_admitted_is_not_tried_again_and_leaves_with_its_demonstration() -> None:
    made = rule(batch_size=2)
    now = moment([wrote("q", "47+6=53")], [lesson("q")])
    made.advance(tried(now, made, "q"))
    again = moment([wrote("q", "47+6=53")], [lesson("q")], iteration=4)
    assert not made.trials(again)
    made.advance(again)
    assert made.to_json()["admitted"] == {"q": "40*6+7*6="}
    made.advance(moment([], [], iteration=5))
    assert made.to_json()["admitted"] == {}
    made.advance(tried(now, made, "q"))
    newer = moment([wrote("q", "40*6+7*6=1")], [lesson("q", since=5)], iteration=5)
    assert [one.prefix for one in made.trials(newer)] == ["40*6+7*6=240+42="], "it was taught, and came again"


def test_the_hardest_are_asked_for_and_the_continuations_are_of_their_own_purpose() -> None:
    made = rule(samples=3)
    assert made.requests(moment([wrote("b", "1"), wrote("a", "1")], [])) == ["b", "a"]
    assert (made.trial_samples, made.trial_rounds, made.trial_purpose) == (3, 1, Purpose.CONTINUATION)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("sft=off",), "teaches by the supervised update alone, which sft='off' switches off"),
        (("buffer.capacity=8",), "teach.rule.batch_size=64 can never be reached: buffer.capacity"),
        (("teacher.max_tokens=49",), "teacher.max_tokens=49 .*rollout.max_tokens=48"),
        (("teach.rule.sample=3",), "did you mean teach.rule.samples"),
    ],
)
def test_what_cannot_be_is_refused_before_work_starts(settings: tuple[str, ...], message: str) -> None:
    assert isinstance(load_recipe("demo", ["teach.rule.kind=intervention"]), RunConfig)
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", ["teach.rule.kind=intervention", *settings])


def test_of_how_many_the_first_step_is_all_that_is_taught_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    groups = [wrote("first", "47+6=53"), wrote("second", "40*6+7*6=240+41=281")]
    rule().advance(moment(groups, [lesson("first"), lesson("second")]))
    assert "1 of 2 interventions are the first step of a demonstration and no more" in caplog.text
    settings = ["teach.rule={ kind = 'intervention' }", "questions.answer_form=hashes"]
    make_rule(load_recipe("demo", [*settings, "rollout.max_tokens=48"]))
    assert "in prose they agree in nothing" in caplog.text


def test_what_is_never_rehearsed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sft.rehearse=4 would be ignored: .*intervention teaches parts"):
        load_recipe("demo", ["teach.rule={ kind = 'intervention' }", "sft.rehearse=4"])
