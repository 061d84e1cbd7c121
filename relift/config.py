"""The configuration tree of a run, with the published method (preset ``paper-v2``) as its defaults.

Departures of the defaults from the paper, all of them:
1. ``gate.counts`` holds ``wrong`` alone, so a group that merely ran out of tokens is not called hardest.
2. ``buffer`` holds a question once and forgets entries older than ``max_age`` iterations where that is set.

A section that may be absent is switched off by ``None`` (``sft = "off"`` in a recipe), never by a second flag. Fields
marked with ``may_change`` may differ when a run is resumed; any other difference is refused and shown.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue, field_validator, model_validator
from pydantic_core import CoreSchema

from relift.records import Status

MAY_CHANGE: dict[str, JsonValue] = {"may_change": True}
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """The form in the Prefect UI shows descriptions alone, so these say the range and what may change."""
        tree = handler(core_schema)
        for field in handler.resolve_ref_schema(tree).get("properties", {}).values():
            said = [field.get("description", ""), _range_of(field)]
            if field.get("may_change"):
                said.append("May change when a run is resumed.")
            if text := " ".join(filter(None, said)):
                field["description"] = text
        return tree


class QuestionsConfig(Section):
    """Where the questions come from and in which batches they are asked."""

    format: Literal["arithmetic", "rows", "gsm8k", "reference"] = "rows"
    """arithmetic: made here; rows: JSONL or Parquet with named columns; gsm8k: question and an answer ending in
    `#### x`; reference: the ReLIFT reference's Parquet (chat prompt, target, reward_model.ground_truth)."""
    path: str | None = None
    """File or folder of the dataset; not used by arithmetic."""
    text_column: str = "question"
    """rows: the column with the question."""
    answer_column: str = "answer"
    """rows: the column with the gold answer."""
    solution_column: str | None = None
    """rows: the column with a worked solution, if there is one."""
    answer_form: Literal["boxed", "hashes", "equals"] = "boxed"
    """Where the final answer stands in a completion: the last \\boxed{}, after the last ####, after the last =."""
    solution_marker_to_box: bool = True
    """Rewrite a dataset solution's final `#### x` as \\boxed{x} where the answer form is boxed."""
    remove_calculator_notes: bool = True
    """Remove GSM8K's <<48/2=24>> notes from the dataset's solutions."""
    families: dict[str, Annotated[float, Field(gt=0)]] = {}
    """arithmetic: weight of each family among the training questions."""
    count: int | None = Field(None, ge=1)
    """Training questions: how many are made (arithmetic) or at most used (datasets); all of them when empty."""
    batch_size: int = Field(128, ge=1)
    """Questions per iteration."""
    held_out_share: Share = 0.02
    """Share of a dataset's questions kept for evaluation, chosen by a hash of the id; arithmetic has its own split."""
    max_bad_share: Share = 0.01
    """Share of rows without a usable gold answer above which the run refuses to start; below, they are set aside."""

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> QuestionsConfig:
        columns = {"text_column", "answer_column", "solution_column"}
        ignored = {
            "arithmetic": {"path", "held_out_share", "max_bad_share", *columns},
            "gsm8k": columns,
            "reference": columns,
            "rows": set(),
        }[self.format] & self.model_fields_set
        given = sorted(name for name in ignored if getattr(self, name) != type(self).model_fields[name].default)
        if given:
            raise ValueError(f"{', '.join(given)} would be ignored by format '{self.format}': remove it")
        return self

    @model_validator(mode="after")
    def _source_is_complete(self) -> QuestionsConfig:
        if self.format == "arithmetic":
            if not self.families or not self.count:
                raise ValueError("format 'arithmetic' needs questions.families (name to weight) and questions.count")
        elif self.families:
            raise ValueError(f"questions.families would be ignored by format '{self.format}': remove it")
        return self


class PolicyConfig(Section):
    """The model that is trained."""

    model: str = "Qwen/Qwen2.5-Math-7B"
    """A folder or Hugging Face name; `arithmetic` is the embedded base, `random-bytes` a small random model."""
    system_prompt: str | None = None
    """Put before the question as a system message."""
    chat_template: str | None = None
    """Jinja text that replaces the tokenizer's own chat template."""
    prompt_suffix: str = ""
    """Text that opens the completion inside the prompt, such as `<think>` and a newline."""
    context: int | None = Field(None, ge=1)
    """Tokens of prompt and completion together, where it is more than the model was made for; see rope_theta."""
    rope_theta: float | None = Field(None, gt=0)
    """Base of the rotary embedding, raised together with the context (the paper: 40000 for 16384 tokens)."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """A longer question is set aside before the run starts, never cut."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the forward pass; the master weights are float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(1, ge=1)
    """torch threads of the compute thread. More than one on busy cores is many times slower."""
    deterministic: bool = False
    """On a GPU: deterministic kernels, slower, so that a resumed run is bit-equal. A CPU always is."""


