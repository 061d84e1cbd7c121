"""Loading a model and its tokenizer, and writing them out again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from relift.config import PolicyConfig
from relift.errors import ModelError, ReliftError
from relift.policy.holes import mask_holes
from relift.policy.lora import add_adapters, require_peft
from relift.policy.recompute import recompute_layers
from relift.policy.student import Student, make_student
from relift.policy.weights import weight_tensors

log = logging.getLogger(__name__)


def load_model(config: PolicyConfig, *, seed: int, student: Student | None = None) -> tuple[Any, Student]:
    """The model in float32 master weights on its device, with adapters where the recipe has them, and its student.

    ``student`` where it is loaded already. The seed draws what no file holds: a random model, first values of adapters.
    Raises ModelError when the folder or name holds no causal language model, tokenizer or chat template, ConfigError
    when peft is needed and missing.
    """
    from transformers.utils import logging as library_logging

    from relift.policy.supported import require_same

    if config.lora is not None:
        require_peft()
    library_logging.disable_progress_bar()  # they would be drawn into the live view
    device = _device(config)  # first: nothing is downloaded for a machine without the GPU that was asked for
    if config.model == "random-bytes":
        from relift.policy.tiny import byte_tokenizer, random_model

        tokenizer = byte_tokenizer()
        model = random_model(seed, vocabulary=len(tokenizer))
        student = student or make_student(tokenizer, model.config, model.generation_config, config)
    else:
        source = _source(config.model)
        model_config = _load_config(source, config)
        student = student or _student_beside(source, model_config, config)
        model = _load_weights(source, model_config, config.model)
    mask_holes(model, student.wording.holes)
    _own_memory(model)
    if config.lora is not None:
        add_adapters(model, config.lora, seed=seed)
    if config.activation_checkpointing is not None:
        recompute_layers(model, config.activation_checkpointing)
    model = model.to(device)
    require_same(model, config.model, vocabulary=student.vocabulary, pad_id=student.pad_id, context=student.context)
    return model, student


def load_student(config: PolicyConfig) -> Student:
    """The tokenizer side of the model alone, without its weights. Raises ModelError."""
    if config.model == "random-bytes":
        return load_model(config, seed=0)[1]
    source = _source(config.model)
    return _student_beside(source, _load_config(source, config), config)


def _student_beside(source: str, model_config: Any, config: PolicyConfig) -> Student:
    tokenizer = _load_tokenizer(source, config.model)
    return make_student(tokenizer, model_config, _load_generation(source, model_config, config.model), config)


def _load_tokenizer(source: str, name: str) -> Any:
    from transformers import AutoTokenizer

    _require_tokenizer_files(source, name)
    with _loading(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def _load_config(source: str, config: PolicyConfig) -> Any:
    """The model's configuration, stretched as the recipe says. Raises ModelError for a model that is not supported."""
    from transformers import AutoConfig

    from relift.policy.supported import require_plain

    with _loading(config.model, "configuration"):
        model_config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        require_plain(model_config, config.model)
        return _stretched(model_config, config)


def _load_generation(source: str, model_config: Any, name: str) -> Any:
    """The model's generation settings, of which the tokens that end a completion are read; few models need a file.

    Raises ModelError for a file that is there and cannot be read: completions would not end where they should.
    """
    from transformers import GenerationConfig

    folder = Path(source)
    with _loading(name, "generation_config.json"):
        if folder.is_dir() and not (folder / "generation_config.json").is_file():
            return GenerationConfig.from_model_config(model_config)
        try:
            generation = GenerationConfig.from_pretrained(source)
        except OSError:
            if folder.is_dir():
                raise
            return GenerationConfig.from_model_config(model_config)
    ends = generation.eos_token_id
    if not all(isinstance(end, int | None) for end in (ends if isinstance(ends, list) else [ends])):
        raise ModelError(
            f"policy.model={name!r}: the eos_token_id of its generation_config.json is {ends!r}, which is neither the "
            f"id of a token nor a list of ids, so completions would not end where they should. Correct the file."
        )
    return generation


