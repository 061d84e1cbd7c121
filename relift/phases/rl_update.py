"""The RL update of an iteration: one GRPO pass over its recorded groups."""

from __future__ import annotations

from relift.errors import SelfCheckFailed
from relift.learning import rl_sequences
from relift.learning import rl_update as learn
from relift.phases.phase import finished, place_of
from relift.phases.updates import committed_version, learning_rate, record_update
from relift.phases.verify import groups_of
from relift.policy.model import autocast
from relift.records import PhaseRef, PolicyVersion, UpdateKind, UpdateReport
from relift.run import Run
from relift.store.manifest import digest


def rl_update(
    run: Run, iteration: int, rollouts: PhaseRef, verdicts: PhaseRef, version: PolicyVersion
) -> PolicyVersion:
    """The version after the update; the same one when no group had signal.

    When it is recorded, its version is returned and nothing is computed: the weights come when somebody needs them.
    """
    inputs = digest(run.fingerprint, rollouts.sha256, verdicts.sha256, version.checksum)
    if ref := finished(run, iteration, "rl_update", inputs):
        return committed_version(run, ref)
    run.policy.at(version)
    lr = learning_rate(run, UpdateKind.RL, iteration)
    report = perform(run, rollouts, verdicts, lr)
    _require_small_gap(run, report)
    return record_update(
        run,
        iteration,
        place_of(iteration, "rl_update"),
        files={},
        reports=[report],
        uses=[],
        parent=version,
        inputs=inputs,
        redo={"rollout": rollouts.uri, "verify": verdicts.uri, "lr": lr},
    )


def perform(run: Run, rollouts: PhaseRef, verdicts: PhaseRef, lr: float) -> UpdateReport:
    """Update the resident weights; used for the first time and for replay alike."""
    groups = groups_of(run, rollouts, verdicts)
    prompts = {g.question.id: run.student.prompt(g.question).token_ids for g in groups}
    with run.policy.changing(), autocast(run.config.policy, run.resolved.device):
        return learn(
            run.policy.model,
            run.policy.optimizers[UpdateKind.RL],
            rl_sequences(groups, prompts, config=run.config.rl),
            config=run.config.rl,
            temperature=run.config.rollout.temperature,
            max_completion_tokens=run.config.rollout.max_tokens,
            vocabulary=run.student.vocabulary,
            lr=lr,
            micro_batch_tokens=run.resolved.micro_batch_tokens,
            pad_id=run.student.pad_id,
            check=run.stop.check,
        )


def _require_small_gap(run: Run, report: UpdateReport) -> None:
    """Self-check: engine and trainer agree about the sampled tokens. Raises SelfCheckFailed above the bound."""
    limit = run.config.checks.max_logprob_gap
    if report.logprob_gap_mean > limit:
        raise SelfCheckFailed(
            f"the engine's log-probabilities differ from the trainer's by {report.logprob_gap_mean:.4f} nats on "
            f"average, more than checks.max_logprob_gap={limit}: the policy gradient would be of another policy. "
            f"Check temperature, dtype and the weight hand-over to the engine."
        )
