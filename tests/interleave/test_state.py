"""The method's state, without a model, a store or a clock."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from relift.config import RunConfig
from relift.config.recipe import load_recipe
from relift.interleave import Batch, Decision, Interleaving, Partial, make_rule
from relift.records import (
    Demonstration,
    GuidedGroup,
    Prefix,
    RolloutGroup,
    Status,
    UpdateKind,
    UpdateReport,
    demonstration_id,
)
from tests.interleave.interleave_groups import group

QUESTIONS = [f"q{number}" for number in range(40)]
SETTINGS = (
    "teach.rule.batch_size=3",
    "sft.minibatch=1",
    "teach.rule.max_updates_per_iteration=2",
    "teach.control_share=0.2",
    "sft.own_correct=1",
    "sft.own_correct_pool=5",
    "buffer.capacity=6",
    "buffer.max_age=4",
    "buffer.max_uses=2",
    "questions.batch_size=8",
    "rl.questions_per_update=8",
)


def demonstration(question: str, *, refusal: str | None = None) -> Demonstration:
    text = f"worked solution of {question}"
    key = demonstration_id(question, text)
    return Demonstration(id=key, question_id=question, text=text, source="dataset", tokens=5, refusal=refusal)


def started(config: RunConfig) -> Interleaving:
    return Interleaving(config, known=set(QUESTIONS), rule=make_rule(config))


def random_groups(seed: int, iteration: int) -> list[RolloutGroup]:
    draw = random.Random(f"{seed}/{iteration}")
    asked = draw.sample(QUESTIONS, 8)
    return [
        group(q, draw.choice([[Status.WRONG] * 4, [Status.TRUNCATED] * 4, [Status.WRONG] * 3 + [Status.CORRECT]]))
        for q in asked
    ]


def no_partial(part: Partial) -> tuple[int, ...]:
    raise AssertionError(f"nothing answers a partial demonstration, as {part!r}")


def iterate(state: Interleaving, seed: int, iteration: int) -> dict[str, Any]:
    """An iteration of a random history; all that the state answered in it."""
    draw = random.Random(f"{seed}/{iteration}/teacher")
    batch = Batch(iteration=iteration, groups=random_groups(seed, iteration))
    due = state.probes.due(iteration)
    decision = state.decide(batch)
    asked = list(dict.fromkeys((*state.asked, *decision.wanted, *decision.followed)))
    answered = [q for q in asked if draw.random() < 0.6]
    state.owes((q for q in asked if q not in answered), decision)
    offered = [demonstration(q, refusal=None if draw.random() < 0.8 else "wrong") for q in answered]
    refused = UpdateReport(kind=UpdateKind.RL, refused=1)
    taken = UpdateReport(kind=UpdateKind.RL, steps=1)
    state.count_refusals([draw.choice([refused, refused, taken])])
    batches = state.advance(batch, decision, offered, no_partial)
    texts = [state.demonstrations[taught.entry.demonstration_id] for batch in batches for taught in batch]
    own = [entry.token_ids for entry in state.own_correct.entries]
    state.used(batches, iteration)
    left = state.buffer.take_leavings()
    return {"due": due, "asked": asked, "batches": batches, "texts": texts, "own": own, "left": left, "hard": decision}


def history(config: RunConfig, seed: int, *, restored_at: Sequence[int] = ()) -> tuple[list[Any], dict[str, Any]]:
    state, told = started(config), []
    for iteration in range(24):
        if iteration in restored_at:
            written = json.dumps(state.to_json())
            state = started(config)
            state.restore(json.loads(written))
        told.append(iterate(state, seed, iteration))
    return told, state.to_json()


def test_restored_at_any_point_of_a_random_history_it_goes_on_as_if_uninterrupted() -> None:
    config = load_recipe("demo", SETTINGS)
    for seed in range(8):
        whole = history(config, seed)
        for at in range(24):
            assert history(config, seed, restored_at=[at]) == whole, (seed, at)
        assert history(config, seed, restored_at=range(24)) == whole, seed
        told = whole[0]
        # The history is one in which everything happens.
        assert {len(of["batches"]) for of in told} >= {0, 1} and any(of["left"] for of in told)
        assert any(of["due"] for of in told) and any(of["own"] for of in told)
    assert {text for of in told for text in of["texts"]} <= {f"worked solution of {q}" for q in QUESTIONS}


def test_what_its_json_holds_is_all_that_it_is() -> None:
    """Nothing that moves may stay out of the checkpoint: every attribute that an iteration changes is in the JSON."""
    config = load_recipe("demo", SETTINGS)
    state = started(config)
    for iteration in range(6):
        iterate(state, 1, iteration)
    other = started(config)
    other.restore(state.to_json())
    assert other.to_json() == state.to_json()
    assert state.to_json() != started(config).to_json()
    for name, value in vars(state).items():
        if isinstance(value, (int, tuple, dict, float)):
            assert getattr(other, name) == value, name


def test_a_control_is_asked_for_to_follow_it_and_never_taught() -> None:
    state = started(load_recipe("demo", SETTINGS))
    every = Batch(iteration=0, groups=[group(q, [Status.WRONG] * 4) for q in QUESTIONS])
    found = state.decide(every)
    control, wanted = found.control, found.wanted
    assert found.hardest == tuple(QUESTIONS) and 0 < len(control) < len(QUESTIONS) / 2
    assert (sorted(wanted + found.followed), found.followed) == (sorted(QUESTIONS), control)
    taught = []
    for iteration in range(4):
        nothing = Batch(iteration=iteration, groups=[]), Decision(hardest=(), control=())
        batches = state.advance(*nothing, [demonstration(q) for q in control + wanted[:6]], no_partial)
        taught += [one.entry.question_id for batch in batches for one in batch]
        state.used(batches, iteration)
    assert taught and not set(taught) & set(control)
    assert not state.decide(every).followed, "a control that is followed is asked for again"


def test_what_guided_waits_until_its_question_is_solved_without_it() -> None:
    state = started(load_recipe("demo", ("teach.rule.kind=guided",)))
    lesson, other = demonstration("q1"), demonstration("q2")
    nothing = Decision(hardest=(), control=())
    state.advance(Batch(iteration=0, groups=[]), nothing, [lesson, other], no_partial)
    given = Prefix(question_id="q1", token_ids=(7,), demonstration_id=lesson.id, given=1)

    def guide(iteration: int, *plain: tuple[str, Status, str | None]) -> set[str]:
        groups = [
            (given, group("q1", [Status.CORRECT])),
            *((Prefix(question_id=q, demonstration_id=whose), group(q, [s])) for q, s, whose in plain),
        ]
        beside = [GuidedGroup(prefix=prefix, group=found) for prefix, found in groups]
        batch = Batch(iteration=iteration, groups=[], guided=beside, used=(lesson.id,))
        state.advance(batch, nothing, [], no_partial)
        return {entry.question_id for entry in state.buffer.waiting}

    assert guide(1, ("q1", Status.WRONG, lesson.id)) == {"q1", "q2"} and lesson.id in state.taught
    assert guide(2, ("q1", Status.CORRECT, lesson.id), ("q2", Status.CORRECT, None)) == {"q2"}, "of q2 nothing is said"


def test_refusals_are_counted_in_a_row_and_an_update_without_signal_says_nothing() -> None:
    state = started(load_recipe("demo"))
    refused, still, moved = (
        UpdateReport(kind=UpdateKind.SFT, refused=2),
        UpdateReport(kind=UpdateKind.RL, skipped=1),
        UpdateReport(kind=UpdateKind.RL, steps=1, refused=1),
    )
    state.count_refusals([refused, still, refused])
    assert state.refused_in_a_row == 2
    state.count_refusals([moved])
    assert state.refused_in_a_row == 0
