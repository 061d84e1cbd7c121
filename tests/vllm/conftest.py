"""Engines on the real vLLM. Collected only where it is installed: `make test-vllm` makes such an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from relift.config import RunConfig
from relift.policy.policy import Policy
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.student import Student
from relift.policy.vllm_engine import VllmEngine
from relift.records import Completion, Purpose, Question, question_id
from tests.small_run import small_config

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]

Served = tuple[VllmEngine, Policy]
Opener = Callable[..., Served]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)


@pytest.fixture
def engine_of(tmp_path: Path) -> Iterator[Opener]:
    """Makes an engine and the policy whose weights it serves; closed at the end of the test."""
    torch.set_num_threads(1)
    with ExitStack() as stack:

        def opened(model: Any, student: Student, *settings: str) -> Served:
            config: RunConfig = small_config(tmp_path / "runs", "rollout.engine=vllm", *settings)
            probes = [Prompt(*pair) for pair in asked(student, "17+4?", "(15+23)*9?", "300-12?", "x=7+2*9;x?")]
            engine = VllmEngine(config, student, max_rows=128, probes=probes)
            stack.callback(engine.close)
            policy = Policy(model, student, {})
            policy.moved_to(0)
            engine.serve(policy)
            return engine, policy

        yield opened


def asked(student: Student, *texts: str) -> list[tuple[Question, tuple[int, ...]]]:
    questions = [Question(id=question_id(text), text=text, answer="1", source="test") for text in texts]
    return [(question, student.prompt(question).token_ids) for question in questions]


def prompts(student: Student, *texts: str) -> list[Prompt]:
    return [Prompt(*pair) for pair in asked(student, *texts)]


def request(**changes: Any) -> SamplingRequest:
    values = {"samples": 4, "max_tokens": 24, "temperature": 1.0, "seed": 0, "iteration": 5, "version": 0}
    return SamplingRequest(purpose=Purpose.TRAIN, **{**values, **changes})


def tokens(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[completion.token_ids for completion in group] for group in groups]
