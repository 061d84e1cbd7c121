"""Weights go from the trainer to vLLM in memory: the right ones, all of them, every time, or the run stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from relift.config import PolicyConfig
from relift.errors import SelfCheckFailed
from relift.phases.rollout import rollout
from relift.policy.model import load_model
from relift.policy.policy import Policy
from relift.policy.student import Student
from relift.policy.weight_check import logprob_gap
from tests.phases.conftest import drive, opener
from tests.vllm.conftest import Opener, Served, prompts, request

__all__ = ["opener"]
LIMIT = 1e-4  # nats, of every single sampled token
TEXTS = ("17+4?", "(15+23)*9?", "47*6?")


@pytest.fixture
def base() -> tuple[Any, Student]:
    return load_model(PolicyConfig(model="arithmetic"), seed=0)


@pytest.fixture
def served(base: tuple[Any, Student], engine_of: Opener) -> Served:
    return engine_of(*base)


def train(model: Any, scale: float = 0.02, seed: int = 0) -> None:
    """Move every weight, as an update would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=scale * float(parameter.std()))


def largest_gap(served: Served, student: Student, version: int) -> float:
    engine, policy = served
    asked = prompts(student, *TEXTS)
    groups = engine.sample(asked, request(version=version))
    return max(
        logprob_gap(policy.model, [(p.token_ids, c)], PolicyConfig(), temperature=1.0, vocabulary=student.vocabulary)
        for p, group in zip(asked, groups, strict=True)
        for c in group
    )


def test_engine_and_trainer_agree_after_each_of_twenty_hand_overs_of_a_run(opener: Any) -> None:
    run = opener("rollout.engine=vllm", "iterations=20", "checkpoint.every=100")
    checked: dict[int, float] = {}
    serve = run.engine.serve

    def watched(policy: Policy) -> None:
        serve(policy)
        checked[policy.version] = run.engine.last_gap

    run.engine.serve = watched
    version = drive(run, 20)[-1]
    rollout(run, 20, version)
    keys = [f"iterations/{iteration:05d}/rl_update" for iteration in range(20)]
    sampled = [run.store.manifest(key).facts["reports"][0]["logprob_gap_max"] for key in keys]
    assert len(checked) >= 20 and len(sampled) == 20
    worst = max(*checked.values(), *sampled)
    print(f"{len(checked)} hand-overs, {len(sampled)} batches of rollouts: largest gap {worst:.2g} nats")
    assert 0 < worst < LIMIT


def test_a_version_that_is_served_is_not_handed_over_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, policy = served
    monkeypatch.setattr(engine, "_send", lambda model: pytest.fail("handed over again"))
    engine.serve(policy)


def test_changed_weights_reach_the_engine(served: Served, base: tuple[Any, Student]) -> None:
    engine, policy = served
    for version in range(1, 4):
        train(policy.model, seed=version)
        policy.moved_to(version)
        engine.serve(policy)
        assert largest_gap(served, base[1], version) < LIMIT


def test_weights_that_stay_behind_are_caught_however_little_they_moved(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, policy = served
    train(policy.model, scale=1e-7)
    policy.moved_to(1)
    (engine_model,) = engine._llm.apply_model(lambda model: model)
    monkeypatch.setattr(engine_model, "load_weights", lambda weights: None)
    with pytest.raises(SelfCheckFailed, match="version 1 the engine holds other weights"):
        engine.serve(policy)


def test_one_tensor_left_behind_is_caught(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, policy = served
    train(policy.model)
    policy.moved_to(1)
    (engine_model,) = engine._llm.apply_model(lambda model: model)
    load = engine_model.load_weights
    monkeypatch.setattr(
        engine_model, "load_weights", lambda weights: load((n, w) for n, w in weights if n != "model.norm.weight")
    )
    with pytest.raises(SelfCheckFailed, match="the engine holds other weights"):
        engine.serve(policy)


def test_right_numbers_in_wrong_places_are_caught(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, policy = served
    policy.moved_to(1)
    (engine_model,) = engine._llm.apply_model(lambda model: model)
    load = engine_model.load_weights
    swap = {
        "model.layers.0.input_layernorm.weight": "model.layers.1.input_layernorm.weight",
        "model.layers.1.input_layernorm.weight": "model.layers.0.input_layernorm.weight",
    }
    monkeypatch.setattr(engine_model, "load_weights", lambda weights: load((swap.get(n, n), w) for n, w in weights))
    with pytest.raises(SelfCheckFailed, match="log-probabilities differ from the trainer's"):
        engine.serve(policy)


@pytest.mark.parametrize(("answer", "message"), [(False, "did not empty"), (True, "took 32 tokens from its prefix")])
def test_a_prefix_cache_of_older_weights_is_caught(
    served: Served, monkeypatch: pytest.MonkeyPatch, answer: bool, message: str
) -> None:
    engine, policy = served
    train(policy.model)
    policy.moved_to(1)
    monkeypatch.setattr(engine._llm, "reset_prefix_cache", lambda: answer)
    with pytest.raises(SelfCheckFailed, match=message):
        engine.serve(policy)


def test_after_a_refused_hand_over_nothing_is_sampled(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, policy = served
    train(policy.model)
    policy.moved_to(1)
    with monkeypatch.context() as patched:
        patched.setattr(engine._llm, "reset_prefix_cache", lambda: False)
        with pytest.raises(SelfCheckFailed):
            engine.serve(policy)
    for version in (0, 1):
        with pytest.raises(
            SelfCheckFailed, match=f"holds policy version None and was asked to sample version {version}"
        ):
            engine.sample([], request(version=version))
    engine.serve(policy)
    engine.sample([], request(version=1))


def test_packed_weights_are_refused_not_left_stale(
    base: tuple[Any, Student], engine_of: Opener, monkeypatch: Any
) -> None:
    """Without the engine's own precaution oneDNN packs the layers away."""
    monkeypatch.setattr("relift.policy.vllm_engine._keep_weights_unpacked", lambda: None)
    monkeypatch.setattr("vllm._custom_ops._supports_onednn", True)
    with pytest.raises(SelfCheckFailed, match=r"does not take the weights|holds other weights"):
        engine_of(*base)
