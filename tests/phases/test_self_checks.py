"""What a run refuses to train on, and what its randomness does not depend on."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from relift.errors import SelfCheckFailed
from relift.phases.gate import gate
from relift.phases.rl_update import rl_update
from relift.phases.rollout import rollout
from relift.phases.verify import verify
from tests.phases.conftest import Opener, drive


def test_a_gradient_that_depends_on_how_a_batch_is_cut_stops_the_run(opener: Opener) -> None:
    run = opener()
    rollouts = rollout(run, 0, run.base)
    verdicts = verify(run, 0, rollouts)
    gated = gate(run, 0, rollouts, verdicts)
    # Each micro-batch divides by a figure of its own, where all should divide by one count of the whole step.
    run.policy.model.model.norm.weight.register_hook(lambda slope: slope / slope.norm())
    with pytest.raises(SelfCheckFailed, match="would depend on how the batch is cut"):
        rl_update(run, 0, rollouts, verdicts, gated, run.base)
    assert run.store.manifest("iterations/00000/rl_update") is None


def test_the_global_generators_change_nothing_and_are_left_alone(opener: Opener) -> None:
    seen = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()
        run = opener(name=f"seed-{seed}")
        version = drive(run, 2, checkpoints=False)[-1]
        assert before == (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist())
        seen.append(version.checksum)
        run.__exit__()
    assert seen[0] == seen[1]
