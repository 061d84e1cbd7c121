"""Opening a run: every check that can fail for a user's mistake, before any work starts."""

from __future__ import annotations

import dataclasses
import functools
import logging

from relift.config import RunConfig
from relift.identity import RUN_FILE, run_root, write_identity
from relift.interleave import DemonstrationBuffer, Gate, OwnCorrectPool, ReliftRule
from relift.interrupt import StopFlag
from relift.ledger import Ledger
from relift.lock import RunLock
from relift.questions import QuestionOrder, QuestionSet, load_questions, render_solution
from relift.recipe import fingerprint
from relift.records import PolicyVersion, UpdateKind
from relift.resolved import resolve_machine
from relift.run import Run, require_fit
from relift.store import open_store
from relift.store.folder import require_space
from relift.teacher import DatasetTeacher
from relift.verifier import Verifier

log = logging.getLogger(__name__)


def open_run(config: RunConfig, name: str, *, stop: StopFlag | None = None) -> Run:
    """The run of that name, new or to be resumed, with its lock held; use it in a ``with`` statement.

    Raises a UserError for everything a user can cause: dataset, golds, model, template, space, configuration, lock.
    """
    root = run_root(config, name)
    verifier = Verifier(config.questions.answer_form, think_opened="<think>" in config.policy.prompt_suffix)
    lock = RunLock(root / "lock")
    try:
        # The cheap checks come first: nothing is created before the questions and the model are known to be usable.
        questions = _questions(config, verifier)
        lock.acquire()
        return _assemble(config, name, root_lock=lock, verifier=verifier, questions=questions, stop=stop or StopFlag())
    except BaseException:
        verifier.close()
        if (root / RUN_FILE).exists():
            lock.release()
        else:
            lock.withdraw()
        raise


def _questions(config: RunConfig, verifier: Verifier) -> QuestionSet:
    evaluation = config.evaluation
    return load_questions(
        config.questions,
        seed=config.seed,
        verifier=verifier,
        held_out_per_family=evaluation.questions if evaluation else 0,
    )


def _assemble(
    config: RunConfig, name: str, *, root_lock: RunLock, verifier: Verifier, questions: QuestionSet, stop: StopFlag
) -> Run:
    import torch

    from relift.learning import build_optimizer
    from relift.phases.replay import materialise
    from relift.policy.engine import TransformersEngine
    from relift.policy.model import load_model, weight_tensors, weights_checksum
    from relift.policy.resident import Policy

    root = run_root(config, name)
    model, student = load_model(config.policy, seed=config.seed)
    fitting, long = student.fitting(questions.training)
    if long:
        log.warning("%d questions are longer than policy.max_prompt_tokens and are not asked", long)
    questions = dataclasses.replace(questions, training=tuple(fitting))
    require_fit(config, student, questions)
    sample = next((q for q in questions.training if q.solution), None)
    order = QuestionOrder(questions.training, config.questions.batch_size, config.seed)
    iterations = config.iterations or order.iterations_per_epoch
    parameters = sum(p.numel() for p in model.parameters())
    require_space(root, _bytes_needed(config, parameters))
    resolved = write_identity(root, config, resolve_machine(config, device=str(model.device)))
    torch.set_num_threads(resolved.threads)
    if config.policy.deterministic:
        torch.use_deterministic_algorithms(True)

    rl_optimizer = build_optimizer(model, config.rl.optimizer)
    optimizers = {UpdateKind.RL: rl_optimizer}
    if config.sft:
        optimizers[UpdateKind.SFT] = (
            rl_optimizer if config.shared_optimizer else build_optimizer(model, config.sft.optimizer)
        )
    base = PolicyVersion(number=0, checksum=weights_checksum(model))
    teacher = DatasetTeacher(
        config.questions, verifier=verifier, count_tokens=student.count_tokens, max_tokens=config.teacher.max_tokens
    )
    if sample is not None and config.sft:
        student.check_label_mask(render_solution(sample, config.questions))
    ledger = Ledger.open(root / "ledger.duckdb", name)
    ledger.record_run(
        f"{name}/run",
        config_json=config.model_dump_json(),
        base_model=config.policy.model,
        code_version=resolved.relift,
    )
    ledger.record_questions(f"{name}/questions/train", questions.training, split="train")
    ledger.record_questions(f"{name}/questions/held_out", questions.held_out, split="held_out")

    policy = Policy(model, student, optimizers)
    run = Run(
        name=name,
        root=root,
        config=config,
        resolved=resolved,
        fingerprint=fingerprint(config),
        iterations=iterations,
        store=open_store(str(root)),
        lock=root_lock,
        ledger=ledger,
        verifier=verifier,
        questions=questions,
        order=order,
        student=student,
        policy=policy,
        engine=TransformersEngine(
            model,
            pad_id=student.pad_id,
            stop_ids=student.stop_ids,
            vocabulary=student.vocabulary,
            decode=student.decode,
            max_rows=resolved.max_rows,
        ),
        teacher=teacher,
        base=base,
        base_weights={k: v.clone() for k, v in weight_tensors(model).items()},
        gate=Gate(config.gate),
        rule=ReliftRule(config.sft),
        buffer=DemonstrationBuffer(config.buffer),
        own_correct=OwnCorrectPool(config.sft.own_correct_pool if config.sft else 1),
        stop=stop,
    )
    policy.materialise_with(functools.partial(materialise, run))
    return run


def _bytes_needed(config: RunConfig, parameters: int) -> int:
    """Of checkpoints (weights and two moments per optimizer, in float32), and of the rollouts between them."""
    optimizers = 1 if config.shared_optimizer or not config.sft else 2
    checkpoint = 4 * parameters * (1 + 2 * optimizers)
    rollouts = config.questions.batch_size * config.rollout.samples * config.rollout.max_tokens * 8
    return (config.checkpoint.keep + 2) * checkpoint + config.checkpoint.every * rollouts + (64 << 20)