def _load_weights(source: str, model_config: Any, name: str) -> Any:
    """The model in float32; all of its weights come from safetensors. Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM

    _require_safetensors(source, name)
    with _loading(name, "model"):
        model, report = AutoModelForCausalLM.from_pretrained(
            source,
            config=model_config,
            dtype=torch.float32,
            attn_implementation="sdpa",  # said, since a configuration may name one that is fetched and run
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"policy.model={name!r} holds no values for {len(missing)} of its weights ({', '.join(missing[:3])}, ...), "
            f"which would start as random numbers. Download or save the model anew."
        )
    return model


@contextmanager
def _loading(name: str, what: str) -> Iterator[None]:
    """Files from outside can be broken in any way, and the library then raises anything: here it is one error.

    No code that comes with a model is ever run, nor is anybody asked whether it may be.
    """
    try:
        yield
    except (ReliftError, MemoryError):
        raise
    except Exception as problem:
        if "trust_remote_code" in str(problem):
            raise ModelError(
                f"policy.model={name!r} comes with code of its own (auto_map in its files) for its {what}, which is "
                f"never run: it could do anything on this machine. Use a model whose architecture and tokenizer are "
                f"part of transformers (docs/models.md)."
            ) from problem
        if "ignore_mismatched_sizes" in str(problem):
            raise ModelError(
                f"policy.model={name!r} holds weights of other shapes than its config.json says (or policy.context). "
                f"They do not belong together: download or save the model anew."
            ) from problem
        raise ModelError(f"policy.model={name!r} has no {what} that loads: {_brief(problem)}") from problem


def autocast(config: PolicyConfig, device: str) -> AbstractContextManager[Any]:
    """Around every forward pass, in the engine and in the trainer alike: bfloat16 where the recipe asks for it.

    Without the cache of converted weights: an update changes them between two forward passes.
    """
    import torch

    enabled = config.dtype == "bfloat16"
    return torch.autocast(device.split(":", maxsplit=1)[0], dtype=torch.bfloat16, enabled=enabled, cache_enabled=False)


def export_model(model: Any, student: Student, folder: Path) -> None:
    """A Hugging Face folder that AutoModelForCausalLM.from_pretrained loads; adapters are merged, so without peft."""
    model.save_pretrained(folder, state_dict=weight_tensors(model))
    student.tokenizer.save_pretrained(folder)


def _source(name: str) -> str:
    if name == "arithmetic":
        from relift.arithmetic import base_folder

        return str(base_folder())
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    folder = Path(name).expanduser()
    if looks_like_path and not (folder / "config.json").is_file():
        raise ModelError(
            f"policy.model={name!r}: there is no model folder (a config.json) at {folder}. Give a folder written by "
            f"save_pretrained, a Hugging Face name, 'arithmetic' or 'random-bytes'."
        )
    return str(folder) if folder.is_dir() else name


def _stretched(model_config: Any, config: PolicyConfig) -> Any:
    """The model's configuration with the recipe's context and rotary base, where it sets them. Raises ModelError."""
    if config.context is not None:
        model_config.max_position_embeddings = config.context
    if config.rope_theta is not None:
        rotary = getattr(model_config, "rope_parameters", None) or {}
        if "rope_theta" not in rotary:
            found = f"has one for each kind of layer ({', '.join(sorted(rotary))})" if rotary else "has none"
            raise ModelError(
                f"policy.rope_theta={config.rope_theta:g} sets the base of a rotary embedding, but {config.model} "
                f"({model_config.model_type}) {found}: it would change nothing. Leave policy.rope_theta out, or set "
                f"the bases in the model's own config.json."
            )
        model_config.rope_parameters = {**rotary, "rope_theta": config.rope_theta}
    return model_config


def _own_memory(model: Any) -> None:
    """Copy the weights out of the mapped file: writing that file anew would change them while they train."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _require_tokenizer_files(source: str, name: str) -> None:
    """A folder without a tokenizer must be refused here: the library makes up an empty one."""
    folder = Path(source)
    files = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
    if folder.is_dir() and not any((folder / file).is_file() for file in files):
        raise ModelError(
            f"policy.model={name!r} has no tokenizer (none of {', '.join(files)} in {folder}). Save the model's "
            f"tokenizer into the folder with save_pretrained."
        )


def _require_safetensors(source: str, name: str) -> None:
    """Pickled weights run code when they are read, so they are not."""
    folder = Path(source)
    pickled = sorted(folder.glob("pytorch_model*.bin")) if folder.is_dir() else []
    if pickled and not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"policy.model={name!r} has its weights in {pickled[0].name} alone, a pickle, which can run code when it "
            f"is read, so it is not. Write it anew where you trust it: AutoModelForCausalLM.from_pretrained(folder)"
            f".save_pretrained(folder) makes model.safetensors."
        )


def _device(config: PolicyConfig) -> str:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("policy.device='cuda', but torch sees no GPU here. Set policy.device to 'auto' or 'cpu'.")
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


def _brief(problem: Exception) -> str:
    """A library's error on one line of at most a few hundred characters."""
    kind, text = type(problem).__name__, " ".join(str(problem).split())[:300]
    return text if text and isinstance(problem, OSError | ValueError) else f"{kind}: {text}".rstrip(": ")
