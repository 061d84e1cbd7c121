"""The first part of a solution as a target: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_helpers import RecordingOptimizer, plain_gradient, plain_logprobs, relative_error, sft, tiny_model

from relift.config import SftConfig
from relift.learning import demonstration_sequence, sft_loss, sft_minibatches

PROMPT = (5, 6, 7)
BEGINNING = (11, 12)
WHOLE = (11, 12, 13, 2)  # the suffix, and the end of sequence


def test_the_gradient_of_the_toy_is_the_one_worked_by_hand() -> None:
    """Three alternatives at each of two positions, uniform: the loss is ln 3, and a logit's gradient (p - chosen) / 2.

    Beside an own rollout of one token, of probability 1/3 too, the divisor is 3 for both.
    """
    for tokens, others in ((2, 0), (3, 1)):
        logits_CV = torch.zeros(2 + others, 3, requires_grad=True)
        logprobs_C = torch.log_softmax(logits_CV, dim=-1)[:, 0]
        sft_loss(logprobs_C, None, alpha=0.0, token_count=tokens).loss.backward()
        assert logits_CV.grad is not None
        by_hand = [-2 / 3 / tokens, 1 / 3 / tokens, 1 / 3 / tokens]
        assert logits_CV.grad.flatten().tolist() == pytest.approx(by_hand * (2 + others))


def test_nothing_after_the_beginning_is_trained_on_and_it_counts_by_its_own_tokens() -> None:
    part = demonstration_sequence("q", PROMPT, BEGINNING)
    assert part.token_ids == PROMPT + BEGINNING and part.loss_mask == (0, 0, 0, 1, 1)
    own = demonstration_sequence("own", (4,), (9, 2))
    model = tiny_model()
    config = SftConfig(own_correct=1, entropy_weight=0.0)
    minibatches = sft_minibatches([part], [own], config=config, rng=np.random.default_rng(0))
    optimizer = RecordingOptimizer(model)
    report = sft(model, optimizer, minibatches, demonstrations=[part], lr=0.0, entropy_weight=0.0).report
    assert report.tokens == 4 and report.sequences == 2  # two of the part, two of the own rollout

    def loss(reference: torch.nn.Module) -> torch.Tensor:
        whole = demonstration_sequence("q", PROMPT, WHOLE)
        on_the_part = plain_logprobs(reference, whole)[0][: len(BEGINNING)].sum()
        total: torch.Tensor = -(on_the_part + plain_logprobs(reference, own)[0].sum()) / 4
        return total

    assert relative_error(optimizer.steps[0], plain_gradient(model, loss)) < 1e-4
    assert report.loss == pytest.approx(loss(model).item(), rel=1e-4)
