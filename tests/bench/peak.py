"""Peak resident memory above a model's own, as Linux counts it. Nothing of relift is imported here."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")


class Peak:
    """Counts from when it is made: by then weights, gradients and AdamW states are all in memory, and are not counted.

    The states are the caller's to have made, by a step. Gradients are put there as zeros where there are none, which
    leaves what an update adds to them as it is; an update that frees and makes them anew gains nothing by it.
    """

    def __init__(self, model: Any) -> None:
        for parameter in model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter).fill_(0)  # written to, so that it is resident
        ctypes.CDLL(None).malloc_trim(0)  # what making the model left behind is no memory of its own
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        self.own_gib = _gib("VmRSS")

    def extra_gib(self) -> float:
        return _gib("VmHWM") - self.own_gib


def _gib(field: str) -> float:
    return int(STATUS.read_text().partition(f"{field}:")[2].split()[0]) / 2**20
