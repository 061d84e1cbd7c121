"""What a rule answers is checked, and says nothing of controls, wherever it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relift.config import ReliftRuleConfig
from relift.errors import RuleError
from relift.interleave import (
    ALL_KEPT,
    Distil,
    Drop,
    Fates,
    GuidedPrompt,
    Join,
    Lesson,
    Moment,
    Partial,
    Rule,
    Supervise,
)
from relift.interleave.answers import Answers
from relift.interleave.rules.relift import ReliftRule
from relift.records import RewardStatus, Status
from tests.interleave.interleave_groups import group

LESSONS = {
    q: Lesson(question_id=q, demonstration_id=q, text="1", first_iteration=0, failures=1) for q in ("a", "c", "d")
}
GROUPS = tuple(group(name, [Status.WRONG] * 2) for name in "abc")
MOMENT = Moment(iteration=3, seed=0, questions=("a", "b", "c"), waiting=LESSONS, hardest=("a",), groups=GROUPS)


class Said(Rule):
    """Answers everything by what it was made with."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def prompts(self, moment: Moment) -> Any:
        return self.said

    groups = requests = batches = trials = prompts


def asked(what: str, said: Any) -> Any:
    answers = Answers(rule=Said(said), name="x:Y", known={"a", "b", "c", "d"}, is_control=lambda q: q == "c")
    encode = {"requests": [], "batches": [encoded]}
    return getattr(answers, what)(MOMENT, *encode.get(what, [prefix_of]))


def encoded(part: Partial) -> tuple[int, ...]:
    return (1,)


def prefix_of(answer: str, prompt: GuidedPrompt) -> Any:
    return prompt.question_id, answer


def test_controls_are_left_out_of_every_answer() -> None:
    for what in ("prompts", "trials"):
        assert asked(what, [GuidedPrompt("c", "1"), GuidedPrompt("d", "1")]) == [("d", what)]
    assert asked("groups", [Drop("c"), Join("a")]) == Fates(joined=("a",))
    assert asked("groups", [Join("c")]) == asked("groups", [Supervise("c", drop=True)]) == ALL_KEPT
    assert asked("requests", ["c", "b"]) == ["b"]
    assert asked("batches", [["c"], ["a", "c", "d"]]) == [[("a", None), ("d", None)]]
    assert asked("batches", [[Partial("c", "1")], ["a", Partial("d", "1")]]) == [[("a", None), ("d", (1,))]]


@pytest.mark.parametrize(
    ("what", "said", "message"),
    [
        ("prompts", [("a", "1")], "which is no GuidedPrompt"),
        ("prompts", [GuidedPrompt("a", "1"), GuidedPrompt("a", "2")], "names 'a' twice"),
        ("prompts", [GuidedPrompt("held out", "1")], "'held out', which is not a training question"),
        ("groups", ["a"], "which is no Drop or Join or Supervise"),
        ("groups", [Drop("d")], "'d', which is not a question of the batch"),
        ("groups", [Drop("a"), Join("a")], "names 'a' twice"),
        ("groups", [Join("b")], "joins 'b', for which no admitted demonstration waits"),
        ("groups", [Supervise("b")], "supervises 'b', for which no admitted demonstration waits"),
        ("groups", [Supervise("a"), Join("a")], "names 'a' twice"),
        ("groups", [Supervise("a", weight=0.0)], "whose weight is no number above 0"),
        ("groups", [Supervise("a", weight=float("nan"))], "whose weight is no number above 0"),
        ("groups", [Supervise("a", token_weights="p")], "whose token_weights are neither"),  # type: ignore[arg-type]
        ("groups", [Distil("b", "1")], "distils 'b', for which no admitted demonstration waits"),
        ("groups", [Distil("a", "1", weight=-1.0)], "whose weight is no number above 0"),
        ("groups", [Distil("a", "1")], "its class does not say distils = True"),
        ("trials", [GuidedPrompt("a", "1"), GuidedPrompt("a", None)], "names 'a' twice"),
        ("requests", "abc", "which is no list"),
        ("requests", None, "which is no list"),
        ("requests", [3], "which is no str"),
        ("requests", ["a", "a"], "names 'a' twice"),
        ("batches", ["a"], "which is no list or tuple"),
        ("batches", [["a"], ["a"]], "names 'a' twice"),
        ("batches", [["a"], [Partial("a", "1")]], "names 'a' twice"),
        ("batches", [[("a", "1")]], "which is no str or Partial"),
        ("batches", [["b"]], "'b', which is not a question for which a demonstration waits"),
    ],
)
def test_an_answer_that_cannot_be_is_named(what: str, said: Any, message: str) -> None:
    with pytest.raises(RuleError, match=f"x:Y'.*{what} .*{message}"):
        asked(what, said)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda rule, group: 3, "mistake answered 3, which is no str"),
        (lambda rule, group: 1 / 0, "mistake failed in iteration 3: ZeroDivisionError"),
        (lambda rule, group: rule.said.append(1), "mistake changed the rule's state"),
    ],
)
def test_a_mistake_is_checked_as_every_answer_is(mistake: Any, message: str) -> None:
    class Mistakes(Said):
        def to_json(self) -> Any:
            return [*self.said]

    Mistakes.mistake = mistake  # type: ignore[method-assign]
    answers = Answers(rule=Mistakes([]), name="x:Y", known=LESSONS, is_control=lambda q: False)
    with pytest.raises(RuleError, match=f"x:Y'.*{message}"):
        answers.mistakes(MOMENT, {"a"})
    answers = Answers(rule=Rule(), name="x:Y", known=LESSONS, is_control=lambda q: False)
    assert answers.mistakes(MOMENT, {"a"}) == []


