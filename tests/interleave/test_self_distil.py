"""The rule self-distil: what it measures first, when it teaches, and what it shows the start model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from relift.config import SelfDistilRuleConfig
from relift.interleave import Distil, GuidedPrompt, Lesson, Moment
from relift.interleave.rules.self_distil import IN_VIEW, SelfDistilRule
from relift.records import GuidedGroup, Prefix, Status
from tests.interleave.interleave_groups import group

LESSONS = {
    q: Lesson(question_id=q, demonstration_id=f"d-{q}", text=f"<think>so</think>\n{q}", first_iteration=0, failures=1)
    for q in "abz"
}
MOMENT = Moment(
    iteration=0,
    seed=0,
    questions=tuple("abcz"),
    waiting=LESSONS,
    hardest=("a", "b", "c"),
    teachable=tuple("abcz"),
)


def rule(**settings: object) -> SelfDistilRule:
    return SelfDistilRule(SelfDistilRuleConfig(**settings))  # type: ignore[arg-type]


def tried(right: Mapping[str, tuple[int, int]], of: int = 4) -> tuple[GuidedGroup, ...]:
    """So many right rollouts of each question in view and without."""
    found = []
    for position, prompt in enumerate(((1, 2), ())):
        for question, marks in right.items():
            statuses = [Status.CORRECT] * marks[position] + [Status.WRONG] * (of - marks[position])
            prefix = Prefix(question_id=question, prompt_ids=prompt)
            found.append(GuidedGroup(prefix=prefix, group=group(question, statuses)))
    return tuple(found)


def test_the_first_hardest_with_a_demonstration_are_tried_with_it_in_view_and_as_they_are() -> None:
    made = rule(gap_questions=3)
    shown = [GuidedPrompt(q, IN_VIEW.format(q), in_question=True) for q in "ab"]
    assert made.trials(MOMENT) == shown
    first = tried({"a": (4, 0), "b": (2, 0)})[:2]
    assert made.trials(replace(MOMENT, trials=first)) == [GuidedPrompt("a", None), GuidedPrompt("b", None)]
    made.advance(replace(MOMENT, trials=tried({"a": (4, 0), "b": (2, 0)})))
    later = replace(MOMENT, hardest=("a", "z", "b"))
    assert [prompt.question_id for prompt in made.trials(later)] == ["z"], "each once"
    assert made.trials(replace(later, fits=lambda prompt: False)) == []
    assert [p.question_id for p in rule(gap_questions=1).trials(MOMENT)] == ["a"]


def test_it_teaches_in_the_iteration_that_found_the_gap_wide_enough_what_fits() -> None:
    made = rule(weight=0.3)
    assert made.groups(MOMENT) == (), "nothing is measured"
    now = replace(MOMENT, trials=tried({"a": (4, 0), "b": (0, 0)}))
    assert made.groups(now) == [Distil("a", IN_VIEW.format("a"), 0.3), Distil("b", IN_VIEW.format("b"), 0.3)]
    assert made.groups(replace(now, fits=lambda prompt: prompt.question_id == "b")) == made.groups(now)[1:]
    of_all = rule(on="all")
    assert of_all.requests(now) == ("a", "b", "c", "z")
    assert [answer.question_id for answer in of_all.groups(now)] == ["a", "b", "z"]


def test_one_question_may_be_all_that_it_begins_to_teach_by() -> None:
    made = rule()
    one = replace(MOMENT, trials=tried({"a": (1, 0)}))
    assert [answer.question_id for answer in made.groups(one)] == ["a", "b"], "a quarter of four is enough"
    made.advance(one)
    assert len(made.measured) == 1 and made.groups(MOMENT)


def test_where_no_demonstration_fits_it_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    made, nothing = rule(), replace(MOMENT, fits=lambda prompt: False)
    assert made.trials(replace(MOMENT, fits=lambda prompt: prompt.question_id == "b")) and not caplog.text
    assert made.trials(nothing) == [] and made.trials(replace(nothing, iteration=1)) == []
    (said,) = [record.getMessage() for record in caplog.records]
    assert "self-distil: in iteration 0 no prompt (of 2) that shows a demonstration fits" in said
    assert "raise policy.max_prompt_tokens" in said
    measured = rule(gap_questions=1)
    measured.advance(replace(MOMENT, trials=tried({"a": (4, 0)})))
    caplog.clear()
    assert measured.groups(nothing) == [] and "no prompt (of 2) that shows" in caplog.text


def test_below_the_bound_it_waits_and_once_all_are_measured_it_stops_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = rule(gap_questions=3, least_gap=0.5)
    with caplog.at_level(logging.INFO, logger="relift"):
        made.advance(replace(MOMENT, trials=tried({"a": (3, 1)})))
        assert made.groups(MOMENT) and "75.0 % of rollouts" in caplog.text and "it teaches" in caplog.text
        caplog.clear()
        made.advance(replace(MOMENT, trials=tried({"b": (1, 0)})))
        assert made.groups(MOMENT) == () and made.requests(MOMENT) == ("a", "b", "c"), "one more may be measured"
        assert "for now it teaches nothing" in caplog.text and "50.0 % of rollouts" in caplog.text
        caplog.clear()
        made.advance(replace(MOMENT, trials=tried({"z": (1, 1)})))
        assert made.groups(MOMENT) == () and made.requests(MOMENT) == () and made.trials(MOMENT) == []
        assert "teach.rule.least_gap=0.5, so it teaches nothing any more" in caplog.text
        caplog.clear()
        made.advance(MOMENT)
        assert not caplog.text
    assert made.measured == {"a": (0.75, 0.25), "b": (0.25, 0.0), "z": (0.25, 0.25)}
    again = rule(gap_questions=3, least_gap=0.5)
    again.restore(json.loads(json.dumps(made.to_json())))
    assert again.measured == made.measured