class VllmConfig(Section):
    """What only the engine vllm takes."""

    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, json_schema_extra=MAY_CHANGE)
    """Share of the GPU's memory for vLLM's weights and key-value cache. It is the trainer's again during updates."""
    enforce_eager: bool = Field(False, json_schema_extra=MAY_CHANGE)
    """Without CUDA graphs and compilation: starts faster, samples slower. A CPU always is."""


class RolloutConfig(Section):
    """How rollouts are sampled in training."""

    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples: transformers runs on any machine; vllm (the extra relift[vllm]) is for a GPU."""
    samples: int = Field(8, ge=2)
    """Rollouts per question; a group of one has no advantage."""
    temperature: float = Field(1.0, gt=0)
    """Log-probabilities are taken at this temperature, in the engine and in the trainer."""
    max_tokens: int = Field(8192, ge=1)
    """Completion tokens at most, end-of-sequence included."""
    max_rows: int | None = Field(None, ge=1)
    """Sequences decoded together; when empty a token budget for the kind of device decides, kept with the run."""
    vllm: VllmConfig = VllmConfig()
    """Settings of the engine vllm."""


class ClipConfig(Section):
    """The clipped surrogate of PPO with the two bounds of DAPO and the dual clip."""

    low: float = Field(0.2, ge=0, lt=1)
    """The ratio is clipped below at 1 - low."""
    high: float = Field(0.28, ge=0)
    """The ratio is clipped above at 1 + high."""
    dual: float | None = Field(3.0, gt=1)
    """Where the advantage is negative the surrogate is at least dual * advantage; empty: no dual clip."""


class ScheduleConfig(Section):
    """Factor on a learning rate over the iterations of a run: linear warm-up, hold, linear decay."""

    warmup_iterations: int = Field(0, ge=0)
    """The factor climbs to 1 over this many iterations."""
    hold_share: Share = 1.0
    """Share of all iterations after which the decay starts."""
    final_share: Share = 1.0
    """The factor that the decay ends at; 1 is constant."""


class AdamConfig(Section):
    """AdamW."""

    lr: float = Field(1e-6, gt=0)
    """Learning rate before the schedule."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the second moment."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay."""
    grad_clip: float = Field(0.5, gt=0)
    """The gradient's norm is clipped to this, once per optimizer step."""
    skip_above: float | None = Field(None, gt=0)
    """An optimizer step whose gradient norm is above this is skipped and counted; one that is not finite always."""


