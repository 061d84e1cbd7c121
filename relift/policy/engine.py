"""What an engine is, and which one a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from relift.config import RunConfig
from relift.config.resolved import Resolved
from relift.policy.own_engine import EngineInputs
from relift.policy.policy import Policy
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.student import Student
from relift.records import Completion, Question


class Engine(Protocol):
    """Samples completions of the policy that it serves; own_engine.py is the door for one of one's own."""

    def serve(self, policy: Policy) -> None:
        """Hold the policy's resident weights from here on; called before every ``sample``.

        Raises SelfCheckFailed when an engine with weights of its own does not compute what the trainer does.
        """

    def sample(
        self,
        prompts: Sequence[Prompt],
        request: SamplingRequest,
        *,
        check: Callable[[], None] = ...,
        progress: Callable[[int], None] = ...,
    ) -> list[list[Completion]]:
        """``request.samples`` completions for each prompt, in the order of the prompts."""

    def close(self) -> None:
        """Give back what it holds."""


def require_engine_on(config: RunConfig, device: str) -> None:
    """Raises ConfigError when the engine cannot run beside a model on that device."""
    if config.rollout.engine == "vllm":
        from relift.policy.vllm_engine import require_platform

        require_platform(device)


def make_engine(
    config: RunConfig, *, model: object, student: Student, resolved: Resolved, questions: Sequence[Question]
) -> Engine:
    """The one of relift's that a recipe's ``rollout.engine`` names; with some of the questions it can check itself."""
    if config.rollout.engine == "transformers":
        inputs = EngineInputs(config=config, model=model, student=student, max_rows=resolved.max_rows)
        return inputs.transformers()
    from relift.policy.vllm_engine import VllmEngine

    return VllmEngine(config, student, max_rows=resolved.max_rows, probes=[student.prompt(q) for q in questions[:4]])
