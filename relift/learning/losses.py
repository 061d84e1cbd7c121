"""The losses: pure functions of tensors, each a sum that the caller's counts turn into the step's mean.

Shapes: C tokens in the loss of a micro-batch, packed in order; S its sequences. Every denominator counts the *whole*
optimizer step, all its micro-batches and ranks, so losses and gradients of the parts add up to those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relift.config import Aggregation, RlConfig, TokenWeights
from relift.learning.correction import importance_weights, kl_estimate
from relift.learning.surrogate import objective_of
from relift.learning.tokens import PolicyTokens
from relift.records import Supervision, TrainingSequence

SHAPING = 0.1
"""Gamma of LUFFY's f(p) = p / (p + gamma)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an optimizer step divides by, e.g. tokens 5310, sequences 256; counted before its first forward."""

    tokens: int
    """Tokens with loss mask 1, those of sequences without signal included."""
    sequences: int
    max_completion_tokens: int = 0
    """Of a sequence at most: enters the aggregation "constant" alone."""

    @classmethod
    def of(cls, sequences: Iterable[TrainingSequence], *, max_completion_tokens: int = 0) -> Counts:
        lengths = [sequence.loss_tokens for sequence in sequences]
        return cls(tokens=sum(lengths), sequences=len(lengths), max_completion_tokens=max_completion_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOutput:
    """One micro-batch's part; all of it adds up over micro-batches."""

    loss: Tensor
    """(), in nats, divided by the step's counts; the one with a gradient."""
    tokens: Tensor
    """(), what the metrics are sums over: C. An update divides every metric by their sum, in ``Tally.report``."""
    metrics: Mapping[str, Tensor]
    """(), sums over its tokens, without gradient, of what is on: those of the loss itself beside ``entropy`` in nats,
    ``kl`` (the estimate in nats, before its weight), ``correction_mean`` (importance weights after their bounds) and
    ``bounded_fraction`` (1 for each token whose importance weight was truncated or masked)."""

    def scaled(self, factor: float) -> LossOutput:
        return replace(self, loss=factor * self.loss)

    def detached(self) -> LossOutput:
        return replace(self, loss=self.loss.detach())


def policy_loss(tokens: PolicyTokens, config: RlConfig, counts: Counts) -> LossOutput:
    """GRPO and its relatives: - sum over tokens of aggregation weight * (w * objective - kl + entropy bonus).

    The objective is ``config.loss``'s. With ``old_logprobs_C`` equal to ``logprobs_C`` detached the ratio is 1 and the
    gradient, without further terms, that of REINFORCE. The importance weight w multiplies the objective alone, since KL
    and entropy are not estimates of a reward; without ``config.correction`` it is 1. An entropy that has no weight is
    only summed. Of demonstrations that joined a group the objective is ``demonstration_objective`` whatever the loss,
    and nothing more: the policy did not sample them, so that no estimate of KL could be made of their tokens.
    """
    tokens = replace(tokens, loss_tokens_S=tokens.loss_tokens_S.to(tokens.logprobs_C.dtype))
    demonstrated_C = None if tokens.demonstrated_S is None else tokens.demonstrated_S[tokens.sequence_C]
    if demonstrated_C is not None:
        tokens = _without_sampler(tokens, demonstrated_C)
    found = objective_of(config.loss, tokens)
    objective_C, metrics = found.per_token_C, dict(found.metrics)
    if config.correction is not None:
        assert tokens.sampling_logprobs_C is not None, "a correction compares with the sampler's log-probabilities"
        importance_C, bounded_C = importance_weights(
            tokens.old_logprobs_C,
            tokens.sampling_logprobs_C,
            tokens.sequence_C,
            tokens.loss_tokens_S,
            config.correction,
        )
        objective_C = importance_C * objective_C
        metrics |= {"correction_mean": importance_C.sum(), "bounded_fraction": bounded_C.sum()}
    if config.kl is not None:
        assert tokens.reference_logprobs_C is not None, "a KL penalty compares with the reference's log-probabilities"
        kl_C = kl_estimate(tokens.logprobs_C, tokens.reference_logprobs_C, config.kl.estimator)
        objective_C = objective_C - config.kl.weight * kl_C
        metrics["kl"] = kl_C.sum()
    entropy_C, bonus = tokens.entropy_C, config.entropy_weight
    if entropy_C is not None:
        objective_C = objective_C + bonus * entropy_C if bonus else objective_C
        metrics["entropy"] = entropy_C.sum()
    assert entropy_C is not None or not bonus, "an entropy bonus needs the entropy"
    if demonstrated_C is not None:
        shaped_C = demonstration_objective(tokens.logprobs_C, tokens.advantages_C)
        objective_C = torch.where(demonstrated_C, shaped_C, objective_C)
    weights_S = aggregation_weights(tokens.loss_tokens_S, config.aggregation, counts)
    return LossOutput(
        loss=-(objective_C * weights_S[tokens.sequence_C]).sum(),
        tokens=tokens.loss_tokens_S.sum(),
        metrics={name: value.detach() for name, value in metrics.items()},
    )


def demonstration_objective(logprobs_C: Tensor, advantages_C: Tensor) -> Tensor:
    """(C,) p / (p + 0.1) * A with the token's probability p, through which the gradient goes; no ratio and no clip.

    LUFFY's policy shaping (arXiv 2504.14945, gamma 0.1; in its code off_policy_reshape = p_div_p_0.1): no sampler wrote
    the demonstration, so there is no probability to divide by, and p stands for the ratio. The gradient is that of the
    log-probability, weighted with 0.1 p / (p + 0.1)^2 * A: most at p = 0.1 (0.25 A), little for what the policy is sure
    of (0.083 A at 1), and in the limit nothing for what it would never write.
    """
    p_C = torch.exp(logprobs_C)
    return p_C / (p_C + SHAPING) * advantages_C


def _without_sampler(tokens: PolicyTokens, demonstrated_C: Tensor) -> PolicyTokens:
    """With ratio and importance weight 1 and KL 0 on the demonstrations, so that they count for nothing in what is
    measured."""
    here_C = tokens.logprobs_C.detach()

    def put(there_C: Tensor | None) -> Tensor | None:
        return None if there_C is None else torch.where(demonstrated_C, here_C, there_C)

    return replace(
        tokens,
        old_logprobs_C=torch.where(demonstrated_C, here_C, tokens.old_logprobs_C),
        sampling_logprobs_C=put(tokens.sampling_logprobs_C),
        reference_logprobs_C=put(tokens.reference_logprobs_C),
    )


def aggregation_weights(loss_tokens_S: Tensor, aggregation: Aggregation, counts: Counts) -> Tensor:
    """(S,) weight in the step's loss of each token of a sequence, with D tokens and N sequences in the step.

    token-mean 1 / D (DAPO, arXiv 2503.14476, eq. 8); seq-mean 1 / (N * tokens of its own sequence) (GRPO, arXiv
    2402.03300, eq. 3); constant 1 / (N * max_completion_tokens) (Dr. GRPO, arXiv 2503.20783).
    """
    if aggregation == "token-mean":
        return torch.full_like(loss_tokens_S, 1 / counts.tokens)
    if aggregation == "seq-mean":
        return 1 / (counts.sequences * loss_tokens_S.clamp(min=1))
    return torch.full_like(loss_tokens_S, 1 / (counts.sequences * counts.max_completion_tokens))


def sft_loss(
    logprobs_C: Tensor,
    entropy_C: Tensor | None,
    *,
    alpha: float,
    token_count: int,
    token_weights: TokenWeights = "none",
    entropy_threshold: float | None = None,
) -> LossOutput:
    """Negative log-likelihood less alpha times entropy, summed here, divided by the whole step's ``token_count``.

    ``token_weights`` weigh the likelihood of each token and leave the denominator alone; see ``likelihood_weights``.
    """
    nll_C = -logprobs_C
    if token_weights != "none":
        nll_C = nll_C * likelihood_weights(logprobs_C, entropy_C, token_weights, entropy_threshold)
    total = nll_C.sum()
    assert entropy_C is not None or not alpha, "an entropy term needs the entropy"
    metrics = {}
    if entropy_C is not None:
        entropy = entropy_C.sum()
        total = total - alpha * entropy if alpha else total
        metrics["entropy"] = entropy.detach()
    return LossOutput(loss=total / token_count, tokens=logprobs_C.new_full((), logprobs_C.numel()), metrics=metrics)


def supervised_term(
    logprobs_C: Tensor, sequence_C: Tensor, supervisions: Sequence[Supervision], *, token_count: int
) -> LossOutput:
    """Demonstrations beside the groups of an RL step: - sum of weight * phi * l, over ``token_count``.

    ``supervisions`` are those of the S sequences, phi is 1 or p (1 - p) (``likelihood_weights``), and the count is of
    all such tokens of the whole step, so weights 1 make it their mean negative log-likelihood whatever the rollouts
    beside it are divided by. ``logprobs_C`` are at temperature 1, as in a supervised update. It measures nothing, and
    counts no tokens, so that the metrics of the step stay means over those of the rollouts.
    """
    weights_S = logprobs_C.new_tensor([supervision.weight for supervision in supervisions])
    spares_S = torch.tensor([s.token_weights == "p(1-p)" for s in supervisions], dtype=torch.bool)
    weights_C = weights_S[sequence_C]
    phi_C = likelihood_weights(logprobs_C, None, "p(1-p)", None)
    weights_C = torch.where(spares_S.to(logprobs_C.device)[sequence_C], weights_C * phi_C, weights_C)
    return LossOutput(loss=-(weights_C * logprobs_C).sum() / token_count, tokens=logprobs_C.new_zeros(()), metrics={})


def distillation_term(logprobs_CN: Tensor, teacher_CN: Tensor, weights_C: Tensor, *, token_count: int) -> LossOutput:
    """Rollouts beside the groups of an RL step: sum of weight * KL(q || p), over ``token_count``.

    q is what is left of the teacher's distribution in its N likeliest tokens, renormalised: ``teacher_CN`` are their
    log-probabilities. ``logprobs_CN`` are the policy's of the same tokens, of its softmax over the whole vocabulary, so
    that mass anywhere else costs too: a logit's gradient is weight * (p - q). Both are at temperature 1, and the count
    is of all such tokens of the whole step. It measures nothing, as ``supervised_term``.
    """
    log_q_CN = torch.log_softmax(teacher_CN, dim=1)
    q_CN = log_q_CN.exp()
    apart_CN = torch.where(q_CN > 0, log_q_CN - logprobs_CN, 0.0)
    loss = (weights_C * (q_CN * apart_CN).sum(dim=1)).sum() / token_count
    return LossOutput(loss=loss, tokens=logprobs_CN.new_zeros(()), metrics={})


def likelihood_weights(
    logprobs_C: Tensor, entropy_C: Tensor | None, kind: TokenWeights, entropy_threshold: float | None
) -> Tensor:
    """(C,) weight of each token's likelihood in a supervised loss, in [0, 1], without gradient.

    ``p(1-p)`` of the token's probability p: little for what the policy is sure of and for what would disrupt it (CHORD,
    arXiv 2508.11408). ``high-entropy``: 1 where the entropy reaches the threshold, else 0. Published for policy
    gradients is the top fifth of a batch (arXiv 2506.01939), which would depend on how the batch is split; a threshold
    in nats does not.
    """
    if kind == "p(1-p)":
        p_C = torch.exp(logprobs_C.detach())
        return p_C * (1 - p_C)
    if kind == "high-entropy":
        assert entropy_C is not None and entropy_threshold is not None, "high-entropy tokens need entropy and threshold"
        return (entropy_C.detach() >= entropy_threshold).to(logprobs_C.dtype)
    return torch.ones_like(logprobs_C)
