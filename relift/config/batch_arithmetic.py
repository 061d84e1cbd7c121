"""The batch arithmetic of a run: what a recipe comes to, said before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from relift.config import ReliftRuleConfig, RunConfig


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    amount: str
    how: str


def batch_arithmetic(config: RunConfig, *, questions: int, iterations: int) -> list[Line]:
    """Questions, completions, tokens and updates of an iteration and of the whole run, most general first."""
    batch, samples = config.questions.batch_size, config.rollout.samples
    refill = config.sampling.refill
    asked = batch * (refill.cap if refill else 1)
    completions = asked * samples
    at_most = f"refilled to {asked} at most, until {batch} groups have signal" if refill else ""
    lines = [
        Line("iterations", f"{iterations:,}", f"{questions:,} questions, {batch} an iteration"),
        Line(
            "completions, at most" if refill else "completions",
            f"{completions * iterations:,}",
            f"{asked} questions x {samples} rollouts x {iterations}" + (f": {batch} {at_most}" if refill else ""),
        ),
        Line(
            "sampled tokens, at most",
            f"{completions * config.rollout.max_tokens * iterations:,}",
            f"{config.rollout.max_tokens} a completion",
        ),
    ]
    if config.rl is None:
        lines.append(Line("RL optimizer steps", "0", "rl is off"))
    else:
        updates = -(-batch // config.rl.questions_per_update)
        how = f"{updates} an iteration, of {config.rl.questions_per_update} questions"
        lines.append(Line("RL optimizer steps", f"{updates * iterations:,}", how))
    if config.sft is None:
        lines.append(Line("supervised updates", "0", "sft is off: plain GRPO"))
    elif isinstance(rule := config.teach.rule, ReliftRuleConfig):
        sft = config.sft
        steps = sft.epochs * -(-rule.batch_size // (sft.minibatch or rule.batch_size))
        lines.append(
            Line(
                "supervised updates, at most",
                f"{rule.max_updates_per_iteration * iterations:,}",
                f"when {rule.batch_size} demonstrations wait; {steps} optimizer steps each",
            )
        )
    if (probe := config.probe) and config.teaches:
        lines.append(
            Line(
                "completions of probes, at most",
                f"{probe.questions * probe.samples * iterations:,}",
                f"{probe.questions} questions x {probe.samples}, "
                f"{', '.join(str(distance) for distance in probe.after)} iterations after teaching",
            )
        )
    if (api := config.teacher.api) and config.teaches:
        lines.append(
            Line(
                "teacher requests, at most",
                f"{asked * iterations * api.candidates * api.rounds:,}",
                f"{api.candidates} candidates x {api.rounds} rounds, were every question hardest"
                + (f"; {api.budget_usd:g} USD at most" if api.budget_usd is not None else ""),
            )
        )
    if config.evaluation:
        lines.append(
            Line(
                "held-out evaluations",
                f"{2 + (iterations - 1) // (config.evaluation.every or iterations)}",
                f"{config.evaluation.samples} completions a question",
            )
        )
    return lines