class RlConfig(Section):
    """The GRPO update."""

    questions_per_update: int = Field(64, ge=1)
    """Groups per optimizer step; a batch of 128 makes two steps."""
    scale: Literal["none", "std"] = "none"
    """Advantages: distance to the group's mean, or that divided by the group's standard deviation."""
    aggregation: Literal["token-mean", "seq-mean", "constant"] = "token-mean"
    """How token losses become one number; constant divides by sequences * rollout.max_tokens."""
    clip: ClipConfig | None = ClipConfig()
    """off: no clipping (paper-v1)."""
    entropy_weight: float = Field(0.0, ge=0)
    """Weight of the entropy bonus; 0 allows groups without signal to be skipped."""
    truncated: Literal["zero", "mask"] = "zero"
    """A completion that ran out of tokens: reward 0 as in the paper, or left out of statistics and loss."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the RL update."""

    @field_validator("clip", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return _none_if_off(value)


class SftConfig(Section):
    """The supervised update on demonstrations of the hardest questions. `sft = "off"` is plain GRPO."""

    batch_size: int = Field(64, ge=1)
    """M: the update waits until the buffer holds this many demonstrations."""
    epochs: int = Field(1, ge=1)
    """Passes over the M demonstrations (1 in the paper)."""
    minibatch: int | None = Field(None, ge=1)
    """Demonstrations per optimizer step; all M when empty, as in the paper."""
    entropy_weight: float = Field(1e-4, ge=0)
    """Alpha of the paper; 0 is plain likelihood."""
    max_updates_per_iteration: int = Field(1, ge=1)
    """The paper's cap: a supervised update after every RL step collapsed."""
    own_correct: int = Field(0, ge=0)
    """The policy's own correct rollouts mixed into each minibatch. A departure from the paper, off by default."""
    own_correct_pool: int = Field(512, ge=1)
    """Solved questions, newest first, that own_correct draws from."""
    control_share: Share = 0.0
    """Share of questions, chosen by a hash of the id, that are never taught, to measure what teaching does."""
    optimizer: AdamConfig = AdamConfig()
    """AdamW of the supervised update."""

    @model_validator(mode="after")
    def _batch_can_fill(self) -> SftConfig:
        if self.control_share == 1:
            raise ValueError("sft.control_share=1 leaves no question to teach; use sft='off' for plain GRPO")
        if self.minibatch is not None and self.minibatch > self.batch_size:
            raise ValueError(f"sft.minibatch={self.minibatch} is larger than sft.batch_size={self.batch_size}")
        return self


class GateConfig(Section):
    """Which groups are called hardest: none correct, and enough rollouts of a counted status."""

    counts: tuple[Status, ...] = (Status.WRONG,)
    """Statuses that make a question hardest. The paper counts wrong, no_answer, malformed and truncated."""
    min_share: Share = 0.5
    """Share of the group that must have a counted status."""

    @field_validator("counts")
    @classmethod
    def _only_answers_count(cls, value: tuple[Status, ...]) -> tuple[Status, ...]:
        never = {Status.CORRECT, Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD} & set(value)
        if never or not value:
            found = ", ".join(sorted(never)) or "nothing"
            raise ValueError(f"gate.counts holds {found}: count some of wrong, no_answer, malformed, truncated")
        return value


class BufferConfig(Section):
    """Demonstrations that wait for a supervised update, oldest first, one per question."""

    capacity: int | None = Field(None, ge=1)
    """The oldest entry is evicted, and counted, when more would wait."""
    max_age: int | None = Field(None, ge=1)
    """Iterations after which an entry expires; empty: never."""


class ApiTeacherConfig(Section):
    """A teacher behind an OpenAI-compatible API. Its key comes from the environment, never from here."""

    model: str = Field(min_length=1)
    """Name of the model, as the server knows it."""
    base_url: str | None = Field(None, json_schema_extra=MAY_CHANGE)
    """Such as http://localhost:8000/v1; what url_variable names when empty, and without that api.openai.com."""
    url_variable: str = Field("OPENAI_BASE_URL", json_schema_extra=MAY_CHANGE)
    """Environment variable that holds the base URL."""
    key_variable: str | None = Field("OPENAI_API_KEY", json_schema_extra=MAY_CHANGE)
    """Environment variable that holds the key; off for a server that wants none."""
    required: bool = Field(True, json_schema_extra=MAY_CHANGE)
    """Whether a teacher that is down at the start stops the run; if not, the run begins and says so. A wrong key or
    model always stops it."""
    instruction: str | None = None
    """System message. Empty: one that asks for the answer in questions.answer_form; "" sends none."""
    prompt: str = "{question}"
    """User message; {question} is where the question stands."""
    candidates: int = Field(2, ge=1, le=64)
    """Solutions asked for each question; the shortest admitted one becomes the demonstration."""
    rounds: int = Field(2, ge=1, le=64)
    """Times that so many candidates are asked for a question while none was admitted."""
    temperature: float | None = Field(0.7, ge=0, le=2)
    """Of the teacher's sampling; off for models that do not take one."""
    max_tokens: int | None = Field(None, ge=1)
    """Tokens the teacher may write, hidden reasoning included; teacher.max_tokens when empty."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls that limit; newer models of OpenAI want max_completion_tokens."""
    concurrency: int = Field(8, ge=1, json_schema_extra=MAY_CHANGE)
    """Requests under way at the same time, at most."""
    timeout_seconds: float = Field(120.0, gt=0, json_schema_extra=MAY_CHANGE)
    """Until a request without an answer is given up and sent again."""
    attempts: int = Field(5, ge=1, json_schema_extra=MAY_CHANGE)
    """Times a request is sent before its question waits for a later iteration."""
    backoff_seconds: float = Field(0.5, gt=0, json_schema_extra=MAY_CHANGE)
    """First wait before a request is sent again, then doubled, with jitter; a server's Retry-After rules over it."""
    requests_per_minute: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Requests sent in any minute, retries included; no limit when empty."""
    tokens_per_minute: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Tokens of prompts and answers in any minute, give or take one request; no limit when empty."""
    budget_usd: float | None = Field(None, ge=0, json_schema_extra=MAY_CHANGE)
    """Money the run may spend in all; no limit when empty. What may be billed although no answer came is counted."""
    usd_per_million_input: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """Price of a million prompt tokens."""
    usd_per_million_output: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """Price of a million answered tokens."""

    @field_validator("key_variable", "temperature", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return _none_if_off(value)

    @field_validator("key_variable", "url_variable")
    @classmethod
    def _is_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_a-z][A-Z_a-z0-9]{0,63}", value):
            # The value stays unsaid: it may be the key itself.
            raise ValueError("give the name of an environment variable such as OPENAI_API_KEY, never a key or URL")
        return value

    @field_validator("base_url")
    @classmethod
    def _url_holds_no_secret(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^@?#]+$", value):
            raise ValueError("give an http:// or https:// URL without user, password or query; secrets go into the key")
        return value

    @model_validator(mode="after")
    def _settings_agree(self) -> ApiTeacherConfig:
        if "{question}" not in self.prompt:
            raise ValueError("prompt has no {question}: the teacher would never see the question")
        if self.candidates * self.rounds > 1 and self.temperature == 0:
            raise ValueError("candidates at temperature 0 are equal: set candidates and rounds to 1, or raise it")
        if self.budget_usd is not None and not self.usd_per_million_input and not self.usd_per_million_output:
            raise ValueError("budget_usd never binds while both prices (usd_per_million_input, _output) are 0")
        return self


class TeacherConfig(Section):
    """Where demonstrations come from, asked in this order."""

    sources: tuple[Literal["dataset", "api"], ...] = Field(("dataset",), min_length=1)
    """Asked in this order, each for what the ones before could not solve. dataset: the solution column of the
    questions; api: the model of teacher.api."""
    max_tokens: int = Field(8192, ge=1)
    """A longer demonstration, by the student's tokenizer with end-of-sequence, is refused, never cut."""
    wait_seconds: float = Field(0.0, ge=0, json_schema_extra=MAY_CHANGE)
    """How long an iteration waits for answers once its RL update is done; what comes later is taught later."""
    api: ApiTeacherConfig | None = None
    """The model behind the source api."""

    @field_validator("api", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return _none_if_off(value)

    @model_validator(mode="after")
    def _sources_are_there(self) -> TeacherConfig:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources names one twice: {', '.join(self.sources)}")
        if ("api" in self.sources) is not (self.api is not None):
            raise ValueError(
                "the source 'api' and the section teacher.api belong together: set teacher.api.model and name 'api' in "
                'teacher.sources, such as ["dataset", "api"], or leave both out'
            )
        return self


class CheckpointConfig(Section):
    """Snapshots of weights, optimizers, buffer and counters."""

    every: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between checkpoints; a resumed run replays at most this many."""
    keep: int = Field(2, ge=1, json_schema_extra=MAY_CHANGE)
    """Newest checkpoints kept, beside the best evaluated one; rollouts are kept since the oldest of them."""


class BenchmarkConfig(Section):
    """Questions that are only ever evaluated: what they share with the training questions is removed from those."""

    name: str = Field(min_length=1, max_length=40, pattern=r"^[\w.-]+$")
    """Under which its results are reported; where the file names sources, theirs follow after a slash."""
    format: Literal["rows", "gsm8k", "reference"] = "rows"
    """As in questions.format."""
    path: str
    """File or folder of the benchmark."""
    text_column: str = "question"
    """rows: the column with the question."""
    answer_column: str = "answer"
    """rows: the column with the gold answer."""
    questions: int | None = Field(None, ge=1)
    """At most this many, chosen by a hash of the id; all when empty."""
    samples: int | None = Field(None, ge=1)
    """k: completions per question; evaluation.samples when empty."""
    samples_of: dict[str, Annotated[int, Field(ge=1)]] = {}
    """k by source, where they differ: the paper takes 32 for AIME and AMC, 8 for OlympiadBench, 1 for MATH-500."""


class EvaluationConfig(Section):
    """Held-out evaluation in a run: before the first and after the last iteration, and in between where asked."""

    every: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between evaluations; empty: only at the start and the end."""
    questions: int = Field(400, ge=1)
    """Held-out questions of each benchmark (family, source), at most."""
    interim_questions: int = Field(40, ge=1, json_schema_extra=MAY_CHANGE)
    """The same for the evaluations in between."""
    samples: int = Field(1, ge=1)
    """k: completions per question."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    max_tokens: int | None = Field(None, ge=1)
    """Completion tokens at most; rollout.max_tokens when empty."""
    benchmarks: tuple[BenchmarkConfig, ...] = ()
    """Evaluated at the start and the end only: checkpoints are never chosen by a benchmark."""

    def samples_for(self, source: str) -> int:
        """k of a question by its source, e.g. ``"reference/aime"``."""
        name, _, part = source.partition("/")
        for benchmark in self.benchmarks:
            if benchmark.name == name:
                return benchmark.samples_of.get(part) or benchmark.samples or self.samples
        return self.samples


class LedgerConfig(Section):
    """The hard-example database of the run."""

    publish_seconds: float = Field(60.0, gt=0, json_schema_extra=MAY_CHANGE)
    """A snapshot for readers is published at checkpoints and at most this often."""


class ChecksConfig(Section):
    """Self-checks that stop a run rather than warn (contract 9)."""

    every: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Iterations between checks of engine against trainer and of the gradient's accumulation, from the first one on."""
    sequences: int = Field(8, ge=1, json_schema_extra=MAY_CHANGE)
    """Rollouts that such a check looks at, whatever their advantage."""
    max_logprob_gap: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Mean |trainer - engine| log-probability of the sampled tokens, in nats, above which the run stops; empty: 1e-3
    in float32, 0.05 in bfloat16 (measured: 0.02)."""
    max_handover_gap: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """The same after weights were handed to an engine with a copy of its own; empty: 1e-4 in float32, 0.05 in
    bfloat16."""
    max_split_error: float | None = Field(None, gt=0, json_schema_extra=MAY_CHANGE)
    """Relative distance between the gradients of one batch under two splits; empty: 1e-3 in float32, 0.1 in
    bfloat16."""
    max_failed_share: Share = Field(0.1, json_schema_extra=MAY_CHANGE)
    """Share of an iteration's verdicts that are timeout or error above which the run stops."""
    max_skipped_updates: int = Field(10, ge=1, json_schema_extra=MAY_CHANGE)
    """Updates refused in a row for a gradient that is not finite or above its limit, after which the run stops."""


class RunConfig(Section):
    """Everything that decides what a run does; stored with it."""

    recipe: str = "paper-v2"
    """Name of the recipe that this tree came from."""
    seed: int = Field(0, ge=0)
    """All randomness is a function of it (contract 4)."""
    iterations: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Batches of questions; once through all questions when empty."""
    store: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder that holds the runs, or s3://bucket/prefix; endpoint and credentials come as AWS's tools take them."""
    scratch: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder with the working copies of runs whose store is s3://; unused where the store is a folder itself."""
    questions: QuestionsConfig
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    rl: RlConfig = RlConfig()
    sft: SftConfig | None = SftConfig()
    """off: plain GRPO, nothing else changed."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Of both learning rates, by iteration: a supervised update never moves it."""
    shared_optimizer: bool = False
    """One AdamW for both updates: moments, betas and weight decay are the RL update's, rate and clip each one's own.
    Halves the optimizer's memory. A departure from the paper."""
    gate: GateConfig = GateConfig()
    buffer: BufferConfig = BufferConfig()
    teacher: TeacherConfig = TeacherConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig | None = EvaluationConfig()
    """off: no held-out evaluation."""
    ledger: LedgerConfig = LedgerConfig()
    checks: ChecksConfig = ChecksConfig()

    @field_validator("sft", "evaluation", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return _none_if_off(value)

    @model_validator(mode="after")
    def _sections_agree(self) -> RunConfig:
        if self.sft and self.buffer.capacity is not None and self.buffer.capacity < self.sft.batch_size:
            raise ValueError(
                f"sft.batch_size={self.sft.batch_size} can never be reached: buffer.capacity is {self.buffer.capacity},"
                f" so no supervised update would run. Raise buffer.capacity or lower sft.batch_size"
            )
        if self.rl.questions_per_update > self.questions.batch_size:
            raise ValueError(
                f"rl.questions_per_update={self.rl.questions_per_update} is larger than the batch of "
                f"questions.batch_size={self.questions.batch_size}: lower it to at most the batch"
            )
        return self


def _range_of(field: dict[str, Any]) -> str:
    """In words, such as "Above 0, at most 1."; empty where there is no bound."""
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    for tree in (field, *field.get("anyOf", ())):
        if said := ", ".join(f"{word} {tree[key]:g}" for key, word in bounds.items() if key in tree):
            return said.capitalize() + "."
    return ""


def _none_if_off(value: Any) -> Any:
    return None if value == "off" else value
