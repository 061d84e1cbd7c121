"""The updates: advantages, losses, micro-batches, optimizers, and the RL and the supervised update built of them."""

from relift.learning.advantages import group_advantages
from relift.learning.batching import MicroBatch, micro_batches
from relift.learning.forward import Entropy, token_logprobs
from relift.learning.losses import Counts, LossOutput, policy_loss, sft_loss
from relift.learning.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    move_moments,
    optimizer_tensors,
    schedule_factor,
)
from relift.learning.selfcheck import Agreement, agreement
from relift.learning.sequences import demonstration_sequence, rl_sequences, rollout_sequence, sft_minibatches
from relift.learning.updates import SftOutcome, rl_update, sft_update

__all__ = [
    "Agreement",
    "Counts",
    "Entropy",
    "LossOutput",
    "MicroBatch",
    "SftOutcome",
    "agreement",
    "build_optimizer",
    "demonstration_sequence",
    "group_advantages",
    "load_optimizer_tensors",
    "micro_batches",
    "move_moments",
    "optimizer_tensors",
    "policy_loss",
    "rl_sequences",
    "rl_update",
    "rollout_sequence",
    "schedule_factor",
    "sft_loss",
    "sft_minibatches",
    "sft_update",
    "token_logprobs",
]
