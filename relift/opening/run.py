"""Opening a run: every check that can fail for a user's mistake, before any work starts."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from relift.config import RunConfig
from relift.config.recipe import fingerprint
from relift.errors import ConfigError
from relift.interleave import Interleaving, Rule, make_rule, require_rule
from relift.interrupt import StopFlag
from relift.ledger import Ledger
from relift.opening.groundwork import Groundwork, groundwork
from relift.opening.policy import (
    bytes_needed,
    load_policy_model,
    make_policy,
    planned_iterations,
    say_what_schedules_come_to,
)
from relift.opening.questions import (
    asked_questions,
    digest_of,
    record_inputs,
    require_fit,
    require_guidance,
    require_solutions,
    require_words,
)
from relift.phases.replay import materialise
from relift.policy.student import Student
from relift.policy.vllm_install import require_engine
from relift.questions import QuestionOrder, QuestionSet
from relift.records import PolicyVersion
from relift.reward import make_reward, require_reward
from relift.run.identity import RUN_FILE, SUMMARY_FILE, remove_run, run_store, write_identity
from relift.run.machine import resolve_machine
from relift.run.progress import METRICS, read_metrics
from relift.run.run import Run
from relift.run.summary import stored_summary
from relift.store.folder import require_space
from relift.store.manifest import digest
from relift.teacher.client import ApiClient
from relift.teacher.connect import connect
from relift.teacher.own import require_own_teachers


def open_run(
    config: RunConfig, name: str, *, stop: StopFlag | None = None, teaches: bool = True, fresh: bool = False
) -> Run:
    """The run of that name, new or to be resumed, with its lock held; use it in a ``with`` statement.

    Without ``teaches`` no teacher is asked whether it is there: an evaluation needs none. With ``fresh`` an old run of
    that name is removed, once engine, questions, teacher and model are known to be usable.
    Raises a UserError for everything a user can cause: dataset, golds, model, template, space, configuration, lock.
    """
    # The cheap checks come first: nothing is created before the questions and the model are known to be usable.
    if not teaches and config.evaluation is None:
        raise ConfigError(
            "evaluation is off in this recipe: give it an [evaluation] section, or drop --set evaluation=off"
        )
    require_engine(config)
    trains = teaches or fresh
    plugins = require_plugins(config, trains=trains)
    rule = make_rule(config) if trains else Rule()
    with groundwork(config, name, stop) as ground:
        student = ground.student
        questions = asked_questions(config, ground.verifier, student)
        require_fit(config, student, questions)
        interleaving = Interleaving(config, known={question.id for question in questions.training}, rule=rule)
        if teaches:
            require_solutions(config, student, questions)
            require_words(config, student, questions)
            require_guidance(config, student, questions)
        # Before the lock: no run is removed for what cannot begin.
        model = load_policy_model(config, student) if fresh else None
        earlier = None if fresh else ground.store
        api = connect(config, student, earlier, question=questions.training[0]) if teaches else None
        if fresh:
            remove_run(run_store(config, name))
        ground.acquire()
        model = model if fresh else load_policy_model(config, student)
        return _assemble(ground, questions, model, api, interleaving, plugins)


def require_plugins(config: RunConfig, *, trains: bool) -> dict[str, str]:
    """Digests of the sources of the plug-ins that are used, each checked, by the setting that names it.

    Raises ConfigError.
    """
    from relift.learning import require_loss
    from relift.policy.own_engine import require_own_engine

    found = require_own_engine(config)
    if trains:
        of_rl = require_loss(config.rl) | require_reward(config.rl) if config.rl else {}
        found |= of_rl | require_rule(config) | require_own_teachers(config)
    return found


def _assemble(
    ground: Groundwork,
    questions: QuestionSet,
    model: Any,
    api: ApiClient | None,
    interleaving: Interleaving,
    plugins: Mapping[str, str],
) -> Run:
    import torch

    from relift.policy.engine import make_engine
    from relift.policy.own_engine import EngineInputs, make_own_engine
    from relift.policy.weights import resume_tensors, weights_checksum

    config, store, student = ground.config, ground.store, ground.student
    order = QuestionOrder(questions.training, config.questions.batch_size, config.seed, config.sampling)
    iterations = planned_iterations(config, order.iterations_per_epoch)
    require_space(store.root, bytes_needed(config, model))
    base = PolicyVersion(number=0, checksum=weights_checksum(model))
    machine = resolve_machine(
        config, device=str(model.device), vocabulary=student.vocabulary, iterations=iterations or 0
    )
    # Before the run exists, since one's own may fail over its settings.
    own = make_own_engine(EngineInputs(config=config, model=model, student=student, max_rows=machine.max_rows))
    if own:
        ground.undo.callback(own.close)
    made_from = _made_from(ground.student, questions, order, base)
    resolved, is_same_machine = write_identity(store, config, machine, made_from, plugins=plugins)
    say_what_schedules_come_to(config, iterations, scheduled=resolved.schedule_iterations)
    torch.set_num_threads(resolved.threads)
    if config.policy.deterministic:
        torch.use_deterministic_algorithms(True)
    if (ended := stored_summary(store)) and ended.goes_on(config.budget, iterations):
        store.remove_file(SUMMARY_FILE)  # more iterations were asked for: the run goes on
    ledger = _ledger(ground, questions, code_version=resolved.relift)
    run = Run(
        name=ground.name,
        config=config,
        resolved=resolved,
        fingerprint=fingerprint(config),
        iterations=iterations,
        store=store,
        lock=ground.lock,
        ledger=ledger,
        verifier=ground.verifier,
        reward=make_reward(config.rewards),
        questions=questions,
        order=order,
        student=student,
        teachers=ground.teachers(api, ledger),
        policy=make_policy(config, model, student, interleaving.rule.rule, is_same_machine=is_same_machine),
        engine=own
        or make_engine(config, model=model, student=student, resolved=resolved, questions=questions.training),
        base=base,
        base_weights={k: v.to("cpu", copy=True) for k, v in resume_tensors(model).items()},
        interleaving=interleaving,
        stop=ground.stop,
    )
    run.policy.materialise_with(functools.partial(materialise, run))
    return run


def _made_from(student: Student, questions: QuestionSet, order: QuestionOrder, base: PolicyVersion) -> dict[str, str]:
    """Digests of what makes the run that run, beside its configuration."""
    return {
        "questions": digest_of(questions),
        "base weights": base.checksum,
        "prompts": digest(student.prompt(order.batch(0)[0]).token_ids, student.stop_ids, student.vocabulary),
        "chat template": student.chats.digest,
    }


def _ledger(ground: Groundwork, questions: QuestionSet, *, code_version: str) -> Ledger:
    """The run's ledger with the run's own rows."""
    store = ground.store
    for written in (RUN_FILE, METRICS):
        store.fetch_file(written)
    read_metrics(store.root / METRICS)  # it is added to after hours of work, and a line that is none would end them
    ledger = ground.ledger()
    record_inputs(ledger, ground.config, questions, code_version=code_version)
    return ledger
