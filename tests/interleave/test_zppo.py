"""The rule zppo: which questions are kept, what is asked of them, and what is shown."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from relift.config import ZppoRuleConfig
from relift.config.recipe import load_recipe
from relift.errors import ConfigError
from relift.interleave import Lesson, Moment
from relift.interleave.rules.zppo import COMPARED, MISTAKEN, WRONG, Hard, ZppoRule
from relift.records import GuidedGroup, Prefix, RolloutGroup, Status
from tests.interleave.interleave_groups import group

IDS = ("never", "once", "half", "cut", "control")


def solved(question: str, right: int, *wrong: str, of: int = 4) -> RolloutGroup:
    """So many right ones, and wrong ones with these texts."""
    made = group(question, [Status.CORRECT] * right + [Status.WRONG] * (of - right))
    texts = ["right"] * right + [*wrong, *["wrong"] * (of - right - len(wrong))]
    rollouts = (replace(r, completion=replace(r.completion, text=t)) for r, t in zip(made.rollouts, texts, strict=True))
    return replace(made, rollouts=tuple(rollouts))


GROUPS = (
    solved("never", 0, "a", "b", "a"),
    solved("once", 1, "c"),
    solved("half", 2),
    group("cut", [Status.TRUNCATED] * 4),
    solved("control", 1),
)


def lesson(question: str, text: str = "the demonstration") -> Lesson:
    return Lesson(question_id=question, demonstration_id=f"d-{question}", text=text, first_iteration=0, failures=1)


MOMENT = Moment(
    iteration=3,
    seed=0,
    questions=IDS,
    waiting={"never": lesson("never", "<think>so</think>\n\nthe demonstration"), "half": lesson("half")},
    groups=GROUPS,
    hardest=("never",),
    teachable=IDS[:-1],
)
EMPTY = replace(MOMENT, groups=(), waiting={}, hardest=(), teachable=(), questions=("other",) * 8)
"""A batch of eight others: sixteen prompts in all, of which four are asked again, two compared and two mistaken."""


def rule(**settings: object) -> ZppoRule:
    return ZppoRule(ZppoRuleConfig(**settings))  # type: ignore[arg-type]


def keeping(*questions: str, **hard: object) -> ZppoRule:
    made = rule()
    given = {"demonstration_id": "d", "text": "right", "wrong": ["wrong", "wronger"], "is_shown": True, **hard}
    made.hard = {question: Hard(**given) for question in questions}  # type: ignore[arg-type]
    return made


def beside(question: str, right: int = 0, *, shows: str | None = None) -> GuidedGroup:
    prefix = Prefix(question_id=question, prompt_ids=() if shows is None else (1, 2), demonstration_id=shows)
    return GuidedGroup(prefix=prefix, group=solved(question, right))


def test_what_is_solved_by_less_than_half_is_asked_for_and_kept_and_no_control_or_failure_of_ours() -> None:
    made = rule()
    assert made.requests(MOMENT) == ["never", "once"]
    made.advance(MOMENT)
    assert list(made.hard) == ["never", "once"]
    assert made.hard["never"].wrong == ["a", "b", "wrong"] and made.hard["once"].wrong == ["c", "wrong"]
    assert (made.hard["never"].demonstration_id, made.hard["never"].text) == ("d-never", "the demonstration")
    assert made.hard["once"].demonstration_id is None
    assert made.requests(MOMENT) == ["once"], "what there is is not asked for again"
    assert rule(compared=0).requests(MOMENT) == ()
    again = rule()
    again.restore(json.loads(json.dumps(made.to_json())))
    assert again.hard == made.hard


def test_a_kept_question_is_asked_as_it_is_and_shown_a_right_and_a_wrong_solution_or_wrong_ones_alone() -> None:
    asked = keeping("x", "y", "z").prompts(EMPTY)
    assert [prompt.question_id for prompt in asked if prompt.prefix is None] == list("xyz")
    shown = [prompt for prompt in asked if prompt.prefix is not None]
    assert [(p.question_id, p.demonstration_id, p.in_question) for p in shown] == [
        ("x", "d", True),
        ("y", "d", True),
        ("z", "", True),
    ]
    either = {COMPARED.format("right", "wrong"), COMPARED.format("wrong", "right")}
    assert {shown[0].prefix, shown[1].prefix} <= either
    wrong = "\n\n".join([WRONG.format(1, "wrong"), WRONG.format(2, "wronger")])
    assert shown[2].prefix == MISTAKEN.format(wrong)


def test_the_right_one_comes_first_as_often_as_second_and_the_same_when_asked_again() -> None:
    made, first = keeping("x"), 0
    for iteration in range(200):
        now = replace(EMPTY, iteration=iteration)
        prompts = made.prompts(now)
        assert prompts == made.prompts(now)
        first += COMPARED.format("right", "wrong") in [prompt.prefix for prompt in prompts]
    assert 70 < first < 130


def test_turns_go_round_and_what_does_not_fit_or_stands_in_the_batch_makes_way() -> None:
    made = keeping(*"abcdef")
    for question, asked in zip("abcdef", (2, 2, 2, 2, 1, 0), strict=True):
        made.hard[question] = replace(made.hard[question], asked=asked)
    assert [p.question_id for p in made.prompts(EMPTY)] == [*"feab", *"fe", *"ab"]
    too_long = replace(EMPTY, fits=lambda prompt: prompt.question_id != "f")
    assert [p.question_id for p in made.prompts(too_long)] == [*"feab", *"ea", *"bc"]
    in_batch = replace(EMPTY, questions=("f", *("other",) * 7))
    assert [p.question_id for p in made.prompts(in_batch)] == [*"eabc", *"fe", *"ab"]
    made.advance(replace(EMPTY, iteration=9, guided=(beside("f"), beside("e", shows="d"))))
    assert (made.hard["f"].asked, made.hard["e"].asked, made.hard["a"].asked) == (9, 9, 2)


def test_a_demonstration_is_shown_first_while_it_waits_and_from_then_on_as_long_as_its_question_is_kept() -> None:
    made = keeping("x", is_shown=False)
    assert not [p for p in made.prompts(EMPTY) if p.demonstration_id], "it left the buffer"
    waits = replace(EMPTY, waiting={"x": replace(lesson("x"), demonstration_id="d")})
    assert [p.demonstration_id for p in made.prompts(waits)] == [None, "d"]
    made.advance(replace(EMPTY, guided=(beside("x", shows="d"),)))
    assert made.hard["x"].is_shown and [p.demonstration_id for p in made.prompts(EMPTY)] == ["d", "d"]


def test_a_demonstration_that_left_unshown_is_asked_for_again_and_one_that_was_shown_is_not() -> None:
    rare = replace(MOMENT, groups=(solved("once", 1, of=8),), hardest=())
    made = rule()
    made.advance(replace(rare, waiting={"once": lesson("once")}))
    assert made.requests(rare) == [], "it waits"
    made.advance(
        replace(rare, waiting={})
    )  # solved by one rollout, the question left the buffer and is hard all the same
    assert made.hard["once"].demonstration_id is None and made.hard["once"].text == ""
    assert made.requests(rare) == ["once"]
    made.advance(replace(rare, waiting={"once": replace(lesson("once"), demonstration_id="another")}))
    made.advance(replace(rare, waiting={}, guided=(beside("once", shows="another"),)))
    assert made.hard["once"].demonstration_id == "another" and made.requests(rare) == []


def test_of_wrong_rollouts_the_newest_are_kept_and_shown_and_none_that_ran_out_of_tokens() -> None:
    made = rule(mistakes=2)
    made.advance(replace(MOMENT, groups=(solved("never", 0, "old", "older", of=2),)))
    made.advance(replace(MOMENT, groups=(solved("never", 0, "new", of=1),)))
    assert made.hard["never"].wrong == ["new", "old"]
    cut = replace(solved("never", 0, "newest", "cut", of=2), question=GROUPS[0].question)
    first, second = cut.rollouts
    verdict = replace(second.verdict, status=Status.TRUNCATED)
    made.advance(replace(MOMENT, groups=(replace(cut, rollouts=(first, replace(second, verdict=verdict))),)))
    assert made.hard["never"].wrong == ["newest", "new"]
    waits = replace(EMPTY, waiting={"never": MOMENT.waiting["never"]})
    (compared,) = [prompt for prompt in made.prompts(waits) if prompt.demonstration_id]
    assert "newest" in str(compared.prefix)


def test_what_a_later_round_put_into_the_batch_has_had_its_turn_beside_it() -> None:
    made = keeping("x", "y")
    made.advance(replace(EMPTY, iteration=9, asked_twice=("x",)))
    assert (made.hard["x"].asked, made.hard["y"].asked) == (9, -1)


def test_where_nothing_that_it_would_show_fits_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    made = keeping("x", "y")
    made.prompts(replace(EMPTY, fits=lambda prompt: bool(prompt.demonstration_id) == (prompt.question_id == "y")))
    assert not caplog.text, "others fit"
    for iteration in (4, 5):
        made.prompts(replace(EMPTY, iteration=iteration, fits=lambda prompt: prompt.prefix is None))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    fits_not = "teach.rule.kind=zppo: in iteration 4 no prompt (of 2) that shows {} fits"
    assert [line.partition(",")[0] for line in said] == [fits_not.format(s) for s in ("a demonstration", "mistakes")]
    assert all("raise policy.max_prompt_tokens" in line for line in said)


@pytest.mark.parametrize(("right", "stays"), [(1, True), (2, False), (4, False)])
def test_half_of_the_rollouts_as_it_is_let_it_leave_and_those_it_was_helped_with_do_not(
    right: int, stays: bool
) -> None:
    for plain in ({"guided": (beside("x", right),)}, {"groups": (solved("x", right),)}):
        made = keeping("x")
        made.advance(replace(EMPTY, **plain))
        assert ("x" in made.hard) is stays
    made = keeping("x")
    made.advance(replace(EMPTY, guided=(beside("x", 4, shows="d"), beside("x", 4, shows=""))))
    assert "x" in made.hard


def test_the_first_that_came_makes_way() -> None:
    made = rule(capacity=1)
    made.advance(MOMENT)
    assert list(made.hard) == ["once"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "would be ignored: set sft=off"),
        ("again=0.5, compared=0.5", "have to be less than 1"),
        ("compared=0, mistaken=0", "compared or mistaken more than 0"),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(settings: str, message: str) -> None:
    more = [f"teach.rule={{ kind = 'zppo', {settings} }}", "sft=off"] if settings else ["teach.rule=zppo"]
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", more)


def test_answers_that_come_later_are_good_enough() -> None:
    config = load_recipe("demo", ["teach.rule=zppo", "sft=off", "teacher.sources=['dataset', 'my_teachers:worked']"])
    assert config.teaches
