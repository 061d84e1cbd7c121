"""The rule guided: what is given of a demonstration, how that is found, and when less or more of it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from relift.config import GuidedRuleConfig
from relift.config.batch_arithmetic import batch_arithmetic
from relift.config.recipe import load_recipe
from relift.errors import ConfigError
from relift.interleave import GuidedPrompt, Lesson, Moment
from relift.interleave.answers import Answers
from relift.interleave.rules.guided import Guidance, GuidedRule, next_cut
from relift.records import GuidedGroup, Prefix, RolloutGroup, Status
from tests.interleave.interleave_groups import group

TEXT = "1=2=3=4"
MOST = 3
"""Beginnings of TEXT that may be given: 1=, 1=2= and 1=2=3=."""
LESSON = Lesson(question_id="x", demonstration_id="d", text=TEXT, first_iteration=0, failures=1)


def moment(iteration: int = 0, lessons: Sequence[Lesson] = (LESSON,), **more: object) -> Moment:
    told = Moment(iteration=iteration, seed=0, questions=(), waiting={lesson.question_id: lesson for lesson in lessons})
    return replace(told, **more)  # type: ignore[arg-type]


def made(**settings: object) -> GuidedRule:
    return GuidedRule(GuidedRuleConfig(**settings), form="equals")  # type: ignore[arg-type]


def marks(question: str, right: int, of: int = 8) -> RolloutGroup:
    return group(question, [Status.CORRECT] * right + [Status.WRONG] * (of - right))


def beside(given: int, right: int, question: str = "x") -> GuidedGroup:
    tokens = (7,) * given
    prefix = Prefix(question_id=question, token_ids=tokens, demonstration_id="d" if given else None, given=given)
    return GuidedGroup(prefix=prefix, group=marks(question, right))


def searched(rule: GuidedRule, leads: Callable[[int], bool], **more: object) -> list[int]:
    """Asks until the rule answers nothing, and lets it advance; what was tried."""
    trials: list[GuidedGroup] = []
    while asked := rule.trials(moment(trials=tuple(trials), **more)):
        (prompt,) = asked
        trials.append(beside(prompt.given, int(leads(prompt.given))))
    rule.advance(moment(trials=tuple(trials), **more))
    return [found.prefix.given for found in trials]


@pytest.mark.parametrize("longest", range(9))
def test_bisection_finds_the_shortest_that_leads_or_that_none_does(longest: int) -> None:
    for shortest in range(1, longest + 2):
        outcomes: dict[int, bool] = {}
        while cut := next_cut(longest, outcomes):
            assert 1 <= cut <= longest and cut not in outcomes
            outcomes[cut] = cut >= shortest
        assert min((cut for cut, led in outcomes.items() if led), default=longest + 1) == shortest
        assert len(outcomes) <= longest.bit_length()


@pytest.mark.parametrize("shortest", [1, 2, 3])
def test_a_question_is_guided_by_the_shortest_beginning_that_leads_and_asked_as_it_is_too(shortest: int) -> None:
    rule = made()
    searched(rule, lambda given: given >= shortest)
    assert rule.prompts(moment(1)) == [
        GuidedPrompt("x", "1=2=3="[: 2 * shortest], demonstration_id="d", given=shortest, whole=TEXT),
        GuidedPrompt("x", None, demonstration_id="d"),
    ]
    assert [one.prefix is None for one in rule.prompts(moment(1, questions=("x",)))] == [False]
    assert not rule.requests(moment(hardest=("x",))) and list(rule.requests(moment(hardest=("y",)))) == ["y"]


def test_what_no_beginning_helps_waits_to_be_taught_and_is_searched_again_when_it_was_unsolved_again() -> None:
    rule = made(batch_size=1)
    assert searched(rule, lambda given: False) == [2, 3]
    assert not rule.guided and not rule.prompts(moment(1))
    assert rule.batches(moment(1)) == [["x"]]
    assert not rule.trials(moment(1))
    again = replace(LESSON, failures=2)
    assert searched(rule, lambda given: given == 3, lessons=(again,), iteration=1) == [2, 3]
    assert rule.guided["x"].given == 3 and not rule.batches(moment(1, lessons=(again,)))


def test_a_beginning_that_does_not_fit_is_not_tried_and_a_question_without_any_is_left_out() -> None:
    rule = made()
    assert searched(rule, lambda given: True, fits=lambda prompt: len(prompt.prefix) <= 4) == [1]
    assert rule.guided["x"].given == 1 and not rule.left_out
    rule = made()
    assert searched(rule, lambda given: False, fits=lambda prompt: len(prompt.prefix) > 2) == [1, 2]
    assert searched(rule, lambda given: given == 2, fits=lambda prompt: len(prompt.prefix) > 2) == [1, 2]
    (given, _) = rule.prompts(moment(1, fits=lambda prompt: prompt.prefix is None or len(prompt.prefix) > 2))
    assert (given.prefix, given.given) == ("1=2=3=", 2)
    rule = made()
    assert searched(rule, lambda given: True, fits=lambda prompt: False) == []
    assert rule.left_out == ["x"] and not rule.guided
    searched(rule, lambda given: True, fits=lambda prompt: False)
    assert rule.left_out == ["x"]


def test_what_comes_again_after_it_was_taught_or_solved_is_searched_for_before_it_is_taught() -> None:
    rule = made(batch_size=1)
    searched(rule, lambda given: False)
    assert rule.batches(moment(0)) == [["x"]]
    again = replace(LESSON, first_iteration=7)
    assert searched(rule, lambda given: given == 3, lessons=(again,), iteration=7) == [2, 3]
    assert "x" in rule.guided and not rule.batches(moment(7, lessons=(again,)))
    rule = made()
    searched(rule, lambda given: False)
    rule.advance(moment(1, lessons=()))
    assert not rule.failed


def follow(
    rule: GuidedRule,
    iteration: int,
    *found: GuidedGroup,
    groups: Sequence[RolloutGroup] = (),
    lessons: Sequence[Lesson] = (LESSON,),
) -> None:
    rule.advance(moment(iteration, lessons=lessons, guided=tuple(found), groups=tuple(groups)))


def guided(given: int = 2) -> GuidedRule:
    rule = made(batch_size=1)
    rule.guided["x"] = Guidance(demonstration_id="d", text=TEXT, given=given, asked=0)
    return rule


def test_half_right_and_less_is_given_until_nothing_is() -> None:
    rule = guided(2)
    follow(rule, 1, beside(2, 3), beside(0, 0))
    assert rule.guided["x"].given == 2
    follow(rule, 2, beside(2, 4), beside(0, 0))
    assert rule.guided["x"].given == 1
    follow(rule, 3, beside(1, 8), beside(0, 0))
    assert rule.guided["x"].given == 0
    assert rule.prompts(moment(4)) == [GuidedPrompt("x", None, demonstration_id="d")]
    assert not rule.prompts(moment(4, questions=("x",)))
    for iteration in (4, 5, 6):
        assert rule.guided["x"].given == 0
        follow(rule, iteration, beside(0, 0))
    assert rule.guided["x"].given == 1


def test_three_misses_in_a_row_and_more_is_given_until_no_more_may_be() -> None:
    rule = guided(2)
    for iteration, right in enumerate([0, 0, 1, 0, 0], start=1):
        follow(rule, iteration, beside(2, right), beside(0, 0))
    assert rule.guided["x"] == Guidance(demonstration_id="d", text=TEXT, given=2, misses=2, asked=5)
    follow(rule, 6, beside(2, 0), beside(0, 0))
    assert (rule.guided["x"].given, rule.guided["x"].misses) == (MOST, 0)
    for iteration in (7, 8, 9):
        assert "x" in rule.guided and not rule.batches(moment(iteration))
        follow(rule, iteration, beside(MOST, 0), beside(0, 0))
    assert not rule.guided
    assert rule.batches(moment(9)) == [["x"]], "what guidance came to nothing for is taught"
    assert not rule.trials(moment(10))
    assert rule.trials(moment(20, lessons=[replace(LESSON, failures=2)]))


@pytest.mark.parametrize("where", ["beside", "batch"])
def test_who_is_solved_without_help_leaves(where: str) -> None:
    rule = guided()
    if where == "beside":
        follow(rule, 1, beside(2, 0), beside(0, 1), lessons=())
    else:
        follow(rule, 1, groups=[marks("x", 1)], lessons=())
    assert not rule.guided and not rule.failed
    assert list(rule.requests(moment(hardest=("x",)))) == ["x"]


def test_a_guided_success_alone_is_none() -> None:
    rule = guided()
    follow(rule, 1, beside(2, 1), beside(0, 0), groups=[marks("x", 0)])
    assert rule.guided["x"].given == 2


def test_all_have_their_turn_and_no_more_are_guided_than_may_be() -> None:
    rule = made(questions=2, capacity=3)
    lessons = [replace(LESSON, question_id=q, demonstration_id=f"d{q}") for q in "abcde"]
    assert [prompt.question_id for prompt in rule.trials(moment(lessons=lessons))] == ["a", "b", "c"]
    for q in "abc":
        rule.guided[q] = Guidance(demonstration_id=f"d{q}", text=TEXT, given=2)
    assert not rule.trials(moment(lessons=lessons))
    turns = []
    for iteration in range(6):
        prompts = rule.prompts(moment(iteration, lessons=lessons))
        turns.append("".join(prompt.question_id for prompt in prompts if prompt.prefix is not None))
        found = tuple(beside(given, given // 2, q) for q in turns[-1] for given in (2, 0))
        rule.advance(moment(iteration, lessons=lessons[:3], guided=found))
    assert turns == ["ab", "ca", "bc"] * 2


def test_what_a_budget_does_not_pay_for_keeps_nobody_from_their_turn() -> None:
    rule = made(questions=1)
    lessons = [replace(LESSON, question_id=q, demonstration_id=f"d{q}") for q in "ab"]
    for q in "ab":
        rule.guided[q] = Guidance(demonstration_id=f"d{q}", text=TEXT, given=2)
    answers = Answers(
        rule=rule, name="guided", known=set("ab"), is_control=lambda q: False, taught={"db": "b"}, most_taught=1
    )
    asked = answers.prompts(moment(lessons=lessons), lambda what, prompt: Prefix(question_id=prompt.question_id))
    assert [prefix.question_id for prefix in asked] == ["b", "b"]


def test_no_more_is_searched_for_than_a_budget_pays_for_and_of_that_nobody_is_called_left_out() -> None:
    rule = made()
    rule.guided["a"] = Guidance(demonstration_id="da", text=TEXT, given=2)
    lessons = [replace(LESSON, question_id=q, demonstration_id=f"d{q}") for q in "abc"]
    for most, searched_for in ((1, []), (2, ["b"]), (3, ["b", "c"])):
        answers = Answers(rule=rule, name="guided", known=set("abc"), is_control=lambda q: False, most_taught=most)
        asked = answers.trials(moment(lessons=lessons), lambda what, prompt: Prefix(question_id=prompt.question_id))
        assert [prefix.question_id for prefix in asked] == searched_for
    answers = Answers(rule=rule, name="guided", known=set("abc"), is_control=lambda q: False, most_taught=1)
    answers.advance(moment(lessons=lessons))
    assert not rule.left_out and not rule.failed


def test_whose_demonstration_left_before_it_guided_is_guided_no_more() -> None:
    rule = made()
    searched(rule, lambda given: True)
    assert rule.guided and not rule.prompts(moment(1, lessons=()))
    rule.advance(moment(1, lessons=()))
    assert not rule.guided


def test_the_state_survives_json() -> None:
    rule, again = guided(), made()
    rule.failed, rule.left_out = {"y": 2}, ["z"]
    again.restore(json.loads(json.dumps(rule.to_json())))
    assert again.guided == rule.guided and again.to_json() == rule.to_json()


@pytest.mark.parametrize("setting", ["batch_size=8", "max_updates_per_iteration=2"])
def test_settings_of_its_supervised_update_are_refused_without_one(setting: str) -> None:
    settings = ("teach.rule.kind=guided", f"teach.rule.{setting}", "sft.minibatch=8")
    load_recipe("demo", settings)
    with pytest.raises(ConfigError, match=rf"teach.rule.{setting.partition('=')[0]} .* sft=off switches off"):
        load_recipe("demo", (*settings[:2], "sft=off"))


def test_the_batch_arithmetic_counts_what_is_sampled_beside_the_batch() -> None:
    def lines(*settings: str) -> dict[str, str]:
        found = batch_arithmetic(load_recipe("demo", settings), questions=640, iterations=10)
        return {line.what: line.amount for line in found}

    plain = lines()
    guided = lines("teach.rule.kind=guided", "teach.rule.questions=3", "teach.rule.capacity=5", "rollout.samples=8")
    assert guided["completions guided and unguided, at most"] == f"{3 * 2 * 8 * 10:,}"
    assert guided["completions of the prefix search, at most"] == f"{5 * 3 * 4 * 10:,}"
    tokens = [int(one["sampled tokens, at most"].replace(",", "")) for one in (guided, plain)]
    assert tokens[0] - tokens[1] == 48 * 10 * (3 * 2 * 8 + 5 * 3 * 4)
    asked_again = lines("teach.rule.kind=zppo", "sft=off")["completions of prompts beside the batch, at most"]
    assert asked_again == f"{(32 + 16 + 16) * 8 * 10:,}"
    tried = lines("teach.rule.kind=intervention")["completions of continuations, at most"]
    assert tried == f"{64 * 4 * 10:,}"
    settings = "teach.rule={kind='self-distil', gap_questions=20, gap_samples=6}"
    assert lines(settings, "sft=off")["completions for the gap, at most"] == f"{2 * 20 * 6}", (
        "once, in whatever iteration"
    )
