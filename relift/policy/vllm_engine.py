"""Sampling with vLLM, in the trainer's process. The only module that imports vllm.

    serve(policy): make room - wake weights - hand over in memory - wake cache - empty prefix cache - check - served
    sample(...):   one request for each rollout, one engine step after another - sleep, where that frees a GPU

A GPU is shared: while vLLM is awake the optimizers' moments wait in CPU memory, only the trainer's weights stay.

vLLM 0.30 to 0.32. It is told of nothing on disk but the model's configuration: weights only ever come from the trainer.
"""

from __future__ import annotations

import gc
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from relift import randomness
from relift.config import RunConfig
from relift.errors import ConfigError, SelfCheckFailed
from relift.learning import move_moments
from relift.policy import weight_check as hand_over
from relift.policy.policy import Policy
from relift.policy.process_state import own_randomness, undisturbed
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.student import Student
from relift.records import Completion, FinishReason, Purpose

log = logging.getLogger(__name__)

# vLLM reads its variables when they are needed, so they are set for good: in this process, never in the user's shell.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over without a copy through a pipe
    "VLLM_CONFIGURE_LOGGING": "0",  # the handlers are the user's
    "VLLM_NO_USAGE_STATS": "1",  # nothing is sent anywhere
    "VLLM_HOST_IP": "127.0.0.1",  # else it looks for a way to the internet to learn its own address
}
# On a CPU, where 128 is the default: prompts of a few dozen tokens share whole blocks only, and 32 costs nothing.
CPU_BLOCK = 32
CPU_CACHE_BYTES = 1 << 30
PROBES = 4
PROBE_TOKENS = 40  # more than a block, so that the next hand-over finds a cached sequence to try
FINISHED = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


@dataclass(frozen=True, slots=True)
class _Sampled:
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    cached_tokens: int
    """Of the prompt, that were not computed again."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One rollout to sample, e.g. prompt (4, 17, 2), seed 7."""

    token_ids: tuple[int, ...]
    seed: int
    max_tokens: int


