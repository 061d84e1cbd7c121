"""The model that is trained and how it is sampled."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, field_validator

from relift.config.plugin import BY_IMPORT, BY_NAME, PluginConfig, by_name
from relift.config.section import MAY_CHANGE, Section, none_if_off

TemplateValue = bool | int | float | str
TEMPLATE_RESERVED = frozenset(
    {
        *("conversation", "conversations", "messages", "tools", "documents", "chat_template", "tokenize", "padding"),
        *("add_generation_prompt", "continue_final_message", "truncation", "max_length", "return_tensors"),
        *("return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs", "self"),
        *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
        *("additional_special_tokens", "strftime_now", "raise_exception"),
    }
)
"""What a chat template gets from elsewhere: arguments of transformers' apply_chat_template, and the special tokens."""


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
    """Put before the question as a system message, in place of one that the question's row has; when empty the row's
    own."""
    chat_template: str | None = Field(None, json_schema_extra=MAY_CHANGE)
    """Jinja text, or a file that holds it, in place of the tokenizer's own chat template. A resumed run finds the same
    text there or stops."""
    chat_template_kwargs: dict[str, TemplateValue] = Field({})
    """Values that the chat template asks for, such as enable_thinking = false."""
    prompt_suffix: str = ""
    """Text that opens the completion inside the prompt, such as `<think>` and a newline where the chat template does
    not open the reasoning itself."""
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

    @field_validator("chat_template_kwargs", mode="before")
    @classmethod
    def _are_for_the_template(cls, values: Any) -> Any:
        """In the order of their names, since two files that set the same say the same."""
        if not isinstance(values, dict):
            raise ValueError("give names and values, such as { enable_thinking = false }")
        for name, value in values.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(f"{name!r} is no name that a chat template can ask for, such as enable_thinking")
            if name in TEMPLATE_RESERVED:
                raise ValueError(f"{name} is set by relift and the tokenizer, not here: leave it out")
            is_finite = not isinstance(value, float) or math.isfinite(value)
            if not isinstance(value, TemplateValue) or not is_finite:
                raise ValueError(f"{name} takes true, false, a number or a text, got {value!r}")
        return dict(sorted(values.items()))


class VllmConfig(Section):
    """What only the engine vllm takes."""

    gpu_memory_utilization: float = Field(0.6, gt=0, lt=1, json_schema_extra=MAY_CHANGE)
    """Share of the GPU's memory for vLLM's weights and key-value cache. It is the trainer's again during updates."""
    enforce_eager: bool = Field(False, json_schema_extra=MAY_CHANGE)
    """Without CUDA graphs and compilation: starts faster, samples slower. A CPU always is."""


Engine = Annotated[
    Annotated[Literal["transformers", "vllm"], Tag(BY_NAME)] | Annotated[PluginConfig, Tag(BY_IMPORT)],
    by_name("transformers", "vllm"),
]


class RolloutConfig(Section):
    """How rollouts are sampled in training."""

    engine: Engine = "transformers"
    """What samples: transformers runs on any machine; vllm (pip install -e '.[vllm]') is for a GPU; or one's own by
    import path, package.module:Name, or as { kind, settings }."""
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
