"""A policy loss of one's own: a function of PolicyTokens, and of its settings by name, that returns an Objective.

It is only asked what each token is to maximise. Correction, KL, entropy bonus and the divisors are put upon it as upon
any other, so that micro-batches and ranks add up.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import torch

from relift.config import PluginConfig, RlConfig
from relift.config.plugin import Plugin, load_plugin
from relift.errors import ConfigError
from relift.learning.tokens import Objective, PolicyTokens

RESERVED = frozenset({"entropy", "kl", "correction_mean", "bounded_fraction"})
"""Metrics of what is put upon any loss."""


def own_objective(loss: PluginConfig, tokens: PolicyTokens) -> Objective:
    """Raises ConfigError where the function returns something else than it should."""
    return checked(loss.kind, _loaded(loss.kind, json.dumps(loss.settings))(tokens), tokens)


def needs_every_sequence(config: RlConfig) -> bool:
    """Whether a sequence without advantage may move the weights.

    A loss of one's own where that is never so says it: ``my_loss.zero_without_advantage = True``.
    """
    if isinstance(config.loss, PluginConfig):
        loss = _loaded(config.loss.kind, json.dumps(config.loss.settings))
        if not getattr(loss.target, "zero_without_advantage", False):
            return True
    return bool(config.entropy_weight or config.kl)


def require_loss(config: RlConfig) -> dict[str, str]:
    """Digests by name of the loss's source, none for one of relift's. Raises ConfigError for one that cannot be used.

    It is tried on tokens that are made up: several sequences at once, in two parts, then none.
    """
    if not isinstance(config.loss, PluginConfig):
        return {}
    plugin = _loaded(config.loss.kind, json.dumps(config.loss.settings))
    what = f"rl.loss.kind={plugin.path!r}"
    every = range(4)
    whole, *parts, nothing = (_tried(plugin, _made_up(part, config)) for part in (every, every[:2], every[2:], ()))
    if not whole.per_token_C.requires_grad:
        raise ConfigError(f"{what}: its objective does not depend on logprobs_C, so it would train nothing")
    if not torch.allclose(whole.per_token_C, torch.cat([part.per_token_C for part in parts]), rtol=1e-4, atol=1e-6):
        raise ConfigError(
            f"{what}: what it makes of a token depends on which other sequences are in its micro-batch, so what is "
            f"trained would depend on how a batch is cut. Leave sums and means over sequences to relift."
        )
    if whole.metrics.keys() != nothing.metrics.keys():
        raise ConfigError(f"{what}: its metrics have other names where there are no tokens; give the same, as 0")
    return {f"rl.loss {plugin.path}": plugin.sha256}


def _tried(plugin: Plugin, tokens: PolicyTokens) -> Objective:
    try:
        found = plugin(tokens)
    except Exception as problem:
        raise ConfigError(
            f"rl.loss.kind={plugin.path!r} fails on {len(tokens.logprobs_C)} tokens that were made up to try it: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    return checked(plugin.path, found, tokens)


def checked(path: str, found: Any, tokens: PolicyTokens) -> Objective:
    """``found`` itself; ConfigError where it is no Objective of these tokens."""
    what = f"rl.loss.kind={path!r}"
    if not isinstance(found, Objective):
        raise ConfigError(f"{what} returned {type(found).__name__}; a loss returns relift.learning.Objective")
    shape, wanted = tuple(found.per_token_C.shape), tuple(tokens.logprobs_C.shape)
    if shape != wanted:
        raise ConfigError(f"{what} returned an objective of shape {shape} for tokens of shape {wanted}")
    for name, value in found.metrics.items():
        if not isinstance(name, str) or name in RESERVED:
            raise ConfigError(f"{what}: a metric of its own cannot be called {name!r}, which is relift's; rename it")
        if not isinstance(value, torch.Tensor) or value.shape != ():
            raise ConfigError(f"{what}: its metric {name!r} is no tensor of shape (): return its sum over the tokens")
    return found


@functools.cache
def _loaded(path: str, settings: str) -> Plugin:
    return load_plugin(path, kind="loss", key="rl.loss", parameters=("tokens",), settings=json.loads(settings))


def _made_up(chosen: Sequence[int], config: RlConfig) -> PolicyTokens:
    """Some of four sequences, of 3, 0, 1 and 2 tokens, with advantages of both signs and 0."""
    lengths = torch.tensor([3, 0, 1, 2])
    of_C = torch.arange(4).repeat_interleave(lengths)
    picked, lengths_S = torch.isin(of_C, torch.tensor(list(chosen))), lengths[list(chosen)]
    logprobs_C = -torch.linspace(0.5, 1.5, len(of_C))[picked]
    return PolicyTokens(
        logprobs_C=logprobs_C.clone().requires_grad_(),
        old_logprobs_C=logprobs_C - 0.1,
        advantages_S=torch.tensor([1.0, -1.0, 0.0, 0.5])[list(chosen)],
        sequence_C=torch.arange(len(chosen)).repeat_interleave(lengths_S),
        loss_tokens_S=lengths_S.to(torch.float32),
        sampling_logprobs_C=logprobs_C + 0.1,
        reference_logprobs_C=logprobs_C - 0.2 if config.kl else None,
        entropy_C=torch.ones(len(logprobs_C)),
    )
