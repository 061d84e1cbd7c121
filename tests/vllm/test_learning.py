"""What the policy learns does not depend on which engine samples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from relift.opening.run import open_run
from relift.phases.evaluate import evaluate, results_of
from relift.records import EvalResult
from tests.phases.conftest import drive
from tests.small_run import small_config

ITERATIONS = 25
CUT_DEMO = (
    f"iterations={ITERATIONS}",
    "questions.count=2000",
    "questions.batch_size=32",
    "rl.questions_per_update=16",
    "rollout.samples=8",
    "rollout.max_tokens=48",
    "teach.rule.batch_size=16",
    "sft.minibatch=8",
    "sft.epochs=4",
    "sft.own_correct=32",
    "checkpoint.every=100",
    "evaluation.questions=100",
)


def learned(store: Path, engine: str, seed: int) -> tuple[float, float, int]:
    """(held-out share correct before, after, questions), greedy, of one run."""
    config = small_config(store, *CUT_DEMO, f"seed={seed}", f"rollout.engine={engine}")
    with open_run(config, f"{engine}-{seed}") as run:
        before = results_of(run, evaluate(run, 0, run.base, True))
        version = drive(run, ITERATIONS, checkpoints=False)[-1]
        after = results_of(run, evaluate(run, ITERATIONS, version, True))
    return mean(before), mean(after), sum(r.questions for r in after)


def mean(results: list[EvalResult]) -> float:
    return sum(r.avg_at_k * r.questions for r in results) / sum(r.questions for r in results)


def half_width(share: float, count: int) -> float:
    return 1.96 * math.sqrt(share * (1 - share) / count)


def test_a_run_learns_with_vllm_as_with_the_transformers_engine(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = {engine: learned(tmp_path / "runs", engine, 0) for engine in ("transformers", "vllm")}
    for engine, (before, after, count) in found.items():
        print(f"{engine}: {before:.1%} -> {after:.1%} (+-{half_width(after, count):.1%}) of {count} held-out questions")
    (base, reference, count), (same_base, with_vllm, _) = found["transformers"], found["vllm"]
    assert same_base == pytest.approx(base, abs=2 / count), "the same weights, greedy: only a tie may fall otherwise"
    noise = math.hypot(half_width(reference, count), half_width(with_vllm, count))
    assert with_vllm - same_base > 0.1 and reference - base > 0.1, "nothing was learned, so nothing was compared"
    assert abs(with_vllm - reference) < noise + 0.02, "two runs of one engine differ by up to 2 points besides"
