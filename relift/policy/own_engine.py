"""An engine of one's own: a class that is made with ``EngineInputs``, and with its settings by name.

What it returns comes from outside, so it is checked before anything is made of it. That its log-probabilities are those
of the policy, the trainer compares itself, in the first update and in every one after it.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relift.config import PluginConfig, RunConfig
from relift.config.plugin import Plugin, load_plugin, require_parameters
from relift.errors import ConfigError
from relift.policy.sampling_request import Prompt, SamplingRequest, by_max_tokens
from relift.policy.student import Student
from relift.records import Completion, FinishReason

if TYPE_CHECKING:
    from relift.policy.policy import Policy
    from relift.policy.transformers_engine import TransformersEngine

METHODS = {"serve": ("policy",), "sample": ("prompts", "request"), "close": ()}
"""What an engine has, and what each is called with by position."""
BY_KEYWORD = ("check", "progress")
"""What ``sample`` is called with by name as well."""
ROUNDING = 1e-4
"""By which a log-probability may be above 0, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInputs:
    """What an engine of one's own is made with, before a run begins or goes on."""

    config: RunConfig
    model: Any
    """The trainer's own, on its device: its weights change with every update."""
    student: Student
    """The tokenizer's side: ``decode``, ``stop_ids``, ``pad_id``, ``vocabulary``."""
    max_rows: int
    """Sequences to sample together, as far as memory goes (rollout.max_rows)."""

    def transformers(self) -> TransformersEngine:
        """relift's own engine of the same model, for one that only stands before it."""
        from relift.policy.transformers_engine import TransformersEngine

        return TransformersEngine(
            self.model,
            pad_id=self.student.pad_id,
            stop_ids=self.student.stop_ids,
            vocabulary=self.student.vocabulary,
            decode=self.student.decode,
            max_rows=self.max_rows,
        )


def require_own_engine(config: RunConfig) -> dict[str, str]:
    """Digest by name of its source, none for one of relift's. Raises ConfigError for a class that is no engine."""
    engine = config.rollout.engine
    if not isinstance(engine, PluginConfig):
        return {}
    plugin = _loaded(engine.kind, json.dumps(engine.settings))
    return {f"rollout.engine {plugin.path}": plugin.sha256}


def make_own_engine(inputs: EngineInputs) -> CheckedEngine | None:
    """None where the recipe names one of relift's. Raises ConfigError where the class cannot be made."""
    engine = inputs.config.rollout.engine
    if not isinstance(engine, PluginConfig):
        return None
    plugin = _loaded(engine.kind, json.dumps(engine.settings))
    made = plugin.made(f"rollout.engine.kind={plugin.path!r}", inputs)
    return CheckedEngine(made, plugin.path, inputs.student)


@functools.cache
def _loaded(path: str, settings: str) -> Plugin:
    plugin = load_plugin(
        path, kind="engine", key="rollout.engine", parameters=("inputs",), settings=json.loads(settings)
    )
    what = f"rollout.engine.kind={path!r}"
    if not inspect.isclass(plugin.target):
        raise ConfigError(f"{what} is a {type(plugin.target).__name__}; an engine is a class that takes (inputs, ...)")
    for name, parameters in METHODS.items():
        method = getattr(plugin.target, name, None)
        if method is None:
            raise ConfigError(f"{what} has no method {name}; an engine has {', '.join(METHODS)}")
        named = f"{what}: its method {name}"
        rest = require_parameters(method, ("self", *parameters), what=named, kind=f"method {name} of an engine")
        wanted = BY_KEYWORD if name == "sample" else ()
        is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in rest)
        missing = [each for each in wanted if not is_open and each not in {p.name for p in rest}]
        unknown = [
            p.name for p in rest if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in wanted
        ]
        if missing or unknown:
            which = f"does not take {', '.join(missing)}" if missing else f"wants {', '.join(unknown)} as well"
            raise ConfigError(f"{named} {which}; it is called with ({', '.join((*parameters, *wanted))})")
    return plugin


