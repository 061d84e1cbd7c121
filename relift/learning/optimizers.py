"""AdamW, its learning-rate schedule, the history of its steps, and its state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from relift.config import AdamConfig, ScheduleConfig
from relift.errors import StoreError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STATES = ("step", "exp_avg", "exp_avg_sq")
NORMS_KEPT = 32
HISTORY = "history"
COUNTS, NORMS = f"{HISTORY}.counts", f"{HISTORY}.norms"


@dataclass(slots=True)
class StepHistory:
    """What became of an optimizer's steps over a run, e.g. taken 120, skipped 4, refused 1."""

    taken: int = 0
    skipped: int = 0
    """Nothing had signal."""
    refused: int = 0
    """The gradient was not finite or above a limit."""
    norms: tuple[float, ...] = ()
    """Gradient norms of the last ``NORMS_KEPT`` steps taken, before clipping, oldest first."""

    def take(self, norm: float) -> None:
        self.taken += 1
        self.norms = (*self.norms, norm)[-NORMS_KEPT:]


def history_of(optimizer: torch.optim.Optimizer) -> StepHistory:
    """The optimizer's own. It lies in its state beside the moments: whatever clears that state begins a new one."""
    state = cast(dict[object, StepHistory], optimizer.state)
    return state.setdefault(HISTORY, StepHistory())


def build_optimizer(model: PreTrainedModel, config: AdamConfig) -> torch.optim.AdamW:
    """AdamW over all trained parameters in one group, as the reference has it: biases and norms decay too.

    The fused kernel: one pass over the parameters, on a CPU as on a GPU.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        trained,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )


def schedule_factor(schedule: ScheduleConfig, iteration: int, iterations: int, *, used: float | None = None) -> float:
    """Factor on the learning rate in an iteration (from 0) of a run of ``iterations``; 1 is the full rate.

    Warm-up ends at the full rate in iteration ``warmup_iterations - 1``; the decay, if there is one, ends at
    ``final_share`` in the last iteration. A function of the iteration alone: no update, RL or supervised, moves it.

    ``used`` is how much of a budget that ends the run was used before the iteration, in [0, 1]: hold and decay then go
    by it, and the decay ends where it is used up.
    """
    if iteration + 1 < schedule.warmup_iterations:
        return (iteration + 1) / schedule.warmup_iterations
    if used is not None:
        decayed = max(0.0, used - schedule.hold_share) / max(1e-9, 1.0 - schedule.hold_share)
        return 1.0 - (1.0 - schedule.final_share) * decayed
    start = max(schedule.hold_share * iterations, float(schedule.warmup_iterations))
    last = iterations - 1
    if iteration < start:
        return 1.0
    done = 1.0 if iteration >= last else (iteration - start) / (last - start)
    return 1.0 - (1.0 - schedule.final_share) * done


def optimizer_tensors(optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The optimizer's state by ``<parameter name>.<step | exp_avg | exp_avg_sq>``, not copied, and its history.

    The history is ``history.counts`` (int64: taken, skipped, refused) and ``history.norms`` (float64). Nothing of
    either before there is something. Hyperparameters are not among them: they come from the configuration.
    """
    named = _named_parameters(optimizer)
    tensors = {
        f"{name}.{state}": optimizer.state[parameter][state]
        for name, parameter in named.items()
        if optimizer.state.get(parameter)
        for state in STATES
    }
    history = history_of(optimizer)
    if history != StepHistory():
        tensors[COUNTS] = torch.tensor([history.taken, history.skipped, history.refused])
        tensors[NORMS] = torch.tensor(history.norms, dtype=torch.float64)
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.AdamW, tensors: Mapping[str, Tensor]) -> None:
    """Put the optimizer, bit for bit, into the state that ``optimizer_tensors`` was taken of; the tensors are copied.

    A state without history, as older checkpoints have it, begins a new one. Raises StoreError, with the optimizer
    untouched, when names or shapes are not those of the model.
    """
    named = _named_parameters(optimizer)
    moments = {name: tensor for name, tensor in tensors.items() if name not in (COUNTS, NORMS)}
    stepped = {name.rpartition(".")[0] for name in moments}
    _refuse(stepped - named.keys(), "are unknown to the model")
    _refuse({f"{name}.{state}" for name in stepped for state in STATES} ^ moments.keys(), "are missing or unexpected")
    _refuse(
        {
            f"{name}.{state}"
            for name in stepped
            for state in STATES[1:]
            if tensors[f"{name}.{state}"].shape != named[name].shape
        },
        "have another shape than their parameter",
    )
    history = _history(tensors)
    optimizer.state.clear()
    for name, parameter in named.items():
        if name in stepped:
            optimizer.state[parameter] = {
                state: tensors[f"{name}.{state}"].detach().to(parameter.device, copy=True) for state in STATES
            }
    cast(dict[object, StepHistory], optimizer.state)[HISTORY] = history


def _history(tensors: Mapping[str, Tensor]) -> StepHistory:
    stored = {COUNTS, NORMS} & tensors.keys()
    if not stored:
        return StepHistory()
    _refuse({COUNTS, NORMS} - stored, "are missing or unexpected")
    _refuse({COUNTS} if tensors[COUNTS].shape != (3,) else set(), "hold other counts than taken, skipped and refused")
    taken, skipped, refused = tensors[COUNTS].tolist()
    return StepHistory(taken, skipped, refused, tuple(tensors[NORMS].tolist()))


def move_moments(optimizer: torch.optim.AdamW, device: str | None) -> None:
    """Keep both moments, two thirds of what a trainer holds, on another device; on their parameters' own for None."""
    for parameter in _named_parameters(optimizer).values():
        state = optimizer.state.get(parameter, {})
        for name in STATES[1:]:
            if name in state:
                state[name] = state[name].to(device or parameter.device)


def _named_parameters(optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    (group,) = optimizer.param_groups
    return dict(zip(group["param_names"], group["params"], strict=True))


def _refuse(names: set[str], what: str) -> None:
    if names:
        shown = ", ".join(sorted(names)[:3])
        raise StoreError(
            f"the stored optimizer state does not fit the model: {len(names)} names {what} ({shown}). "
            "It was written for another model or is damaged; resume from another checkpoint."
        )
