"""The batch arithmetic of a run: what a recipe comes to, said before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from relift.config import BatchRuleConfig, RunConfig


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

    def of_run(amount: int) -> str:
        return f"{amount:,} an iteration" if iterations is None else f"{amount * iterations:,}"

    lines = [
        Line("iterations", count, f"{questions:,} questions, {asks} an iteration"),
        Line("completions", of_run(completions), f"{asked} questions x {samples} rollouts x {iterations or 1}"),
        Line("sampled tokens, at most", of_run(completions * longest), f"{longest} a completion"),
        *_budget_lines(config),
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
    if (probe := config.probe) and config.teaches:
        lines.append(
            Line(
                "completions of probes, at most",
                of_run(probe.questions * probe.samples),
                f"{probe.questions} questions x {probe.samples}, "
                f"{', '.join(str(distance) for distance in probe.after)} iterations after teaching",
            )
        )
    if (api := config.teacher.api) and config.teaches:
        lines.append(
            Line(
                "teacher requests, at most",
                of_run(asked * api.candidates * api.rounds),
                f"{api.candidates} candidates x {api.rounds} rounds, were every question hardest"
                + (f"; {api.budget_usd:g} USD at most" if api.budget_usd is not None else ""),
            )
        )
    return lines + _evaluation_lines(config, iterations)


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
