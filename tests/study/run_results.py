"""Results of runs that never were, for what is made of results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from relift.study.results import CurvePoint, FamilyResult, LiftResult, QuestionResults, RunResult, TrainingPoint


def run_result(method: str = "relift", seed: int = 101, *, after: Sequence[int] = (1, 0, 1), **more: Any) -> RunResult:
    """A run of one family whose held-out questions came out as ``after``; before it the first alone was right."""
    before = (1, *[0] * (len(after) - 1))
    questions = {"mul2": QuestionResults(asked="q", samples=1, before=before, after=tuple(after))}
    base, mean = 1 / len(after), sum(after) / len(after)
    result = RunResult(
        study="tiny",
        method=method,
        seed=seed,
        reference=False,
        date="2026-01-31T03:00:00+00:00",
        command="relift compare tiny.toml",
        versions={"relift": "0.3.0", "python": "3.11"},
        machine="cpu",
        settings={"seed": str(seed)},
        fingerprint="f" * 16,
        made_from={"questions": "d" * 16},
        budget={"rollouts": 512.0},
        mean=mean,
        mean_base=base,
        mean_start=base,
        families={"mul2": FamilyResult(kind="unreached", base=base, start=base, after=mean, questions=len(after))},
        demonstrations=8,
        controls_bought=1,
        rollouts=512,
        update_flops=1e9,
        optimizer_steps=12,
        sampled_tokens=4000,
        trained_tokens=3000,
        seconds=2.5,
        cost_usd=0.0,
        control_cost_usd=0.0,
        iterations=8,
        weights_sha256="a" * 64,
        curve=(
            CurvePoint(
                iteration=0, rollouts=0, update_flops=0, demonstrations=0, mean=base, families={"mul2": base}, full=True
            ),
        ),
        training=(TrainingPoint(iteration=0, rollouts=64, accuracy=0.5, unsolved=3),),
        questions=questions,
        transitions={"unsolved": {"always": 1}},
        forgotten=0,
        learned=1,
        lift={"1": LiftResult(lift=0.3, low=0.1, high=0.5, taught_questions=8, control_questions=4)},
    )
    return dataclasses.replace(result, **more)
