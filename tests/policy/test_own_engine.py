"""An engine of one's own: what it must be, what it may return, and that nothing begins where it is neither."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relift.config import PolicyConfig
from relift.errors import ConfigError, SelfCheckFailed
from relift.opening.run import open_run
from relift.phases.gate import gate
from relift.phases.rl_update import rl_update
from relift.phases.rollout import rollout
from relift.phases.verify import verify
from relift.policy.model import load_student
from relift.policy.own_engine import CheckedEngine, EngineInputs
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.student import Student
from relift.records import Completion, FinishReason, Purpose, Question
from tests.small_run import small_config

MODULE = types.ModuleType("engines_of_the_tests")
MODULE.__file__ = __file__
sys.modules[MODULE.__name__] = MODULE


def named(target: Any) -> str:
    setattr(MODULE, target.__name__, target)
    return f"{MODULE.__name__}:{target.__name__}"


class Whole:
    """relift's own, whose log-probabilities may be shifted."""

    def __init__(self, inputs: EngineInputs, *, shift: float = 0.0) -> None:
        self.engine, self.shift = inputs.transformers(), shift

    def serve(self, policy: object) -> None:
        pass

    def sample(self, prompts: Any, request: Any, *, check: Any, progress: Any) -> list[list[Completion]]:
        groups = self.engine.sample(prompts, request, check=check, progress=progress)
        return [[dataclasses.replace(c, logprobs=tuple(p - self.shift for p in c.logprobs)) for c in g] for g in groups]

    def close(self) -> None:
        pass


class Failing(Whole):
    def __init__(self, inputs: EngineInputs) -> None:
        raise FileNotFoundError("no recorded rollouts in here")


class NoSample:
    def __init__(self, inputs: EngineInputs) -> None:
        pass

    def serve(self, policy: object) -> None:
        pass

    def close(self) -> None:
        pass


class NoCheck(NoSample):
    def sample(self, prompts: Any, request: Any) -> None:
        pass


class WantsMore(NoSample):
    def sample(self, prompts: Any, request: Any, *, check: Any, progress: Any, tools: Any) -> None:
        pass


class Swapped(NoSample):
    def sample(self, request: Any, prompts: Any, *, check: Any, progress: Any) -> None:
        pass


class NoInputs(Whole):
    def __init__(self, model: object) -> None:
        pass