class VllmEngine:
    """Samples completions with vLLM; see ``relift.policy.engine.Engine``.

    ``probes`` are prompts to check a hand-over with. A rollout's draws depend only on (seed, iteration, purpose,
    question, sample): each has a request and a seed of its own. vLLM is built at the first ``serve``, so a run that
    only replays never builds it.
    """

    def __init__(self, config: RunConfig, student: Student, *, max_rows: int, probes: Sequence[Prompt]) -> None:
        evaluation = config.evaluation.max_tokens if config.evaluation else None
        longest = max(config.rollout.max_tokens, evaluation or 0)
        self.config = config
        self.student = student
        self.max_rows = max_rows
        self.probes = tuple(probes[:PROBES])
        self.max_length = min(config.policy.max_prompt_tokens + longest, student.context)
        self.last_gap: float | None = None
        """Mean |trainer - engine| log-probability after the newest hand-over, in nats."""
        self._llm: Any = None
        self._on_gpu = False
        self._asleep = False
        self._version: int | None = None
        self._optimizers: list[Any] = []
        """Of the policy that is served; their moments are elsewhere while vLLM is awake on a GPU."""
        self._cached: tuple[int, ...] = ()
        """A sequence whose keys and values the prefix cache holds, unless it was emptied."""

    def serve(self, policy: Policy) -> None:
        """Hold the policy's resident weights; does nothing where it does.

        Raises SelfCheckFailed when what the engine then samples is not what the trainer would.
        """
        assert policy.version is not None, "weights that an update left half done are never served"
        if self._version == policy.version:
            return
        self._version = None
        self._on_gpu = policy.model.device.type == "cuda"
        self._make_room(policy)
        if self._llm is None:
            self._llm = self._build(policy.model)
        with self._stepping():
            self._wake("weights")
            sent, found = self._send(policy.model)
            hand_over.require_same_weights(sent, found, policy.version)
            self._wake("kv_cache")
            self._forget_prefixes(policy.version)
            self._check(policy, policy.version)
        self._version = policy.version

    def sample(
        self,
        prompts: Sequence[Prompt],
        request: SamplingRequest,
        *,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] = lambda tokens: None,
    ) -> list[list[Completion]]:
        """``request.samples`` completions for each prompt, in the order of the prompts.

        ``check`` is called between engine steps and may raise; ``progress`` hears the tokens of what finished. A GPU's
        memory goes back to the trainer afterwards.
        """
        if self._version != request.version:
            raise SelfCheckFailed(
                f"the engine holds policy version {self._version} and was asked to sample version {request.version}: "
                f"the rollouts would be another policy's"
            )
        self._require_room(prompts, request)
        rows = [
            _Row(p.token_ids, _seed(request, p, s), p.longest(request)) for p in prompts for s in range(request.samples)
        ]
        with self._stepping():
            try:
                sampled = self._run(rows, request.temperature, check=check, progress=progress)
            finally:
                self._sleep()
        completions = [self._completion(one, request.version) for one in sampled]
        return [completions[i : i + request.samples] for i in range(0, len(completions), request.samples)]

    def close(self) -> None:
        """Give back the memory and the process group that vLLM made."""
        if self._llm is None:
            return
        with undisturbed(keep="VLLM_"):
            self._llm.llm_engine.engine_core.shutdown()
            self._llm, self._version = None, None
            _leave_process_group()
            if self._on_gpu:
                gc.collect()
                torch.cuda.empty_cache()

    def _build(self, model: Any) -> Any:
        """Raises ConfigError where vLLM cannot share this process or this device."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ConfigError(
                "rollout.engine='vllm' samples in the trainer's process and makes that process's one process group, "
                "but there is one already. Start relift in a process of its own, not under torchrun."
            )
        with undisturbed(keep="VLLM_"), _no_autocast(), tempfile.TemporaryDirectory() as folder:
            _import(model.device.type)
            from vllm import LLM

            _write_config(model, self.student.vocabulary, folder)
            settings = self.config.rollout.vllm
            device = (
                {
                    "gpu_memory_utilization": settings.gpu_memory_utilization,
                    "enforce_eager": settings.enforce_eager,
                    "enable_sleep_mode": True,
                }
                if self._on_gpu
                else {"kv_cache_memory_bytes": CPU_CACHE_BYTES, "enforce_eager": True, "block_size": CPU_BLOCK}
            )
            try:
                return LLM(
                    model=folder,
                    load_format="dummy",
                    skip_tokenizer_init=True,
                    trust_remote_code=False,  # it runs no code that comes with a model
                    generation_config="vllm",  # the model's own sampling defaults have no say
                    dtype=self.config.policy.dtype,
                    max_model_len=self.max_length,
                    max_num_seqs=self.max_rows,
                    max_num_batched_tokens=max(8192, self.max_rows, self.max_length),
                    logprobs_mode="processed_logprobs",  # at the sampling temperature, as the importance ratio needs
                    enable_prefix_caching=True,
                    disable_log_stats=True,
                    seed=0,  # of requests without a seed, and there are none
                    **device,
                )
            except (ValueError, RuntimeError) as problem:
                _leave_process_group()
                raise ConfigError(
                    f"vLLM could not be built for {self.student.model_name}: {problem}. Where memory is short, lower "
                    f"rollout.vllm.gpu_memory_utilization or rollout.max_rows; else set rollout.engine='transformers'."
                ) from problem

    def _send(self, model: Any) -> tuple[int, int]:
        """(sent, found): the sums of bits of the trainer's weights and of what the engine then holds."""
        dtype = getattr(torch, self.config.policy.dtype)
        weights = dict(hand_over.engine_weights(model, self.student.vocabulary))

        def load(engine_model: Any) -> int:
            try:
                engine_model.load_weights(iter(weights.items()))
            except (AttributeError, KeyError, ValueError) as problem:
                raise SelfCheckFailed(
                    f"vLLM does not take the weights of {self.student.model_name} as the trainer holds them: "
                    f"{problem}. Set rollout.engine to 'transformers'."
                ) from problem
            return hand_over.sum_of_bits(engine_model.parameters(), dtype)

        (found,) = self._llm.apply_model(load)
        return hand_over.sum_of_bits(weights.values(), dtype), found

    def _forget_prefixes(self, version: int) -> None:
        if not self._llm.reset_prefix_cache():
            raise SelfCheckFailed(
                f"vLLM did not empty its prefix cache for policy version {version}: prompts would be continued from "
                f"the keys and values of older weights. Start the run again; it resumes where it was."
            )

    def _check(self, policy: Policy, version: int) -> None:
        """Sample a few sequences, the first of them one that was cached under the weights before, and compare."""
        space = self.max_length - max(len(p.token_ids) for p in self.probes)
        prompts = [self._cached] if self._cached else []
        prompts += [p.token_ids for p in self.probes]
        temperature = self.config.rollout.temperature
        count = max(1, min(PROBE_TOKENS, space // 2))
        rows = [_Row(ids, randomness.key(version, Purpose.PROBE, i) >> 65, count) for i, ids in enumerate(prompts)]
        sampled = self._run(rows, temperature, stop=False)
        if self._cached and sampled[0].cached_tokens:
            raise SelfCheckFailed(
                f"after the hand-over of policy version {version} vLLM took {sampled[0].cached_tokens} tokens from its "
                f"prefix cache, which older weights wrote. Start the run again; it resumes where it was."
            )
        pairs = [
            (ids, hand_over.probe_completion(one.token_ids, one.logprobs, version))
            for ids, one in zip(prompts, sampled, strict=True)
        ]
        self.last_gap = hand_over.logprob_gap(
            policy.model,
            pairs,
            self.config.policy,
            temperature=temperature,
            vocabulary=self.student.vocabulary,
        )
        hand_over.require_small_gap(self.last_gap, self.config.checks, self.config.policy.dtype, version)
        log.debug("policy version %d handed over, gap %.2g nats", version, self.last_gap)
        self._cached = prompts[-1] + sampled[-1].token_ids

    def _run(
        self,
        rows: Sequence[_Row],
        temperature: float,
        *,
        stop: bool = True,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] = lambda tokens: None,
    ) -> list[_Sampled]:
        """All rows to their end, in their order; none is left in the engine whatever happens."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        engine = self._llm.llm_engine
        holes = set(self.student.holes)  # the bias that rules them out in the trainer is not handed over
        allowed = [i for i in range(self.student.vocabulary) if i not in holes] if holes else None
        waiting = {str(index) for index in range(len(rows))}
        done: dict[str, _Sampled] = {}
        try:
            for index, row in enumerate(rows):
                params = SamplingParams(
                    seed=row.seed,
                    temperature=temperature,
                    top_p=1.0,
                    top_k=0,
                    min_p=0.0,
                    max_tokens=row.max_tokens,
                    logprobs=0,  # of the sampled token alone
                    flat_logprobs=True,
                    ignore_eos=True,  # the student knows what ends a completion
                    stop_token_ids=list(self.student.stop_ids) if stop else None,
                    allowed_token_ids=allowed,
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                engine.add_request(str(index), TokensPrompt(prompt_token_ids=list(row.token_ids)), params)
            while waiting:
                check()
                ended = [output for output in engine.step() if output.finished]
                done |= {output.request_id: _sampled(output) for output in ended}
                waiting -= {output.request_id for output in ended}
                if ended:
                    progress(sum(len(done[output.request_id].token_ids) for output in ended))
        finally:
            if waiting:
                engine.abort_request(sorted(waiting))
        return [done[str(index)] for index in range(len(rows))]

    def _completion(self, sampled: _Sampled, version: int) -> Completion:
        return Completion(
            token_ids=sampled.token_ids,
            logprobs=sampled.logprobs,
            text=self.student.decode(sampled.token_ids),
            finish_reason=sampled.finish_reason,
            policy_version=version,
        )

    def _require_room(self, prompts: Sequence[Prompt], request: SamplingRequest) -> None:
        lengths = [(len(p.token_ids), p.longest(request)) for p in prompts]
        longest, more = max(lengths, key=sum, default=(0, 0))
        if longest + more > self.max_length:
            raise ConfigError(
                f"a prompt of {longest} tokens and {more} more do not fit the {self.max_length} tokens "
                f"that vLLM was built for. Raise policy.max_prompt_tokens, or lower the completion's max_tokens."
            )

    @contextmanager
    def _stepping(self) -> Iterator[None]:
        """Around engine steps: without the trainer's autocast, and without touching the global generators.

        On a CPU nothing is compiled: vLLM would spend up to a minute on it in its first step, deaf to an interrupt.
        """
        with own_randomness(), _no_autocast():
            if self._on_gpu:
                yield
            else:
                with torch.compiler.set_stance("force_eager"):
                    yield

    def _make_room(self, policy: Policy) -> None:
        if self._on_gpu:
            self._optimizers = list({id(optimizer): optimizer for optimizer in policy.optimizers.values()}.values())
            for optimizer in self._optimizers:
                move_moments(optimizer, "cpu")
            torch.cuda.empty_cache()  # vLLM takes its memory from the GPU, not from what torch has set aside

    def _wake(self, what: str) -> None:
        if self._asleep:
            self._llm.wake_up(tags=[what])
            self._asleep = what != "kv_cache"

    def _sleep(self) -> None:
        """Level 2: weights and cache are dropped; the next ``serve`` hands the weights over again, from memory."""
        if self._on_gpu:
            self._version = None
            self._asleep = True
            self._llm.sleep(level=2)
            for optimizer in self._optimizers:
                move_moments(optimizer, None)


def require_platform(device: str) -> None:
    """Raises ConfigError when the vLLM that is installed is not for the device that the model is on."""
    with undisturbed(keep="VLLM_"):
        _import(device)


def _import(device: str) -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logger = logging.getLogger("vllm")
    if logger.level == logging.NOTSET:  # its warnings are about its own start; errors come as exceptions
        logger.setLevel(logging.ERROR)
    from vllm.platforms import current_platform

    kind = device.split(":", maxsplit=1)[0]
    if current_platform.device_type != kind:
        raise ConfigError(
            f"rollout.engine='vllm': this vLLM is built for {current_platform.device_type or 'no device found here'}, "
            f"the model is on {kind}. Set policy.device to match, or rollout.engine to 'transformers', which runs on "
            f"any machine."
        )
    if kind == "cpu":
        _keep_weights_unpacked()


def _keep_weights_unpacked() -> None:
    """On a CPU vLLM packs a layer's weights away after loading: a hand-over would raise, or leave the old ones."""
    import vllm._custom_ops as operators
    import vllm.model_executor.layers.utils as layers

    operators._supports_onednn = False
    layers.check_cpu_sgl_kernel = lambda *args: False


def _leave_process_group() -> None:
    from vllm.distributed.parallel_state import destroy_distributed_environment, destroy_model_parallel

    destroy_model_parallel()
    destroy_distributed_environment()


def _write_config(model: Any, vocabulary: int, folder: str) -> None:
    """The model's configuration with the real tokens alone, all that vLLM reads from disk."""
    tree = {**model.config.to_dict(), "vocab_size": vocabulary, "architectures": [type(model).__name__]}
    type(model.config).from_dict(tree).save_pretrained(folder)


def _seed(request: SamplingRequest, prompt: Prompt, sample: int) -> int:
    """63 bits of the rollout's own key (contract 4)."""
    number = request.first_sample + sample
    return randomness.key(request.seed, request.iteration, request.purpose, prompt.question.id, number) >> 65


def _sampled(output: Any) -> _Sampled:
    (one,) = output.outputs
    if one.finish_reason not in FINISHED:
        raise SelfCheckFailed(f"vLLM ended a request with {one.finish_reason!r}, neither stopped nor out of tokens")
    logprobs = tuple(one.logprobs.logprobs)
    assert len(logprobs) == len(one.token_ids), "one log-probability for each sampled token was asked for"
    return _Sampled(tuple(one.token_ids), logprobs, FINISHED[one.finish_reason], output.num_cached_tokens or 0)


@contextmanager
def _no_autocast() -> Iterator[None]:
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield
