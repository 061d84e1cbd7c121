"""Opening a run: every check that can fail for a user's mistake, before any work starts."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any

from relift.config import RunConfig
from relift.config.recipe import fingerprint
from relift.errors import ConfigError
from relift.interleave import DemonstrationBuffer, Gate, OwnCorrectPool, ProbeSchedule, ReliftRule
from relift.interrupt import StopFlag
from relift.ledger import GoldStatus, Ledger
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.policy.student import SAMPLES, Student
from relift.policy.vllm_install import require_engine
from relift.questions import QuestionOrder, QuestionSet, load_questions, render_solution, with_benchmarks
from relift.records import PolicyVersion, Question, UpdateKind
from relift.run.identity import (
    BY_NAME,
    BY_TRAINING,
    RUN_FILE,
    SUMMARY_FILE,
    has_begun,
    remove_run,
    run_store,
    write_identity,
)
from relift.run.lock import RunLock
from relift.run.machine import resolve_machine
from relift.run.progress import METRICS, read_metrics
from relift.run.run import Run, require_fit
from relift.run.summary import stored_summary
from relift.store import Store
from relift.store.folder import require_space
from relift.store.manifest import digest
from relift.teacher.client import ApiClient
from relift.teacher.connect import connect, open_desk
from relift.teacher.own import require_own_teachers
from relift.verifier import Verifier
from relift.verifier.configured import make_verifier, require_comparison
from relift.verifier.extraction import AnswerForm

log = logging.getLogger(__name__)


def open_run(
    config: RunConfig, name: str, *, stop: StopFlag | None = None, teaches: bool = True, fresh: bool = False
) -> Run:
    """The run of that name, new or to be resumed, with its lock held; use it in a ``with`` statement.

    Without ``teaches`` no teacher is asked whether it is there: an evaluation needs none. With ``fresh`` an old run of
    that name is removed, once engine, questions, teacher and model are known to be usable.
    Raises a UserError for everything a user can cause: dataset, golds, model, template, space, configuration, lock.
    """
    from relift.policy.model import load_student

    store = run_store(config, name)
    root = store.root
    stop = stop or StopFlag()
    # The cheap checks come first: nothing is created before the questions and the model are known to be usable.
    if not teaches and config.evaluation is None:
        raise ConfigError(
            "evaluation is off in this recipe: give it an [evaluation] section, or drop --set evaluation=off"
        )
    require_engine(config)
    plugins = _plugins(config, trains=teaches or fresh or not has_begun(store))
    student = load_student(config.policy)
    verifier = make_verifier(config, think_opened=student.thinks)
    lock = RunLock(root / "lock")
    undo = ExitStack()
    try:
        require_comparison(config, verifier)
        questions = _questions(config, verifier, student)
        require_fit(config, student, questions)
        if teaches:
            _require_solutions(config, student, questions)
        model = _model(config, student) if fresh else None  # before the lock: no run is removed for what cannot begin
        earlier = None if fresh else store
        api = connect(config, student, earlier, question=questions.training[0]) if teaches else None
        if fresh:
            remove_run(run_store(config, name))
        lock.acquire()
        store.acquire(stop)
        return _assemble(
            config,
            name,
            store=store,
            root_lock=lock,
            verifier=verifier,
            student=student,
            model=model if fresh else _model(config, student),
            questions=questions,
            api=api,
            plugins=plugins,
            stop=stop,
            instead=BY_TRAINING if teaches else BY_NAME,
            undo=undo,
        )
    except BaseException:
        undo.close()
        verifier.close()
        try:
            store.release()
        finally:
            if (root / RUN_FILE).exists():
                lock.release()
            else:
                lock.withdraw()
        raise


def _plugins(config: RunConfig, *, trains: bool) -> dict[str, str]:
    """Digests of the sources of the plug-ins that are used, each checked, by the setting that names it.

    Raises ConfigError.
    """
    from relift.learning import require_loss
    from relift.policy.own_engine import require_own_engine

    found = require_own_engine(config)
    return {**found, **require_loss(config.rl), **require_own_teachers(config)} if trains else found


def _questions(config: RunConfig, verifier: Verifier, student: Student) -> QuestionSet:
    """Of the datasets, without what the student must not be asked; those whose prompt is too long are left out."""
    evaluation = config.evaluation
    fault_of = student.question_fault if config.questions.control_tokens == "set-aside" else _no_fault
    questions = load_questions(
        config.questions,
        seed=config.seed,
        verifier=verifier,
        held_out_per_family=evaluation.questions if evaluation else 0,
        fault_of=fault_of,
    )
    if evaluation is not None:
        form = evaluation.answer_form or config.questions.answer_form
        questions = with_benchmarks(
            questions, evaluation.benchmarks, answer_form=form, verifier=verifier, fault_of=fault_of
        )
        if form != config.questions.answer_form:
            _require_golds_in(form, questions.held_out, verifier)
    _say_whose_system_message(config, questions)
    return _fitting(questions, student)


def _require_golds_in(form: AnswerForm, held_out: Sequence[Question], verifier: Verifier) -> None:
    """Raises ConfigError where evaluations, which read another answer form, could not grade a gold that was fit."""
    reading = verifier.reading(form=form, rounded_golds=verifier.comparison.rounded_golds)
    faults = reading.check_golds([question.answer for question in held_out])
    unfit = [question.answer for question, fault in zip(held_out, faults, strict=True) if fault is not None]
    if unfit:
        raise ConfigError(
            f"evaluation.answer_form='{form}' cannot grade {len(unfit)} of {len(held_out)} held-out questions: their "
            f"golds, such as {unfit[0][:60]!r}, are no plain numbers. Leave evaluation.answer_form out, or set another."
        )


def _no_fault(question: Question) -> None:
    return None


def _say_whose_system_message(config: RunConfig, questions: QuestionSet) -> None:
    asked = questions.by_id.values()
    own = sum(question.system is not None for question in asked)
    if own and config.policy.system_prompt is not None:
        log.warning(
            "policy.system_prompt takes the place of the system message that %d of %d questions have in their rows",
            *(own, len(asked)),
        )
    elif own and own < len(asked):
        log.warning(
            "%d of %d questions have a system message in their rows, the others are asked without one; "
            "policy.system_prompt gives all of them the same",
            *(own, len(asked)),
        )


def _assemble(
    config: RunConfig,
    name: str,
    *,
    store: Store,
    root_lock: RunLock,
    verifier: Verifier,
    student: Student,
    model: Any,
    questions: QuestionSet,
    api: ApiClient | None,
    plugins: dict[str, str],
    stop: StopFlag,
    instead: str,
    undo: ExitStack,
) -> Run:
    """``undo`` is given what to close where a later step fails."""
    import torch

    from relift.phases.replay import materialise
    from relift.policy.engine import make_engine
    from relift.policy.own_engine import EngineInputs, make_own_engine
    from relift.policy.policy import Policy
    from relift.policy.weights import resume_tensors, weights_checksum

    root = store.root
    order = QuestionOrder(questions.training, config.questions.batch_size, config.seed)
    iterations = config.iterations or order.iterations_per_epoch
    require_space(root, _bytes_needed(config, model))
    base = PolicyVersion(number=0, checksum=weights_checksum(model))
    made_from = {
        # With the source, since results go by it: a dataset may lie elsewhere, but under its old file name.
        "questions": digest([_told(question) for question in questions.by_id.values()]),
        "base weights": base.checksum,
        "prompts": digest(student.prompt(order.batch(0)[0]).token_ids, student.stop_ids, student.vocabulary),
        "chat template": student.chats.digest,
    }
    machine = resolve_machine(config, device=str(model.device), vocabulary=student.vocabulary, iterations=iterations)
    # Before the run exists, since one's own may fail over its settings.
    own = make_own_engine(EngineInputs(config=config, model=model, student=student, max_rows=machine.max_rows))
    if own:
        undo.callback(own.close)
    resolved, is_same_machine = write_identity(store, config, machine, made_from, plugins=plugins, instead=instead)
    _say_what_schedules_come_to(config, iterations, scheduled=resolved.schedule_iterations)
    torch.set_num_threads(resolved.threads)
    if config.policy.deterministic:
        torch.use_deterministic_algorithms(True)
    if (ended := stored_summary(store)) and ended.iterations < iterations:
        store.remove_file(SUMMARY_FILE)  # more iterations were asked for: the run goes on
    ledger = _ledger(config, name, store, questions, code_version=resolved.relift)
    undo.callback(ledger.close)
    teachers = open_desk(config, api, verifier=verifier, student=student, ledger=ledger)
    undo.callback(teachers.close, 0.0)
    is_exact = is_same_machine and (model.device.type == "cpu" or config.policy.deterministic)
    policy = Policy(
        model,
        student,
        _optimizers(config, model),
        is_exact=is_exact,
        reference=_reference(config) if config.rl.kl else None,
    )
    run = Run(
        name=name,
        root=root,
        config=config,
        resolved=resolved,
        fingerprint=fingerprint(config),
        iterations=iterations,
        store=store,
        lock=root_lock,
        ledger=ledger,
        verifier=verifier,
        questions=questions,
        order=order,
        student=student,
        policy=policy,
        engine=own
        or make_engine(config, model=model, student=student, resolved=resolved, questions=questions.training),
        teachers=teachers,
        base=base,
        base_weights={k: v.to("cpu", copy=True) for k, v in resume_tensors(model).items()},
        gate=Gate(config.gate),
        rule=ReliftRule(config.sft),
        buffer=DemonstrationBuffer(config.buffer),
        own_correct=OwnCorrectPool(config.sft.own_correct_pool if config.sft else 1),
        probes=ProbeSchedule(config.probe if config.sft else None),
        stop=stop,
    )
    policy.materialise_with(functools.partial(materialise, run))
    return run


def _model(config: RunConfig, student: Student) -> Any:
    """The model on its device, where the engine can run too."""
    if config.policy.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    from relift.policy.engine import require_engine_on
    from relift.policy.model import load_model

    model, _ = load_model(config.policy, seed=config.seed, student=student)
    require_engine_on(config, str(model.device))
    return model


def _require_solutions(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Where the dataset teaches, some of its solutions can be taught."""
    if config.sft and "dataset" in config.teacher.sources:
        solved = (question for question in questions.training if question.solution)
        student.require_solutions([render_solution(q, config.questions) for q in islice(solved, SAMPLES)])


def _told(question: Question) -> list[Any]:
    """All of a question that decides what the policy reads and is measured by."""
    turns = [[turn.role, turn.text] for turn in question.turns]
    return [question.id, question.source, question.answer, question.solution, *([turns] if turns else [])]


def _say_what_schedules_come_to(config: RunConfig, iterations: int, *, scheduled: int) -> None:
    """A run that was made longer or shorter keeps its schedules, and says what that means for its last iteration."""
    from relift.learning import schedule_factor

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


def _reference(config: RunConfig) -> Any:
    """The start model, a second time and never trained."""
    from relift.policy.model import load_model

    plain = config.policy.model_copy(update={"lora": None, "activation_checkpointing": None})
    model, _ = load_model(plain, seed=config.seed)
    return model.eval().requires_grad_(False)


def _optimizers(config: RunConfig, model: Any) -> dict[UpdateKind, Any]:
    """By update; the same one twice where they share it."""
    from relift.learning import build_optimizer

    rl = build_optimizer(model, config.rl.optimizer)
    if config.sft is None:
        return {UpdateKind.RL: rl}
    shared = config.shared_optimizer
    return {UpdateKind.RL: rl, UpdateKind.SFT: rl if shared else build_optimizer(model, config.sft.optimizer)}


def _ledger(config: RunConfig, name: str, store: Store, questions: QuestionSet, *, code_version: str) -> Ledger:
    """The run's ledger, restored from its published snapshot where this machine has none, with the run's own rows."""
    for written in (RUN_FILE, METRICS, SNAPSHOT):
        store.fetch_file(written)
    read_metrics(store.root / METRICS)  # it is added to after hours of work, and a line that is none would end them
    ledger = Ledger.open(store.root / LEDGER, name, else_from=store.root / SNAPSHOT)
    record_inputs(ledger, config, questions, code_version=code_version)
    return ledger


