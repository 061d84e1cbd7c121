"""The model that is trained and how it is sampled."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from relift.config.section import MAY_CHANGE, Section, none_if_off


class LoraConfig(Section):
    """Low-rank adapters (arXiv 2106.09685) in place of all weights; needs the extra relift[lora].

    They want about ten times the learning rate of full training. No dropout: updates are functions of their batch.
    """

    rank: int = Field(32, ge=1)
    """Of the two factors of each layer's change."""
    alpha: float = Field(32.0, gt=0)
    """The change is scaled by alpha / rank."""
    targets: Literal["attention", "linear"] | tuple[str, ...] = "linear"
    """Layers that get an adapter: attention's projections, every linear layer but the head, or names such as
    q_proj."""


class PolicyConfig(Section):
    """The model that is trained."""

    model: str = Field("Qwen/Qwen2.5-Math-7B", json_schema_extra=MAY_CHANGE)
    """A folder or Hugging Face name; `arithmetic` is the embedded base, `random-bytes` a small random model. A resumed
    run finds the same weights there or stops."""
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
    micro_batch_tokens: int | None = Field(None, ge=1)
    """Tokens of a packed micro-batch; when empty a budget for the kind of device, kept with the run."""
    deterministic: bool = False
    """On a GPU: deterministic kernels, slower, so that a resumed run is bit-equal. A CPU always is."""
    lora: LoraConfig | None = None
    """Train low-rank adapters, merged into what is exported; off: train all weights."""
    activation_checkpointing: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Keep fewer activations: each k-th layer keeps its input alone and is computed again in the backward pass. 1 is
    every layer, least memory and slowest; off: keep all. Changes no number."""

    @field_validator("lora", "activation_checkpointing", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @property
    def opens_thinking(self) -> bool:
        """Whether a prompt ends inside the reasoning, so that a solution has to close it."""
        return "<think>" in self.prompt_suffix


class VllmConfig(Section):
    """What only the engine vllm takes."""

    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, json_schema_extra=MAY_CHANGE)
    """Share of the GPU's memory for vLLM's weights and key-value cache. It is the trainer's again during updates."""
    enforce_eager: bool = Field(False, json_schema_extra=MAY_CHANGE)
    """Without CUDA graphs and compilation: starts faster, samples slower. A CPU always is."""


class RolloutConfig(Section):
    """How rollouts are sampled in training."""

    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples: transformers runs on any machine; vllm (pip install -e '.[vllm]') is for a GPU."""
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
