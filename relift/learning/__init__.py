"""The updates: advantages, losses, micro-batches, optimizers, and the RL and the supervised update built of them."""

from relift.learning.advantages import group_advantages
from relift.learning.batching import MicroBatch, micro_batches
from relift.learning.forward import token_logprobs
from relift.learning.head import Entropy, chunk_tokens_for
from relift.learning.losses import Counts, LossOutput, policy_loss, sft_loss
from relift.learning.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    move_moments,
    optimizer_tensors,
    schedule_factor,
)
from relift.learning.own_loss import require_loss
from relift.learning.passes import Sizes
from relift.learning.selfcheck import Agreement, agreement
from relift.learning.sequences import (
    demonstration_sequence,
    distilled_sequences,
    has_signal,
    rl_sequences,
    rollout_sequence,
    sft_minibatches,
)
from relift.learning.sharding import Ranks, full_tensors, shard, shares_of, torchrun_ranks
from relift.learning.throughput import free_memory
from relift.learning.tokens import Objective, PolicyTokens
from relift.learning.updates import Conduct, SftOutcome, rl_update, sft_update

__all__ = [
    "Agreement",
    "Conduct",
    "Counts",
    "Entropy",
    "LossOutput",
    "MicroBatch",
    "Objective",
    "PolicyTokens",
    "Ranks",
    "SftOutcome",
    "Sizes",
    "agreement",
    "build_optimizer",
    "chunk_tokens_for",
    "demonstration_sequence",
    "distilled_sequences",
    "free_memory",
    "full_tensors",
    "group_advantages",
    "has_signal",
    "load_optimizer_tensors",
    "micro_batches",
    "move_moments",
    "optimizer_tensors",
    "policy_loss",
    "require_loss",
    "rl_sequences",
    "rl_update",
    "rollout_sequence",
    "schedule_factor",
    "sft_loss",
    "sft_minibatches",
    "sft_update",
    "shard",
    "shares_of",
    "token_logprobs",
    "torchrun_ranks",
]