def test_what_the_budget_does_not_afford_neither_fills_a_batch_nor_keeps_others_from_one() -> None:
    """Of two demonstrations that may be taught one was; a, c and d wait, and d is the one that was."""
    lessons = {q: LESSONS[q] for q in "acd"}
    rule = ReliftRule(ReliftRuleConfig(batch_size=2))
    asked = []
    for taught, most in (({"d": "d"}, 2), ({"d": "d", "b": "b"}, 2), ({"d": "d", "c": "c", "b": "b"}, 3)):
        answers = Answers(
            rule=rule, name="relift", known=lessons, is_control=lambda q: False, taught=taught, most_taught=most
        )
        asked.append(answers.batches(replace(MOMENT, waiting=lessons), encoded))
    assert asked == [[[("a", None), ("d", None)]], [], [[("c", None), ("d", None)]]]


def test_a_prefix_of_nobody_knows_what_is_refused_under_a_budget_of_demonstrations() -> None:
    made = Answers(
        rule=Said([GuidedPrompt("d", "1")]), name="x:Y", known={"d"}, is_control=lambda q: False, most_taught=3
    )
    assert made.trials(MOMENT, prefix_of), "of trials nothing is used"
    with pytest.raises(RuleError, match=r"prompts gives 'd' a prefix and no demonstration_id .*could not count it"):
        made.prompts(MOMENT, prefix_of)


def test_nothing_joins_a_group_whose_rewards_are_of_another_scale() -> None:
    wrong = group("a", [Status.WRONG] * 2)
    rollouts = tuple(replace(one, reward_status=RewardStatus.GIVEN) for one in wrong.rollouts)
    answers = Answers(rule=Said([Join("a")]), name="x:Y", known=LESSONS, is_control=lambda q: False)
    with pytest.raises(RuleError, match=r"groups joins a demonstration with reward 1.*your own rl.reward"):
        answers.groups(replace(MOMENT, groups=(replace(wrong, rollouts=rollouts),)), prefix_of)


def test_nothing_is_answered_by_default() -> None:
    answers = Answers(rule=Rule(), name="x:Y", known=LESSONS, is_control=lambda q: False)
    now = replace(MOMENT, hardest=())
    assert not answers.prompts(now, prefix_of) and not answers.trials(now, prefix_of)
    assert (
        answers.groups(now, prefix_of) == ALL_KEPT and not answers.requests(now) and not answers.batches(now, encoded)
    )
    answers.advance(now)
    assert Rule().to_json() is None


@pytest.mark.parametrize("weight", [-0.1, float("inf"), None, "1", True])
def test_a_weight_of_the_rl_term_that_is_no_weight_is_named(weight: Any) -> None:
    class Weighs(Rule):
        def rl_weight(self, moment: Moment) -> float:
            return weight  # type: ignore[no-any-return]

    answers = Answers(rule=Weighs(), name="x:Y", known=LESSONS, is_control=lambda q: False)
    with pytest.raises(RuleError, match=r"x:Y'.*rl_weight answered .*no number of at least 0"):
        answers.groups(MOMENT, prefix_of)


def test_what_is_supervised_is_taught_and_drops_its_group_where_it_says_so() -> None:
    fates = asked("groups", [Supervise("a", weight=0.3, drop=True)])
    assert (fates.dropped, fates.joined, fates.taught, fates.rl_weight) == (("a",), (), ("a",), 1.0)
    assert asked("groups", [Supervise("a")]).dropped == ()


@pytest.mark.parametrize(
    ("statuses", "is_joined"),
    [
        ([Status.CORRECT] * 4, False),
        ([Status.CORRECT] * 3 + [Status.TIMEOUT], False),
        ([Status.TIMEOUT] * 4, False),
        ([Status.CORRECT] * 3 + [Status.WRONG], True),
    ],
)
def test_a_demonstration_joins_no_group_in_which_it_would_have_no_advantage(
    statuses: list[Status], is_joined: bool
) -> None:
    rewards = [None if s is Status.TIMEOUT else float(s is Status.CORRECT) for s in statuses]
    now = replace(MOMENT, groups=(group("a", statuses, rewards=rewards),), questions=("a",))
    answers = Answers(rule=Said([Join("a")]), name="x:Y", known=LESSONS, is_control=lambda q: False)
    assert answers.groups(now, prefix_of).joined == (("a",) if is_joined else ())


class Distils(Said):
    distils = True


@pytest.mark.parametrize(("status", "is_distilled"), [(Status.WRONG, True), (Status.TIMEOUT, False)])
def test_nothing_is_distilled_where_no_rollout_was_graded(status: Status, is_distilled: bool) -> None:
    reward = 0.0 if status is Status.WRONG else None
    now = replace(MOMENT, groups=(group("a", [status] * 2, rewards=[reward] * 2),))
    answers = Answers(rule=Distils([Distil("a", "1")]), name="x:Y", known=LESSONS, is_control=lambda q: False)
    assert answers.groups(now, prefix_of).taught == (("a",) if is_distilled else ())
