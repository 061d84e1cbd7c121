"""One GPU for trainer and vLLM: who holds what while the other works, with a scripted vLLM in a GPU's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from relift.errors import SelfCheckFailed
from relift.policy.vllm_engine import VllmEngine
from relift.records import UpdateKind
from tests.small_run import small_config


class Moment:
    """Stands for a moment of AdamW and says where it is put."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def to(self, device: object) -> Moment:
        self.events.append(f"moment to {device}")
        return self


class ScriptedVllm:
    def __init__(self, events: list[str]) -> None:
        self.events = events

    def wake_up(self, tags: list[str]) -> None:
        self.events.append(f"wake {tags[0]}")

    def apply_model(self, load: Callable[[Any], int]) -> list[int]:
        return [7]

    def reset_prefix_cache(self) -> bool:
        return True

    def sleep(self, level: int) -> None:
        self.events.append(f"sleep {level}")


def test_moments_make_room_for_vllm_on_a_gpu_and_come_back_when_it_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    model: Any = torch.nn.Linear(2, 2, bias=False, device="meta")
    optimizer = torch.optim.AdamW(model.named_parameters())
    optimizer.state[model.weight] = {"step": torch.tensor(1.0), "exp_avg": Moment(events), "exp_avg_sq": Moment(events)}
    model.device = SimpleNamespace(type="cuda")
    student: Any = SimpleNamespace(context=1024, vocabulary=2)
    shared = {UpdateKind.RL: optimizer, UpdateKind.SFT: optimizer}
    policy: Any = SimpleNamespace(model=model, version=3, optimizers=shared)
    engine = VllmEngine(small_config(tmp_path, "rollout.engine=vllm"), student, max_rows=8, probes=[])
    engine._llm, engine._asleep = ScriptedVllm(events), True
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: events.append("empty torch's cache"))
    monkeypatch.setattr(engine, "_send", lambda sent: (7, 7))
    monkeypatch.setattr(engine, "_check", lambda *checked: None)
    monkeypatch.setattr(engine, "_run", lambda *rows, **how: events.append("sample") or [])
    request: Any = SimpleNamespace(version=3, samples=1, max_tokens=4, temperature=1.0)

    engine.serve(policy)
    assert engine.sample([], request) == []
    before = ["moment to cpu", "moment to cpu", "empty torch's cache", "wake weights", "wake kv_cache"]
    assert events == [*before, "sample", "sleep 2", "moment to meta", "moment to meta"]
    with pytest.raises(SelfCheckFailed, match="holds policy version None"):
        engine.sample([], request)
