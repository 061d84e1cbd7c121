"""The questions that a run asks: read, checked against verifier and student, and recorded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from relift.config import GuidedRuleConfig, InterventionRuleConfig, RunConfig, SelfDistilRuleConfig, ZppoRuleConfig
from relift.errors import ConfigError, DataError, ModelError
from relift.interleave import is_control
from relift.interleave.beginnings import beginnings_of
from relift.interleave.rules.guided import IN_QUESTION
from relift.interleave.rules.self_distil import IN_VIEW
from relift.interleave.rules.zppo import COMPARED, MISTAKEN, WRONG
from relift.ledger import GoldStatus, Ledger
from relift.opening.groundwork import record_start
from relift.phases.prompts import with_text
from relift.policy.student import SAMPLES, Student
from relift.questions import QuestionSet, load_questions, render_solution, with_benchmarks
from relift.records import Question
from relift.store.manifest import digest
from relift.thinking import without_reasoning
from relift.verifier import Verifier
from relift.verifier.configured import make_verifier
from relift.verifier.extraction import AnswerForm

log = logging.getLogger(__name__)


def asked_questions(config: RunConfig, verifier: Verifier, student: Student) -> QuestionSet:
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
            questions,
            evaluation.benchmarks,
            answer_form=form,
            verifier=verifier,
            fault_of=fault_of,
            near_duplicates=evaluation.near_duplicates,
            refuses=evaluation.overlap == "refuse",
        )
        if form != config.questions.answer_form:
            _require_golds_in(form, questions.held_out, verifier)
    _say_whose_system_message(config, questions)
    return _fitting(questions, student)


def recorded_questions(config: RunConfig) -> QuestionSet:
    """The questions as ``open_run`` finds them, for a ledger that is made again; loads no weights."""
    from relift.policy.model import load_student

    student = load_student(config.policy)
    with closing(make_verifier(config, think_opened=student.thinks)) as verifier:
        return asked_questions(config, verifier, student)


def record_inputs(ledger: Ledger, config: RunConfig, questions: QuestionSet, *, code_version: str) -> None:
    """The run and its questions, each once."""
    record_start(ledger, config, code_version=code_version)
    name = ledger.run
    ledger.record_questions(f"{name}/questions/train", questions.training, split="train")
    ledger.record_questions(f"{name}/questions/held_out", questions.held_out, split="held_out")
    ledger.record_questions(f"{name}/questions/benchmarks", questions.benchmarks, split="benchmark")
    aside = {bad.question.id: bad.question for bad in questions.quarantined if bad.question}
    never_asked = [question for key, question in aside.items() if key not in questions.by_id]
    ledger.record_questions(
        f"{name}/questions/quarantined", never_asked, split="train", gold_status=GoldStatus.QUARANTINED
    )


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


def require_solutions(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Where the dataset teaches, some of its solutions can be taught, and enough are there for a warm start.

    Raises ConfigError where the rule intervention has nobody who could name a step.
    """
    is_alone = config.teacher.sources == ("dataset",) and isinstance(config.teach.rule, InterventionRuleConfig)
    if is_alone and not any(question.solution for question in questions.training):
        raise ConfigError(
            "teach.rule.kind=intervention needs solutions to compare wrong completions with, or an API that corrects "
            "them, and the questions have no solution. Set questions.solution_column, or name 'api' in teacher.sources "
            "with teacher.api.model"
        )
    if config.needs_teachers and "dataset" in config.teacher.sources:
        solved = (question for question in questions.training if question.solution)
        student.require_solutions([render_solution(q, config.questions) for q in islice(solved, SAMPLES)])
    if config.warm_start and config.teacher.sources == ("dataset",):
        wanted, share = config.warm_start.demonstrations, config.teach.control_share
        there = sum(bool(q.solution) and not is_control(q.id, share) for q in questions.training)
        if there < (1 if wanted == "all" else wanted):
            raise ConfigError(
                f"warm_start.demonstrations={wanted!r}, but {there} of {len(questions.training)} training questions "
                f"have a solution and are no controls: lower it, set it to 'all', or give more solutions "
                f"(questions.solution_column, another teacher in teacher.sources)"
            )


