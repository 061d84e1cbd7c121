"""Packed tensors of a few sequences, and the policy loss in plain floats as a second route to its number."""

import dataclasses
import math

import torch

from relift.config import PpoConfig, RlConfig
from relift.learning import Counts, PolicyTokens, policy_loss

LIMIT = 10
"""max_completion_tokens of these tests."""
NO_CLIP = PpoConfig(clip=None)


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Per sequence: its advantage and, per token in the loss, four log-probabilities and an entropy."""

    advantages: list[float]
    new: list[list[float]]
    old: list[list[float]]
    sampler: list[list[float]]
    reference: list[list[float]]
    entropy: list[list[float]]

    def of(self, indices):
        return Sequences(
            *([getattr(self, field.name)[i] for i in indices] for field in dataclasses.fields(self)),
        )

    @property
    def counts(self):
        return Counts(tokens=sum(map(len, self.new)), sequences=len(self.new), max_completion_tokens=LIMIT)


def made_up(lengths, seed=0):
    """Ratios between about 0.4 and 2.7, so that every clip and bound is met on both sides."""
    generator = torch.Generator().manual_seed(seed)

    def near(values, spread):
        return [[x + spread * (2 * draw() - 1) for x in row] for row in values]

    def draw():
        return torch.rand((), generator=generator, dtype=torch.float64).item()

    new = [[-3 * draw() - 0.05 for _ in range(length)] for length in lengths]
    return Sequences(
        advantages=[1.0 if i % 3 else -1.5 for i in range(len(lengths))],
        new=new,
        old=near(new, 1.0),
        sampler=near(new, 1.0),
        reference=near(new, 1.0),
        entropy=[[2 * draw() for _ in row] for row in new],
    )


def packed(rows):
    return torch.tensor([x for row in rows for x in row], dtype=torch.float64)


def loss_of(sequences, *, loss=NO_CLIP, counts=None, entropy_weight=0.0, aggregation="token-mean", **settings):
    """The LossOutput of the packed sequences, and the leaves with their gradients."""
    new_C, entropy_C = (packed(rows).requires_grad_() for rows in (sequences.new, sequences.entropy))
    lengths = [len(row) for row in sequences.new]
    tokens = PolicyTokens(
        logprobs_C=new_C,
        old_logprobs_C=packed(sequences.old),
        advantages_S=torch.tensor(sequences.advantages, dtype=torch.float64),
        sequence_C=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        loss_tokens_S=torch.tensor(lengths, dtype=torch.float32),
        reference_logprobs_C=packed(sequences.reference),
        sampling_logprobs_C=packed(sequences.sampler),
        entropy_C=entropy_C,
    )
    config = RlConfig(loss=loss, aggregation=aggregation, entropy_weight=entropy_weight, **settings)
    output = policy_loss(tokens, config, counts or sequences.counts)
    output.loss.backward()
    return output, new_C.grad, entropy_C.grad


def plain_loss(sequences, *, loss, aggregation, kl, correction, entropy_weight):
    """The same loss token by token, straight from the formulas."""
    total, counts = 0.0, sequences.counts
    for i, advantage in enumerate(sequences.advantages):
        log_ratios = [n - o for n, o in zip(sequences.new[i], sequences.old[i], strict=True)]
        log_weights = [o - s for o, s in zip(sequences.old[i], sequences.sampler[i], strict=True)]
        length = len(log_ratios)
        share = {
            "token-mean": 1 / counts.tokens,
            "seq-mean": 1 / (counts.sequences * max(1, length)),
            "constant": 1 / (counts.sequences * LIMIT),
        }[aggregation]
        for t in range(length):
            r = math.exp(sum(log_ratios) / length if loss.kind == "gspo" else log_ratios[t])
            objective = plain_surrogate(r, sequences.new[i][t], advantage, loss)
            if correction:
                w = math.exp(sum(log_weights) if correction.level == "sequence" else log_weights[t])
                if correction.mode == "truncate":
                    w = min(w, correction.high)
                elif w > correction.high or w < (correction.low or 0):
                    w = 0.0
                objective *= w
            if kl:
                d = sequences.new[i][t] - sequences.reference[i][t]
                objective -= kl.weight * {"k1": d, "k2": d * d / 2, "k3": math.exp(-d) - 1 + d}[kl.estimator]
            objective += entropy_weight * sequences.entropy[i][t]
            total -= share * objective
    return total


def plain_surrogate(r, logprob, advantage, loss):
    clip = loss.clip
    clipped = r if clip is None else min(max(r, 1 - clip.low), 1 + clip.high)
    if loss.kind == "cispo":
        return clipped * advantage * logprob
    value = min(r * advantage, clipped * advantage)
    if clip and clip.dual and advantage < 0:
        value = max(value, clip.dual * advantage)
    return value
