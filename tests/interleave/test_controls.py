"""No control is ever taught, guided or shown, whatever the rule: over random histories of every rule there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from relift.config import InUpdateRuleConfig, Section
from relift.config.plugin import BY_IMPORT
from relift.config.recipe import load_recipe
from relift.config.teach import RuleConfig
from relift.interleave import Batch, GuidedPrompt, Interleaving, Moment, Rule, make_rule
from relift.records import Demonstration, GuidedGroup, Prefix, RolloutGroup, Status
from tests.interleave.interleave_groups import group

QUESTIONS = [f"q{number}" for number in range(60)]
SUPERVISED = ("teach.rule.batch_size=2", "sft.minibatch=1", "sft.own_correct=1")
KINDS = {
    tag.tag: settings
    for settings, tag in (get_args(member) for member in get_args(get_args(RuleConfig)[0]))
    if tag.tag != BY_IMPORT
}
SETTINGS = (
    "teach.control_share=0.4",
    "questions.batch_size=12",
    "rl.questions_per_update=12",
)


class Greedy(Rule):
    """Says all that can be said of every question."""

    def prompts(self, moment: Moment) -> Sequence[GuidedPrompt]:
        asked = [GuidedPrompt(question, "1=", demonstration_id=f"d-{question}", given=1) for question in QUESTIONS]
        return [*asked, *(GuidedPrompt(question, None) for question in QUESTIONS)]

    def requests(self, moment: Moment) -> Sequence[str]:
        return QUESTIONS

    def trials(self, moment: Moment) -> Sequence[GuidedPrompt]:
        return () if moment.trials else [GuidedPrompt(question, "1=") for question in QUESTIONS]

    def batches(self, moment: Moment) -> Sequence[Sequence[str]]:
        return [list(moment.waiting)]


def demonstration(question: str) -> Demonstration:
    return Demonstration(id=f"d-{question}", question_id=question, text="1=2=3=4", source="dataset", tokens=8)


def encode(answer: str, prompt: GuidedPrompt) -> Prefix:
    tokens = () if prompt.prefix is None else (1, 2)
    return Prefix(
        question_id=prompt.question_id,
        token_ids=tokens,
        demonstration_id=prompt.demonstration_id,
        given=prompt.given,
    )


def sampled(draw: random.Random, question: str) -> RolloutGroup:
    return group(question, draw.choice([[Status.WRONG] * 4, [Status.WRONG] * 4, [Status.CORRECT] + [Status.WRONG] * 3]))


def shown(state: Interleaving, seed: int, iteration: int) -> set[str]:
    """Ids of all questions of which anything was asked for, given, tried or taught in an iteration."""
    draw = random.Random(f"{seed}/{iteration}")
    asked = draw.sample(QUESTIONS, 12)
    prefixes = state.prompts(iteration, asked, encode, iteration / 12)
    guided = [GuidedGroup(prefix=prefix, group=sampled(draw, prefix.question_id)) for prefix in prefixes]
    batch = Batch(iteration=iteration, groups=[sampled(draw, question) for question in asked], guided=guided)
    decision = state.decide(batch)
    # Teachers answer of controls too, and answer with what nobody asked for.
    came = [demonstration(question) for question in draw.sample(QUESTIONS, 30)]
    fates, _ = state.fates(batch, decision, came if state.needs_demonstrations_first else (), encode)
    batch = replace(batch, fates=fates)
    trials: list[GuidedGroup] = []
    tried: list[Prefix] = []
    for _ in range(state.rule.rule.trial_rounds):
        found = state.trials(replace(batch, trials=tuple(trials)), decision, came, encode)
        if not found:
            break
        tried += found
        trials += [GuidedGroup(prefix=prefix, group=sampled(draw, prefix.question_id)) for prefix in found]
    batches = state.advance(replace(batch, trials=tuple(trials)), decision, came, lambda beginning: (1,))
    state.used(batches, iteration)
    taught = {one.entry.question_id for some in batches for one in some}
    return (
        {prefix.question_id for prefix in (*prefixes, *tried)}
        | taught
        | {*decision.wanted, *fates.taught, *fates.dropped}
    )


@pytest.mark.parametrize("kind", [*KINDS, "greedy"])
def test_no_control_is_taught_guided_or_shown(kind: str) -> None:
    settings = [*SETTINGS, f"teach.rule={'relift' if kind == 'greedy' else kind}"]
    in_update = issubclass(KINDS.get(kind, Section), InUpdateRuleConfig)
    config = load_recipe("demo", [*settings, "sft=off"] if in_update else [*settings, *SUPERVISED])
    count = 0
    for seed in range(8):
        state = Interleaving(config, known=set(QUESTIONS), rule=Greedy() if kind == "greedy" else make_rule(config))
        controls = {question for question in QUESTIONS if state.is_control(question)}
        assert 10 < len(controls) < 50
        for iteration in range(12):
            found = shown(state, seed, iteration)
            count += len(found)
            assert not found & controls
        assert not controls & set(state.taught.values())
        assert not controls & set(state.probes.snapshot().taught)
    assert count > 100, "too little was said to show anything"