def record_inputs(ledger: Ledger, config: RunConfig, questions: QuestionSet, *, code_version: str) -> None:
    """The run and its questions, each once."""
    name = ledger.run
    ledger.record_run(
        f"{name}/run",
        config_json=config.model_dump_json(),
        base_model=config.policy.model,
        code_version=code_version,
    )
    ledger.record_questions(f"{name}/questions/train", questions.training, split="train")
    ledger.record_questions(f"{name}/questions/held_out", questions.held_out, split="held_out")
    ledger.record_questions(f"{name}/questions/benchmarks", questions.benchmarks, split="benchmark")
    aside = {bad.question.id: bad.question for bad in questions.quarantined if bad.question}
    never_asked = [question for key, question in aside.items() if key not in questions.by_id]
    ledger.record_questions(
        f"{name}/questions/quarantined", never_asked, split="train", gold_status=GoldStatus.QUARANTINED
    )


def recorded_questions(config: RunConfig) -> QuestionSet:
    """The questions as ``open_run`` finds them, for a ledger that is made again; loads no weights."""
    from relift.policy.model import load_student

    student = load_student(config.policy)
    with closing(make_verifier(config, think_opened=student.thinks)) as verifier:
        return _questions(config, verifier, student)


def _fitting(questions: QuestionSet, student: Student) -> QuestionSet:
    """Those whose prompt is within policy.max_prompt_tokens, in both splits."""
    training, long = student.fitting(questions.training)
    held_out, long_held_out = student.fitting(questions.held_out)
    benchmarks, long_benchmarks = student.fitting(questions.benchmarks)
    if long + long_held_out + long_benchmarks:
        log.warning(
            "%d training, %d held-out and %d benchmark questions are longer than policy.max_prompt_tokens and are not "
            "asked",
            long,
            long_held_out,
            long_benchmarks,
        )
    return dataclasses.replace(
        questions, training=tuple(training), held_out=tuple(held_out), benchmarks=tuple(benchmarks)
    )


def _bytes_needed(config: RunConfig, model: Any) -> int:
    """Of checkpoints (what is trained and two moments per optimizer, in float32), of the rollouts between them, and of
    the exported model."""
    exported: int = 4 * sum(p.numel() for p in model.parameters())
    trained = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimizers = 1 if config.shared_optimizer or not config.sft else 2
    checkpoint: int = trained * (1 + 2 * optimizers)
    rollouts = config.questions.batch_size * config.rollout.samples * config.rollout.max_tokens * 8
    return (config.checkpoint.keep + 2) * checkpoint + config.checkpoint.every * rollouts + exported + (64 << 20)
