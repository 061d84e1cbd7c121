"""Rollouts drawn towards what the start model writes with more in view: what of a group of eight zeros, by hand."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from learning_helpers import (
    NO_CLIP,
    VOCABULARY,
    RecordingOptimizer,
    plain_gradient,
    relative_error,
    sizes,
    tiny_model,
)

from relift.config import AdamConfig, LoraConfig, RlConfig
from relift.learning import Conduct, build_optimizer, distilled_sequences, rl_sequences, rl_update
from relift.learning.beside import LIKELIEST
from relift.learning.losses import distillation_term
from relift.policy.lora import add_adapters, without_adapters
from relift.records import Distillation, RolloutGroup, Status, TrainingSequence, UpdateReport
from tests.interleave.interleave_groups import group

PROMPTS = {"zeros": (5, 6, 7), "mixed": (8, 9)}
VIEW = Distillation(weight=0.5, prompt_ids=(5, 6, 7, 11, 12, 13, 14))
ZEROS: RolloutGroup = group("zeros", [Status.WRONG] * 8, tokens=3)
MIXED: RolloutGroup = group("mixed", [Status.CORRECT] * 2 + [Status.WRONG] * 6)


def distilled(*groups: RolloutGroup, **views: Distillation) -> list[TrainingSequence]:
    asked = [(group, views[group.question.id]) for group in groups if group.question.id in views]
    return [one for group, view in asked for one in distilled_sequences(PROMPTS[group.question.id], group, view)]


def step(*groups: RolloutGroup, **views: Distillation) -> list[TrainingSequence]:
    config = RlConfig(questions_per_update=len(groups))
    (made,) = rl_sequences(groups, PROMPTS, config=config, max_completion_tokens=40, taught=distilled(*groups, **views))
    return [replace(one, token_ids=tuple(max(3, token % 20) for token in one.token_ids)) for one in made]


def test_the_gradient_of_the_toy_is_the_one_worked_by_hand() -> None:
    """Four tokens, the policy is even; of the teacher 0.6, 0.2, 0.1, 0.1 the two likeliest are 3/4 and 1/4.

    KL = 3/4 ln(3/4 / 1/4) + 1/4 ln(1/4 / 1/4) = 3/4 ln 3, and a logit's gradient is p - q: -1/2, 0, 1/4, 1/4. Eight
    rollouts of one token that are all wrong, weight 0.5: each an eighth of half of that.
    """
    logits_CV = torch.zeros(8, 4, dtype=torch.float64, requires_grad=True)
    logprobs_CN = torch.log_softmax(logits_CV, dim=1)[:, :2]
    teacher_CN = torch.log(torch.tensor([[0.6, 0.2]] * 8, dtype=torch.float64))
    output = distillation_term(logprobs_CN, teacher_CN, torch.full((8,), 0.5, dtype=torch.float64), token_count=8)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(0.5 * 0.75 * math.log(3))
    assert logits_CV.grad is not None
    assert logits_CV.grad.flatten().tolist() == pytest.approx([-1 / 32, 0, 1 / 64, 1 / 64] * 8)


def test_a_token_that_the_teacher_never_writes_costs_nothing() -> None:
    logprobs = torch.log(torch.tensor([[0.5, 0.5, 0.0]])).requires_grad_()
    teacher = torch.log(torch.tensor([[0.5, 0.5, 0.0]]))
    output = distillation_term(logprobs, teacher, torch.ones(1), token_count=1)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(0) and logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-0.5, -0.5, 0.0]]


def test_graded_rollouts_stand_once_more_behind_their_groups_without_an_advantage() -> None:
    failed = group("mixed", [Status.CORRECT, Status.TIMEOUT, Status.TRUNCATED, Status.WRONG], rewards=[1, None, 0, 0])
    made = step(ZEROS, failed, zeros=VIEW, mixed=VIEW)
    plain = step(ZEROS, failed)
    assert made[: len(plain)] == plain and len(plain) == 8 + 3
    assert [(s.question_id, s.distillation, s.advantage, s.sampling_logprobs) for s in made[len(plain) :]] == [
        *[("zeros", VIEW, None, None)] * 8,
        *[("mixed", VIEW, None, None)] * 3,
    ]


def test_a_group_that_is_not_in_the_batch_is_distilled_all_the_same_and_has_no_part_in_its_advantages() -> None:
    config = RlConfig(questions_per_update=1)
    taught = distilled(ZEROS, zeros=VIEW)
    (made,) = rl_sequences([MIXED], PROMPTS, config=config, max_completion_tokens=40, further=[ZEROS], taught=taught)
    assert [(one.question_id, one.advantage is None) for one in made] == [("mixed", False)] * 8 + [("zeros", True)] * 8


def taken(
    model: torch.nn.Module, teacher: Any, made: list[TrainingSequence], budget: int
) -> tuple[dict[str, torch.Tensor], UpdateReport]:
    optimizer = RecordingOptimizer(model)
    conduct = Conduct(sizes=sizes(budget), lr=0.0, check=lambda: None, start=lambda: teacher)
    config = RlConfig(optimizer=NO_CLIP)
    report = rl_update(
        model, optimizer, [made], config=config, conduct=conduct, temperature=0.7, max_completion_tokens=50
    )
    (gradient,) = optimizer.steps
    return gradient, report


def by_hand(policy: torch.nn.Module, teacher: torch.nn.Module, made: list[TrainingSequence]) -> torch.Tensor:
    """One sequence after the other, over all logits, at temperature 1."""
    total = torch.zeros((), dtype=torch.float64)
    for one in made:
        view, completion = one.distillation, one.token_ids[-one.loss_tokens :]
        assert view is not None
        found = []
        for model, ids in ((policy, one.token_ids), (teacher, (*view.prompt_ids, *completion))):
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1, :VOCABULARY].double()
            found.append(torch.log_softmax(logits, dim=-1)[-len(completion) :])
        values, tokens = found[1].topk(min(LIKELIEST, VOCABULARY))
        q = torch.softmax(values.detach(), dim=-1)
        total = total + view.weight * (q * (q.log() - found[0].gather(1, tokens))).sum()
    return total / sum(one.loss_tokens for one in made)


@pytest.mark.parametrize("likeliest", [4, LIKELIEST])
@pytest.mark.parametrize("budget", [16, 60, 400])
def test_through_the_model_the_gradient_is_the_definitions_however_the_step_is_cut(
    budget: int, likeliest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relift.learning.beside.LIKELIEST", likeliest)
    monkeypatch.setitem(globals(), "LIKELIEST", likeliest)
    model, teacher = tiny_model(), tiny_model(seed=1)
    other = Distillation(weight=2.0, prompt_ids=(8, 9, 4, 4))
    made = [one for one in step(ZEROS, MIXED, zeros=VIEW, mixed=other) if one.distillation]
    want = plain_gradient(model, lambda policy: by_hand(policy, copy.deepcopy(teacher).double(), made))
    got, report = taken(model, nullcontext(teacher), made, budget)
    assert relative_error(got, want) < 1e-5
    assert report.loss == pytest.approx(by_hand(model, teacher, made).item(), rel=1e-4)
    assert (report.sequences, report.tokens, report.metrics) == (16, 8 * 3 + 8 * 2, {})


def test_beside_the_rl_term_each_has_its_own_denominator() -> None:
    teacher = nullcontext(tiny_model(seed=1))
    both, _ = taken(tiny_model(), teacher, step(ZEROS, MIXED, zeros=VIEW), 400)
    alone, _ = taken(tiny_model(), teacher, [s for s in step(ZEROS, MIXED, zeros=VIEW) if s.distillation], 400)
    plain, report = taken(tiny_model(), teacher, step(ZEROS, MIXED), 400)
    assert relative_error(both, {name: alone[name] + plain[name] for name in plain}) < 1e-5
    assert report.sequences == 16


def test_a_model_with_its_adapters_off_teaches_as_the_one_they_were_put_on() -> None:
    pytest.importorskip("peft")
    base, model = tiny_model(), tiny_model()
    add_adapters(model, LoraConfig(rank=2), seed=0)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
    made = [one for one in step(ZEROS, zeros=VIEW) if one.distillation]
    found = []
    for start in (lambda: nullcontext(base), lambda: without_adapters(model)):
        optimizer = build_optimizer(model, AdamConfig(lr=1e-9))
        conduct = Conduct(sizes=sizes(), lr=1e-9, check=lambda: None, start=start)
        config = RlConfig(optimizer=NO_CLIP)
        report = rl_update(
            model, optimizer, [made], config=config, conduct=conduct, temperature=1.0, max_completion_tokens=50
        )
        found.append(report)
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5) and found[0].loss > 0.01
    assert found[0].grad_norm == pytest.approx(found[1].grad_norm, rel=1e-4) and found[0].grad_norm > 0
    assert all(p.requires_grad is ("lora_" in name) for name, p in model.named_parameters())
