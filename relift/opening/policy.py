"""The policy that a run begins with: its model, its optimizers, and the space that they take."""

from __future__ import annotations

import logging
import os
from typing import Any

from relift.config import RunConfig
from relift.interleave import Rule
from relift.policy.policy import Policy
from relift.policy.student import Student
from relift.records import Spent, UpdateKind

log = logging.getLogger(__name__)


def load_policy_model(config: RunConfig, student: Student) -> Any:
    """The model on its device, where the engine can run too."""
    if config.policy.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    from relift.policy.engine import require_engine_on
    from relift.policy.model import load_model

    model, _ = load_model(config.policy, seed=config.seed, student=student)
    require_engine_on(config, str(model.device))
    return model


def make_policy(config: RunConfig, model: Any, student: Student, rule: Rule, *, is_same_machine: bool) -> Policy:
    """At no version yet. Its replays are bit-equal where machine and versions are those that the run began with."""
    return Policy(
        model,
        student,
        _optimizers(config, model),
        is_exact=is_same_machine and (model.device.type == "cpu" or config.policy.deterministic),
        reference=_reference(config) if _needs_a_second_model(config, rule.distils) else None,
        warm_start=_warm_start_optimizer(config, model),
    )


def _optimizers(config: RunConfig, model: Any) -> dict[UpdateKind, Any]:
    """By update; the same one twice where they share it."""
    from relift.learning import build_optimizer

    found = {}
    if config.rl:
        found[UpdateKind.RL] = build_optimizer(model, config.rl.optimizer)
    if config.sft:
        shared = found.get(UpdateKind.RL) if config.shared_optimizer else None
        found[UpdateKind.SFT] = shared or build_optimizer(model, config.sft.optimizer)
    return found


def _warm_start_optimizer(config: RunConfig, model: Any) -> Any:
    from relift.learning import build_optimizer

    return build_optimizer(model, config.warm_start.optimizer) if config.warm_start else None


def _needs_a_second_model(config: RunConfig, distils: bool) -> bool:
    """For a KL term, or to distil from: there the policy itself is the start model with its adapters off, unless a warm
    start has trained them."""
    is_inside = config.policy.lora is not None and config.warm_start is None
    return config.rl is not None and (config.rl.kl is not None or (distils and not is_inside))


def _reference(config: RunConfig) -> Any:
    """The start model, a second time and never trained; where a warm start makes it, of the shape of what it makes."""
    from relift.policy.model import load_model

    lora = config.policy.lora if config.warm_start else None
    plain = config.policy.model_copy(update={"lora": lora, "activation_checkpointing": None})
    model, _ = load_model(plain, seed=config.seed)
    return model.eval().requires_grad_(False)


def bytes_needed(config: RunConfig, model: Any) -> int:
    """Of checkpoints (what is trained and two moments per optimizer, in float32), of the rollouts between them, and of
    the exported model."""
    exported: int = 4 * sum(p.numel() for p in model.parameters())
    trained = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimizers = 1 if config.shared_optimizer or not (config.rl and config.sft) else 2
    checkpoint: int = trained * (1 + 2 * optimizers)
    asked = config.questions.batch_size * config.sampling.most_batches
    rollouts = asked * config.rollout.samples * config.rollout.max_tokens * 8
    return (config.checkpoint.keep + 2) * checkpoint + config.checkpoint.every * rollouts + exported + (64 << 20)


def planned_iterations(config: RunConfig, per_epoch: int) -> int | None:
    """Batches of questions at most: as given or, by the budget of rollouts, where each iteration samples a batch at
    least; once through the questions where neither is. None where FLOPs alone say when the run ends, 0 where nothing
    but the warm start trains."""
    if not config.has_iterations:
        return 0
    budget, batch = config.budget, config.questions.batch_size * config.rollout.samples
    bounds = [config.iterations] if config.iterations else []
    bounds += [-(-budget.rollouts // batch)] if budget.rollouts else []
    return min(bounds) if bounds else None if budget.update_flops else per_epoch


def say_what_schedules_come_to(config: RunConfig, iterations: int | None, *, scheduled: int) -> None:
    """A run that was made longer or shorter keeps its schedules, and says what that means for its last iteration."""
    from relift.learning import schedule_factor

    if iterations is None or config.budget.share(Spent()) is not None:
        return

    for name, update in (("rl", config.rl), ("sft", config.sft)):
        schedule = update.optimizer.schedule if update else None
        if schedule is None or scheduled == iterations or schedule.final_share == 1:
            continue
        last = schedule_factor(schedule, iterations - 1, scheduled)
        what = f"stays there for the {iterations - scheduled} added" if iterations > scheduled else "is cut short"
        log.warning(
            "%s.optimizer.schedule was laid over the %d iterations that this run began with and %s: the last of %d "
            "iterations has %.2f of the full rate. Start another run (--name) for a schedule over all of them.",
            *(name, scheduled, what, iterations, last),
        )
