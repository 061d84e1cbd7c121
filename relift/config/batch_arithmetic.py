"""The batch arithmetic of a run: what a recipe comes to, said before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relift.config import (
    BatchRuleConfig,
    GuidedRuleConfig,
    InterventionRuleConfig,
    RunConfig,
    SelfDistilRuleConfig,
    ZppoRuleConfig,
)


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    amount: str
    how: str


def batch_arithmetic(config: RunConfig, *, questions: int, iterations: int | None) -> list[Line]:
    """Questions, completions, tokens and updates of an iteration and of the whole run, most general first.

    Without ``iterations``, where the budget alone says when the run ends, the amounts are those of one.
    """
    batch, samples, longest = config.questions.batch_size, config.rollout.samples, config.rollout.max_tokens
    asked = batch * config.sampling.most_batches
    completions = asked * samples
    asks = f"{batch}" if asked == batch else f"{batch} to {asked}"
    count = "until the budget is used" if iterations is None else f"{iterations:,}"

    def of_run(amount: int, once: int = 0) -> str:
        if iterations is None:
            return f"{amount:,} an iteration" + (f" and {once:,} once" if once else "")
        return f"{amount * iterations + once:,}"

    beside = _beside(config, asked)
    sampled = completions + sum(amount for _, amount, _ in beside)
    lines = [
        Line("iterations", count, f"{questions:,} questions, {asks} an iteration"),
        Line("completions", of_run(completions), f"{asked} questions x {samples} rollouts x {iterations or 1}"),
        *(Line(f"completions {what}, at most", of_run(amount), how) for what, amount, how in beside),
        Line("sampled tokens, at most", of_run(sampled * longest, _gap(config) * longest), f"{longest} a completion"),
        *_budget_lines(config),
        *_warm_start_lines(config, questions),
    ]
    if config.rl is None:
        lines.append(Line("RL optimizer steps", "0", "rl is off"))
    else:
        updates = -(-batch // config.rl.questions_per_update)
        how = f"{updates} an iteration, of {config.rl.questions_per_update} questions"
        lines.append(Line("RL optimizer steps", of_run(updates), how))
    if config.sft is None:
        lines.append(Line("supervised updates", "0", f"sft is off{'' if config.teaches else ': plain GRPO'}"))
    elif isinstance(rule := config.teach.rule, BatchRuleConfig):
        sft = config.sft
        steps = sft.epochs * -(-rule.batch_size // (sft.minibatch or rule.batch_size))
        lines.append(
            Line(
                "supervised updates, at most",
                of_run(rule.max_updates_per_iteration),
                f"when {rule.batch_size} demonstrations wait; {steps} optimizer steps each",
            )
        )
    return lines + _checking_lines(config, asked, of_run) + _evaluation_lines(config, iterations)


def _checking_lines(config: RunConfig, asked: int, of_run: Callable[[int], str]) -> list[Line]:
    """What is sampled to see what teaching did, and what an API is asked for."""
    lines: list[Line] = []
    if (probe := config.probe) and config.teaches:
        lines.append(
            Line(
                "completions of probes, at most",
                of_run(probe.questions * probe.samples),
                f"{probe.questions} questions x {probe.samples}, "
                f"{', '.join(str(distance) for distance in probe.after)} iterations after teaching",
            )
        )
    if isinstance(rule := config.teach.rule, SelfDistilRuleConfig) and config.teaches:
        how = f"{rule.gap_questions} questions x 2 x {rule.gap_samples}, in all of the run"
        lines.append(Line("completions for the gap, at most", f"{_gap(config):,}", how))
    if (api := config.teacher.api) and config.teaches:
        lines.append(
            Line(
                "teacher requests, at most",
                of_run(asked * api.candidates * api.rounds),
                f"{api.candidates} candidates x {api.rounds} rounds, were every question hardest"
                + (f"; {api.budget_usd:g} USD at most" if api.budget_usd is not None else ""),
            )
        )
    return lines


def _beside(config: RunConfig, asked: int) -> list[tuple[str, int, str]]:
    """What the rule samples in an iteration beside the ``asked`` questions: what it is, completions at most, how."""
    rule, samples = config.teach.rule, config.rollout.samples
    if not config.teaches:
        return []
    if isinstance(rule, GuidedRuleConfig):
        rounds = int(rule.longest * rule.cuts).bit_length()
        searched = f"{rule.capacity} questions x {rounds} beginnings x {rule.search_samples}"
        return [
            ("guided and unguided", 2 * rule.questions * samples, f"{rule.questions} questions x 2 x {samples}"),
            ("of the prefix search", rule.capacity * rounds * rule.search_samples, searched),
        ]
    if isinstance(rule, ZppoRuleConfig):
        shares = (rule.again, rule.compared, rule.mistaken)
        prompts = sum(round(share * config.questions.batch_size / (1 - sum(shares))) for share in shares)
        return [("of prompts beside the batch", prompts * samples, f"{prompts} prompts x {samples}")]
    if isinstance(rule, InterventionRuleConfig) and rule.samples:
        how = f"{asked} questions x {rule.samples}, were every one hardest"
        return [("of continuations", asked * rule.samples, how)]
    return []


def _gap(config: RunConfig) -> int:
    """Completions at most of the gap that the rule self-distil measures, once in a run; 0 of any other."""
    rule = config.teach.rule
    return 2 * rule.gap_questions * rule.gap_samples if isinstance(rule, SelfDistilRuleConfig) and config.teaches else 0


def _warm_start_lines(config: RunConfig, questions: int) -> list[Line]:
    if (warm := config.warm_start) is None:
        return []
    how = f"one an epoch, of {warm.demonstrations} demonstrations, {warm.minibatch} an optimizer step"
    lines = [Line("updates of the warm start", f"{warm.updates}", how)]
    if api := config.teacher.api:
        how = f"{api.candidates} candidates x {api.rounds} rounds, were every question asked"
        lines.append(Line("its teacher requests, at most", f"{questions * api.candidates * api.rounds:,}", how))
    return lines


def _evaluation_lines(config: RunConfig, iterations: int | None) -> list[Line]:
    if config.evaluation is None:
        return []
    count = f"{2 + (iterations - 1) // (config.evaluation.every or iterations)}" if iterations else "2 at least"
    return [Line("held-out evaluations", count, f"{config.evaluation.samples} completions a question")]


def _budget_lines(config: RunConfig) -> list[Line]:
    return [
        Line(f"budget: {name}", f"{limit:,.4g}" if isinstance(limit, float) else f"{limit:,}", "at most")
        for name, limit in config.budget.model_dump().items()
        if limit is not None
    ]