def function(inputs: EngineInputs) -> None:
    pass


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (function, (), r"is a function; an engine is a class that takes \(inputs, \.\.\.\)"),
        (NoInputs, (), r"takes \(model: 'object'\); an engine is something to call that takes \(inputs, "),
        (NoSample, (), "has no method sample; an engine has serve, sample, close"),
        (NoCheck, (), r"its method sample does not take check, progress; it is called with \(prompts, request, check"),
        (WantsMore, (), "its method sample wants tools as well"),
        (Swapped, (), r"its method sample takes \(self, request"),
        (Whole, ("rollout.engine.settings.shfit=1.0",), r"settings\.shfit: no such setting \(did you mean"),
        (Whole, ("rollout.engine.settings.shift=x",), r"settings\.shift: Input should be a valid number"),
        (Failing, (), "fails when it is made: FileNotFoundError: no recorded rollouts in here"),
    ],
)
def test_what_is_no_engine_is_refused_by_name_before_there_is_a_run(
    target: Any, settings: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    config = small_config(tmp_path / "runs", f"rollout.engine={named(target)}", *settings)
    with pytest.raises(ConfigError, match=message):
        open_run(config, "small")
    assert not (tmp_path / "runs" / "small").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module_at_all:Own", r"rollout\.engine\.kind='no_such_module_at_all:Own': the module .* was not"),
        ("relift.policy.policy:Polisy", r"policy\.py has no 'Polisy'\. Did you mean 'Policy'\?"),
    ],
)
def test_an_engine_that_cannot_be_found_is_refused_before_there_is_a_run(
    path: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_run(small_config(tmp_path / "runs", f"rollout.engine={path}"), "small")
    assert not (tmp_path / "runs" / "small").exists()


def test_an_engine_whose_log_probabilities_are_not_the_policys_is_refused_by_the_self_check(tmp_path: Path) -> None:
    settings = (f"rollout.engine={named(Whole)}", "rollout.engine.settings.shift=0.1")
    with open_run(small_config(tmp_path / "runs", *settings), "small") as run:
        rollouts = rollout(run, 0, run.base)
        verdicts = verify(run, 0, rollouts)
        with pytest.raises(SelfCheckFailed, match=r"log-probabilities differ from the trainer's by 0\.1000 nats"):
            rl_update(run, 0, rollouts, verdicts, gate(run, 0, rollouts, verdicts), run.base)


@pytest.fixture(scope="module")
def student() -> Student:
    return load_student(PolicyConfig(model="arithmetic", max_prompt_tokens=48))


@pytest.fixture(scope="module")
def sample(student: Student) -> Iterator[Callable[[Callable[[list[list[Completion]]], Any]], list[list[Completion]]]]:
    """Asks an engine for two completions of two prompts, of whose answer something was made."""
    prompts = [Prompt(Question(id=t, text=t, answer="3", source=""), (1,)) for t in ("1+2?", "2+1?")]
    request = SamplingRequest(
        samples=2, max_tokens=5, temperature=1.0, seed=0, iteration=0, purpose=Purpose.TRAIN, version=7
    )
    ids = (*student.wording.encode("3"), student.end_id)
    good = Completion(
        token_ids=ids,
        logprobs=tuple(-0.5 for _ in ids),
        text="3",
        finish_reason=FinishReason.STOP,
        policy_version=7,
    )

    class Made:
        def __init__(self, change: Callable[[list[list[Completion]]], Any]) -> None:
            self.change = change

        def sample(self, prompts: Any, request: Any, *, check: Any, progress: Any) -> Any:
            return self.change([[good, good] for _ in prompts])

    yield lambda change: CheckedEngine(Made(change), "mine:Own", student).sample(prompts, request)


def one(**fields: Any) -> Callable[[list[list[Completion]]], Any]:
    """The second completion of the second prompt with other fields."""

    def changed(groups: list[list[Completion]]) -> list[list[Completion]]:
        groups[1][1] = dataclasses.replace(groups[1][1], **fields)
        return groups

    return changed


def test_completions_that_are_all_they_should_be_pass_as_they_are(sample: Any) -> None:
    groups = sample(lambda groups: groups)
    assert [[c.text for c in group] for group in groups] == [["3", "3"], ["3", "3"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda groups: None, "returned NoneType in place of a list, where 2 were wanted: groups for as many prompts"),
        (lambda groups: groups[:1], "returned 1, where 2 were wanted: groups"),
        (
            lambda groups: [groups[0], groups[1][:1]],
            r"returned 1, where 2 were wanted: completions of the question 2\+1",
        ),
        (lambda groups: [groups[0], ["3", "3"]], r"question 2\+1\?, sample 0: it is str, not relift\.Completion"),
        (one(token_ids=[1, 2]), r"sample 1: token_ids is to be a tuple of 1 to 5 ids, got 2 items"),
        (one(token_ids=()), "token_ids is to be a tuple of 1 to 5 ids, got 0 items"),
        (one(token_ids=(4,) * 6), "token_ids is to be a tuple of 1 to 5 ids, got 6 items"),
        (one(token_ids=(4, 10_000)), "10000 is no token: ids are int, at least 0 and below"),
        (one(token_ids=(4, -1)), "-1 is no token"),
        (one(token_ids=(4, True)), "True is no token"),
        (one(logprobs=(-0.5,)), "logprobs is to be a tuple of 2, one for each token, got 1 items"),
        (one(logprobs=(-0.5, float("nan"))), "nan is no log-probability: a finite float"),
        (one(logprobs=(-0.5, float("-inf"))), "-inf is no log-probability"),
        (one(logprobs=(-0.5, 0.2)), r"0\.2 is no log-probability: a finite float, at most 0"),
        (one(logprobs=(-0.5, 0)), "0 is no log-probability"),
        (one(finish_reason=FinishReason.LENGTH), "LENGTH.*and its last token is"),
        (one(finish_reason="stop"), "finish_reason is 'stop', and its last token is"),
        (one(text="4"), r"its text is '4', and its tokens say '3' \(student\.decode\)"),
        (one(policy_version=6), "it is of the policy version 6, and 7 was asked"),
    ],
)
def test_what_is_no_completion_is_refused_by_question_and_sample(sample: Any, change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        sample(change)
    assert "rollout.engine.kind='mine:Own'" in str(refused.value)


def test_a_completion_that_goes_on_after_its_end_is_refused(sample: Any, student: Student) -> None:
    with pytest.raises(ConfigError, match="it goes on after a token that ends it"):
        sample(one(token_ids=(student.end_id, student.end_id)))
