"""What a recipe comes to, said before anything starts."""

from __future__ import annotations

import pytest

from relift.config.batch_arithmetic import batch_arithmetic
from relift.config.recipe import load_recipe


@pytest.mark.parametrize(("iterations", "tokens"), [(3, "14,080"), (None, "4,480 an iteration and 640 once")])
def test_what_measures_the_gap_is_sampled_once_in_a_run(iterations: int | None, tokens: str) -> None:
    """7 questions x 8 rollouts x 80 tokens an iteration, and 2 x 2 x 2 rollouts x 80 tokens."""
    rule = "teach.rule={ kind = 'self-distil', gap_questions = 2, gap_samples = 2 }"
    sizes = ["questions.batch_size=7", "rl.questions_per_update=7", "rollout.samples=8", "rollout.max_tokens=80"]
    config = load_recipe("demo", [rule, "sft=off", *sizes, "budget.update_flops=1e15"])
    amounts = {line.what: line.amount for line in batch_arithmetic(config, questions=100, iterations=iterations)}
    assert amounts["sampled tokens, at most"] == tokens
    assert amounts["completions for the gap, at most"] == "8"


@pytest.mark.parametrize(("demonstrations", "updates"), [("all", "3"), ("40", "3"), ("0", "0")])
def test_a_warm_start_makes_an_update_an_epoch_and_none_without_demonstrations(demonstrations, updates) -> None:
    settings = [f"warm_start.demonstrations={demonstrations}", "warm_start.epochs=3"]
    lines = batch_arithmetic(load_recipe("demo", settings), questions=100, iterations=2)
    assert {line.what: line.amount for line in lines}["updates of the warm start"] == updates