class CheckedEngine:
    """An engine of one's own behind its door."""

    def __init__(self, engine: Any, path: str, student: Student) -> None:
        self._engine = engine
        self._what = f"rollout.engine.kind={path!r}"
        self._student = student
        self._no_tokens = frozenset(student.holes)

    def serve(self, policy: Policy) -> None:
        self._engine.serve(policy)

    def sample(
        self,
        prompts: Sequence[Prompt],
        request: SamplingRequest,
        *,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] = lambda tokens: None,
    ) -> list[list[Completion]]:
        """As ``Engine.sample``. Raises ConfigError, by question and sample, for what is no completion of a prompt."""
        found: dict[int, list[Completion]] = {}
        for indices, alike in by_max_tokens(prompts, request):
            of_these = self._sampled([prompts[i] for i in indices], alike, check=check, progress=progress)
            found |= dict(zip(indices, of_these, strict=True))
        return [found[i] for i in range(len(prompts))]

    def _sampled(
        self, prompts: Sequence[Prompt], request: SamplingRequest, **calls: Callable[..., None]
    ) -> list[list[Completion]]:
        groups = self._engine.sample(prompts, request, **calls)
        self._require_length(groups, len(prompts), "groups for as many prompts")
        for prompt, group in zip(prompts, groups, strict=True):
            self._require_length(group, request.samples, f"completions of the question {prompt.question.id}")
            for sample, completion in enumerate(group):
                if fault := self._fault(completion, request):
                    raise ConfigError(
                        f"{self._what} returned what is no completion of the question {prompt.question.id}, sample "
                        f"{sample}: {fault}. Nothing of it was used."
                    )
        return [list(group) for group in groups]

    def close(self) -> None:
        self._engine.close()

    def _require_length(self, found: Any, wanted: int, of: str) -> None:
        if not isinstance(found, list | tuple) or len(found) != wanted:
            got = f"{len(found)}" if isinstance(found, list | tuple) else f"{type(found).__name__} in place of a list"
            raise ConfigError(f"{self._what} returned {got}, where {wanted} were wanted: {of}. Nothing of it was used.")

    def _fault(self, one: Any, request: SamplingRequest) -> str | None:
        """Why it cannot be taken; None where it can."""
        if not isinstance(one, Completion):
            return f"it is {type(one).__name__}, not relift.Completion"
        return self._token_fault(one, request.max_tokens) or self._end_fault(one, request.version)

    def _token_fault(self, one: Completion, max_tokens: int) -> str | None:
        ids, logprobs, vocabulary = one.token_ids, one.logprobs, self._student.vocabulary
        if not isinstance(ids, tuple) or not 1 <= len(ids) <= max_tokens:
            return f"token_ids is to be a tuple of 1 to {max_tokens} ids, got {_short(ids)}"
        if bad := [i for i in ids if type(i) is not int or not 0 <= i < vocabulary or i in self._no_tokens]:
            return f"{bad[0]!r} is no token: ids are int, at least 0 and below {vocabulary}"
        if not isinstance(logprobs, tuple) or len(logprobs) != len(ids):
            return f"logprobs is to be a tuple of {len(ids)}, one for each token, got {_short(logprobs)}"
        if wrong := [p for p in logprobs if type(p) is not float or not math.isfinite(p) or p > ROUNDING]:
            return f"{wrong[0]!r} is no log-probability: a finite float, at most 0"
        return None

    def _end_fault(self, one: Completion, version: int) -> str | None:
        ids, stops = one.token_ids, self._student.stop_ids
        if any(i in stops for i in ids[:-1]):
            return "it goes on after a token that ends it"
        if one.finish_reason is not (FinishReason.STOP if ids[-1] in stops else FinishReason.LENGTH):
            return f"finish_reason is {one.finish_reason!r}, and its last token is {ids[-1]}"
        if one.text != (meant := self._student.decode(ids)):
            return f"its text is {_short(one.text)}, and its tokens say {_short(meant)} (student.decode)"
        if one.policy_version != version:
            return f"it is of the policy version {one.policy_version!r}, and {version} was asked"
        return None


def _short(value: Any) -> str:
    said = f"{len(value)} items" if isinstance(value, list | tuple) else repr(value)
    return said if len(said) <= 60 else said[:57] + "..."