def require_guidance(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Raises ConfigError where the rule guided could give nobody the beginning of a solution.

    Solutions of the dataset alone are known before the run; a single one that does not fit is left out by the rule.
    """
    rule = config.teach.rule
    if not isinstance(rule, GuidedRuleConfig):
        return
    prompt, limit = config.policy.max_prompt_tokens, config.rollout.max_tokens
    solved = [question for question in questions.training if question.solution][:SAMPLES]
    count, is_any = 0, False
    for question in solved:
        solution = render_solution(question, config.questions)
        for beginning in beginnings_of(solution, config.questions.answer_form, rule):
            count += 1
            if rule.in_question:
                asked = with_text(question, IN_QUESTION + beginning)
                is_any |= len(student.prompt(asked).token_ids) <= prompt
            else:
                is_any |= 0 < len(student.opened(beginning, whole=solution)) < limit
    if "dataset" in config.teacher.sources and solved and not is_any:
        setting = f"policy.max_prompt_tokens={prompt}" if rule.in_question else f"rollout.max_tokens={limit}"
        why = f"none of {count} is within that" if count else "none has a step before the answer"
        raise ConfigError(
            f"teach.rule.kind='guided' with {setting} can give no beginning of the first {len(solved)} solutions: {why}"
            f". Raise it, or take another rule."
        )


def require_words(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Raises ConfigError where the rule writes words into prompts that the tokenizer cannot write, or where none of the
    dataset's solutions fits into a prompt that is to show it."""
    rule = config.teach.rule
    if isinstance(rule, GuidedRuleConfig) and rule.in_question and (fault := student.write(IN_QUESTION).fault):
        raise ConfigError(
            f"teach.rule.in_question puts words around the beginning of a solution: {fault}. Leave it out, so that the "
            f"completion begins with it."
        )
    if not isinstance(rule, ZppoRuleConfig | SelfDistilRuleConfig):
        return
    words = COMPARED + MISTAKEN + WRONG if isinstance(rule, ZppoRuleConfig) else IN_VIEW
    if fault := student.write(words.replace("{}", "")).fault:
        raise ConfigError(
            f"teach.rule.kind={rule.kind!r} puts words into the prompt: {fault}. Take a model whose tokenizer can "
            f"write them, or another rule."
        )
    if isinstance(rule, SelfDistilRuleConfig) and student.thinks and not rule.thinks:
        raise ConfigError(
            f"teach.rule.kind={rule.kind!r} with {student.model_name}, whose prompt opens the reasoning: models that "
            f"think lose up to 40 % elsewhere by it (arXiv 2603.24472). Take another rule, close the reasoning "
            f"(policy.chat_template_kwargs), or set teach.rule.thinks=true to do it all the same."
        )
    if config.teacher.sources == ("dataset",) and not (isinstance(rule, ZppoRuleConfig) and rule.compared == 0):
        _require_room(config, rule, student, questions)


def _require_room(
    config: RunConfig, rule: ZppoRuleConfig | SelfDistilRuleConfig, student: Student, questions: QuestionSet
) -> None:
    """Raises ConfigError where no prompt that shows a solution is short enough to be asked. Nothing is known yet of the
    wrong rollout that stands beside it: the solution stands for that too."""
    solved = [question for question in questions.training if question.solution][:SAMPLES]
    solutions = [without_reasoning(render_solution(question, config.questions)) for question in solved]
    shown = COMPARED if isinstance(rule, ZppoRuleConfig) else IN_VIEW
    asked = [with_text(q, shown.format(text, text)) for q, text in zip(solved, solutions, strict=True)]
    shortest = min(filter(None, (_prompt_tokens(student, question) for question in asked)), default=0)
    if shortest > config.policy.max_prompt_tokens:
        raise ConfigError(
            f"teach.rule.kind={rule.kind!r} shows solutions in the prompt, and with none of the first {len(solved)} it "
            f"is within policy.max_prompt_tokens={config.policy.max_prompt_tokens}; the shortest is {shortest} tokens. "
            f"Raise it."
        )


def _prompt_tokens(student: Student, question: Question) -> int | None:
    """None where the student cannot be asked so: a single solution may hold anything."""
    try:
        return len(student.prompt(question).token_ids)
    except ModelError:
        return None


def digest_of(questions: QuestionSet) -> str:
    """With the source, since results go by it: a dataset may lie elsewhere, but under its old file name."""
    return digest([_digested(question) for question in questions.by_id.values()])


def _digested(question: Question) -> list[Any]:
    """All of a question that decides what the policy reads and is measured by."""
    turns = [[turn.role, turn.text] for turn in question.turns]
    return [question.id, question.source, question.answer, question.solution, *([turns] if turns else [])]


def require_fit(config: RunConfig, student: Student, questions: QuestionSet) -> None:
    """Raises ConfigError or DataError when prompts and completions cannot fit the model's context."""
    evaluated = (config.evaluation.max_tokens or 0) if config.evaluation else 0
    needed = config.policy.max_prompt_tokens + max(config.rollout.max_tokens, config.teacher.max_tokens, evaluated)
    if needed > student.context:
        raise ConfigError(
            f"policy.max_prompt_tokens + the longest of rollout, teacher and evaluation max_tokens is {needed} "
            f"tokens, but {student.model_name} has a context of {student.context}. Lower them, or use a model with a "
            f"longer context."
        )
    if not questions.training:
        raise DataError(f"no question's prompt fits policy.max_prompt_tokens={config.policy.max_prompt_tokens}")
    if config.evaluation and not (questions.held_out or questions.benchmarks):
        raise DataError(
            "no question is held out, so there is nothing to evaluate on. Raise questions.held_out_share, or switch "
            "the evaluation off with --set evaluation=off."
        )
