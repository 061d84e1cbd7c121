"""A policy loss of one's own: a function of PolicyTokens, and of its settings by name, that returns an Objective.

It is only asked what each token is to maximise. Correction, KL, entropy bonus and the divisors are put upon it as upon
any other, so that micro-batches and ranks add up.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
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
    return _asked(_loaded(loss.kind, json.dumps(loss.settings)), tokens)


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
    tokens, *others = (_made_up(part, config) for part in (every, every[:2], every[2:], ()))
    whole, (*parts, nothing) = _tried(plugin, tokens), [_tried(plugin, other) for other in others]
    if not torch.allclose(whole.per_token_C, torch.cat([part.per_token_C for part in parts]), rtol=1e-4, atol=1e-6):
        raise ConfigError(
            f"{what}: what it makes of a token depends on which other sequences are in its micro-batch, or is another "
            f"at each call, so what is trained would depend on how a batch is cut. Leave sums and means over sequences "
            f"to relift."
        )
    if any(whole.metrics.keys() != part.metrics.keys() for part in (*parts, nothing)):
        raise ConfigError(f"{what}: its metrics have other names for some tokens, or for none; give the same, as 0")
    for name, value in whole.metrics.items():
        sums = [float(value.detach()), sum(float(part.metrics[name].detach()) for part in parts)]
        if not math.isclose(*sums, rel_tol=1e-3, abs_tol=1e-5):
            raise ConfigError(
                f"{what}: its metric {name!r} is {sums[0]:g} of some tokens and {sums[1]:g} of their parts together, "
                f"so it is no sum over tokens. Return the sum: relift divides it by the tokens of the update."
            )
    _require_gradient(plugin, whole, tokens)
    return {f"rl.loss {plugin.path}": plugin.sha256}


def _asked(plugin: Plugin, tokens: PolicyTokens) -> Objective:
    before = _versions(tokens)
    found = checked(plugin.path, plugin(tokens), tokens)
    if changed := [name for name, version in _versions(tokens).items() if version != before[name]]:
        raise ConfigError(
            f"rl.loss.kind={plugin.path!r} changes {', '.join(changed)} in place, which relift goes on to use: change "
            f"a copy, .clone()"
        )
    return found


def _versions(tokens: PolicyTokens) -> dict[str, int]:
    """How often each of the tensors was written to, as torch counts."""
    tensors = {field.name: getattr(tokens, field.name) for field in fields(tokens)}
    return {name: tensor._version for name, tensor in tensors.items() if tensor is not None}


def _tried(plugin: Plugin, tokens: PolicyTokens) -> Objective:
    """Its objective of tokens that are made up; all that it says of them is finite."""
    what = f"rl.loss.kind={plugin.path!r}"
    said = f"{len(tokens.logprobs_C)} tokens that were made up to try it"
    try:
        found = _asked(plugin, tokens)
    except ConfigError:
        raise
    except (Exception, SystemExit) as problem:
        raise ConfigError(f"{what} fails on {said}: {type(problem).__name__}: {problem}") from problem
    if not torch.isfinite(found.per_token_C).all():
        raise ConfigError(f"{what}: its objective is not finite for each of {said}")
    if wrong := [name for name, value in found.metrics.items() if not torch.isfinite(value)]:
        raise ConfigError(f"{what}: its metric {wrong[0]!r} is not finite for {said}; return the sum over the tokens")
    return found


def _require_gradient(plugin: Plugin, found: Objective, tokens: PolicyTokens) -> None:
    """Raises ConfigError for an objective that has none, or none that can be trained on, or more than it says."""
    what = f"rl.loss.kind={plugin.path!r}"
    nothing = f"{what}: its objective does not depend on logprobs_C, so it would train nothing"
    if not found.per_token_C.requires_grad:
        raise ConfigError(nothing)
    try:
        (gradient_C,) = torch.autograd.grad(found.per_token_C.sum(), tokens.logprobs_C, allow_unused=True)
    except RuntimeError as problem:
        raise ConfigError(f"{what}: its objective has no gradient: {problem}") from problem
    if gradient_C is None:
        raise ConfigError(nothing)
    if not torch.isfinite(gradient_C).all():
        raise ConfigError(f"{what}: the gradient of its objective is not finite for tokens that were made up to try it")
    if getattr(plugin.target, "zero_without_advantage", False) and gradient_C[tokens.advantages_C == 0].any():
        raise ConfigError(
            f"{what} says zero_without_advantage, so sequences of advantage 0 would be left out, and its objective has "
            f"a gradient for them: take the attribute away"
        )


def checked(path: str, found: Any, tokens: PolicyTokens) -> Objective:
    """``found`` itself; ConfigError where it is no Objective of these tokens."""
    what = f"rl.loss.kind={path!r}"
    if not isinstance(found, Objective):
        raise ConfigError(f"{what} returned {type(found).__name__}; a loss returns relift.learning.Objective")
    objective, metrics = found.per_token_C, found.metrics
    if not isinstance(objective, torch.Tensor) or not objective.is_floating_point():
        said = objective.dtype if isinstance(objective, torch.Tensor) else type(objective).__name__
        raise ConfigError(f"{what} returned an objective of {said}; it is a tensor of floating-point numbers")
    shape, wanted = tuple(objective.shape), tuple(tokens.logprobs_C.shape)
    if shape != wanted:
        raise ConfigError(f"{what} returned an objective of shape {shape} for tokens of shape {wanted}")
    if not isinstance(metrics, Mapping):
        raise ConfigError(f"{what} returned metrics of {type(metrics).__name__}; they are tensors by name")
    for name, value in metrics.items():
        if name in RESERVED:
            raise ConfigError(f"{what}: a metric of its own cannot be called {name!r}, which is relift's; rename it")
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ConfigError(f"{what}: it calls a metric {name!r}; a name is of printable characters")
        if not isinstance(value, torch.Tensor) or value.shape != () or value.is_complex():
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
