"""A run small enough for a test: the demo's recipe with few questions, all of its parts in use."""

from __future__ import annotations

from pathlib import Path

from relift.config import RunConfig
from relift.config.recipe import load_recipe

SETTINGS = (
    "iterations=8",
    "questions.count=300",
    "questions.batch_size=16",
    "rl.questions_per_update=8",
    "rollout.samples=4",
    "rollout.max_tokens=24",
    "teach.rule.batch_size=4",
    "sft.minibatch=2",
    "sft.epochs=2",
    "sft.own_correct=8",
    "checkpoint.every=3",
    "evaluation.questions=6",
    "evaluation.interim_questions=3",
    "evaluation.every=3",
)


def small_config(store: Path, *more: str) -> RunConfig:
    return load_recipe("demo", [*SETTINGS, f"store={store}", *more])


def small_arguments(store: Path, *more: str) -> list[str]:
    """The same for the command line."""
    settings = [*SETTINGS, f"store={store}", *more]
    return ["train", "demo", "--name", "small", *(part for s in settings for part in ("--set", s))]
