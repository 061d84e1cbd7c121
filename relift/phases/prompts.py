"""What the engine is asked: the prompts of questions, alone or with a prefix of the completion that the rule gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relift.errors import ModelError, RuleError
from relift.interleave import GuidedPrompt, Partial
from relift.policy.model import autocast
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.records import Completion, PolicyVersion, Prefix, Purpose, Question
from relift.run.run import Run

BESIDE = (Purpose.GUIDED, Purpose.UNGUIDED)
"""Of what is sampled beside the batch, in files of its own: ``beside_name``."""


def beside_name(purpose: Purpose, name: str) -> str:
    """Of a file of the batch again for what was sampled beside it, e.g. ``"guided_rollouts.parquet"``."""
    return f"{purpose}_{name}"


def completions_of(
    run: Run, questions: Sequence[Question], request: SamplingRequest, version: PolicyVersion
) -> list[list[Completion]]:
    """What the engine samples for each question under a policy version, whose weights are made resident for it."""
    return sampled(run, [run.student.prompt(q) for q in questions], request, version)


def request_of(
    run: Run, iteration: int, purpose: Purpose, version: PolicyVersion, *, samples: int, first_sample: int = 0
) -> SamplingRequest:
    """As rollouts are sampled in training."""
    config = run.config.rollout
    return SamplingRequest(
        samples=samples,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=run.config.seed,
        iteration=iteration,
        purpose=purpose,
        version=version.number,
        first_sample=first_sample,
    )


def sampled(
    run: Run, prompts: Sequence[Prompt], request: SamplingRequest, version: PolicyVersion
) -> list[list[Completion]]:
    """The same for prompts."""
    # Before each sampling: an engine that shares its GPU gives the weights back after it.
    run.engine.serve(run.policy.at(version))
    run.decoded.forget()  # the last iteration's: what is sampled now takes their memory
    with autocast(run.config.policy, run.resolved.device):
        return run.engine.sample(prompts, request, check=run.stop.check, progress=run.progress.tokens)


def prefix_of(run: Run, answer: str, prompt: GuidedPrompt) -> Prefix:
    """What a rule's ``answer`` wants completions to begin with; RuleError where nobody could go on from it."""
    made = Prefix(question_id=prompt.question_id, demonstration_id=prompt.demonstration_id, given=prompt.given)
    if prompt.prefix is None:
        return made
    if prompt.in_question:
        return replace(made, prompt_ids=_ids_with_text(run, answer, prompt))
    limit = run.config.rollout.max_tokens
    rest = f", so that of rollout.max_tokens={limit} one at least is left to sample"
    ids = _beginning_ids(run, prompt.prefix, prompt.whole, f"{answer} gives the prefix", limit - 1, rest)
    return replace(made, token_ids=ids)


def with_text(question: Question, text: str) -> Question:
    """Asked with a text after it, in its turn."""
    return replace(question, text=f"{question.text}\n\n{text.rstrip()}")


def _ids_with_text(run: Run, answer: str, prompt: GuidedPrompt) -> tuple[int, ...]:
    """The prompt of a question in whose turn a text stands after it."""
    question, limit = run.questions.by_id[prompt.question_id], run.config.policy.max_prompt_tokens
    what = f"teach.rule.kind={run.config.teach.rule.kind!r}: {answer} puts {prompt.prefix!r:.80} into the question"
    if not isinstance(prompt.prefix, str) or not prompt.prefix.strip():
        raise RuleError(f"{what}: only a text can stand there")
    asked = with_text(question, prompt.prefix)
    if fault := run.student.write(asked.text.removeprefix(question.text)).fault:
        raise RuleError(f"{what}: {fault}")
    try:
        ids = run.student.prompt(asked).token_ids
    except ModelError as problem:  # what a policy wrote may be anything
        raise RuleError(f"{what}: {problem}") from problem
    if len(ids) > limit:
        raise RuleError(f"{what}, with which it is {len(ids)} tokens, more than policy.max_prompt_tokens={limit}")
    return ids


def partial_ids(run: Run, part: Partial) -> tuple[int, ...]:
    """Of the part of a solution that a supervised update trains on; RuleError where the student cannot write it."""
    limit = run.config.teacher.max_tokens
    why = ", as teacher.max_tokens says"
    return _beginning_ids(run, part.beginning, part.whole, "batches gives the beginning", limit, why)


def _beginning_ids(
    run: Run, prefix: str | tuple[int, ...], whole: str, gives: str, longest: int, why: str
) -> tuple[int, ...]:
    student = run.student
    ids = student.opened(prefix, whole=whole) if isinstance(prefix, str) else tuple(prefix)
    shown = repr(prefix if isinstance(prefix, str) else list(prefix))[:80]
    what = f"teach.rule.kind={run.config.teach.rule.kind!r}: {gives} {shown}"
    if isinstance(prefix, str) and (fault := student.write(prefix).fault):
        raise RuleError(f"{what}: {fault}")
    if not 0 < len(ids) <= longest:
        raise RuleError(f"{what}, which is {len(ids)} tokens: give 1 to {longest}{why}")
    for token in ids:
        if not isinstance(token, int) or not 0 <= token < student.vocabulary or token in student.holes:
            raise RuleError(f"{what}, in which {token!r} is no token of {student.model_name}")
        if token in student.stop_ids:
            raise RuleError(f"{what}, which holds an end of sequence: nothing comes after it")
    return ids


def continuations(
    run: Run, prefixes: Sequence[Prefix], request: SamplingRequest, version: PolicyVersion
) -> list[list[Completion]]:
    """Continuations of each prefix, which has with them at most the request's tokens; their text is the whole
    completion, as the verifier reads it."""
    prompts = [_opened(run, prefix, request.max_tokens) for prefix in prefixes]
    decode = run.student.decode
    return [
        [replace(one, text=decode(prefix.token_ids + one.token_ids)) for one in group]
        for prefix, group in zip(prefixes, sampled(run, prompts, request, version), strict=True)
    ]


def _opened(run: Run, prefix: Prefix, max_tokens: int) -> Prompt:
    asked = run.student.prompt(run.questions.by_id[prefix.question_id])
    begun = (prefix.prompt_ids or asked.token_ids) + prefix.token_ids
    return Prompt(asked.question, begun, max_tokens - len(prefix.token_ids))
