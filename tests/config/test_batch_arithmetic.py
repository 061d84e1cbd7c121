"""What a recipe comes to, said before anything starts."""

from __future__ import annotations

import pytest

from relift.config.batch_arithmetic import batch_arithmetic
from relift.config.recipe import load_recipe


@pytest.mark.parametrize(("demonstrations", "updates"), [("all", "3"), ("40", "3"), ("0", "0")])
def test_a_warm_start_makes_an_update_an_epoch_and_none_without_demonstrations(demonstrations, updates) -> None:
    settings = [f"warm_start.demonstrations={demonstrations}", "warm_start.epochs=3"]
    lines = batch_arithmetic(load_recipe("demo", settings), questions=100, iterations=2)
    assert {line.what: line.amount for line in lines}["updates of the warm start"] == updates
