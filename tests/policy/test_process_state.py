"""A guest library may do to the process what it likes: afterwards nothing of it is seen."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import warnings

import numpy as np
import pytest
import torch

from relift.policy.process_state import ProcessState, own_randomness, undisturbed


def misbehave() -> None:
    """All that vLLM does, and some that it might."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    torch.set_num_threads(2)
    torch.set_num_threads = lambda nthreads: None
    torch.set_float32_matmul_precision("medium")
    torch.set_grad_enabled(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = lambda *args: None
    logging.setLogRecordFactory(logging.LogRecord)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.CRITICAL)
    os.environ |= {"GUEST_OWN": "1", "LD_PRELOAD": "/lib/guest.so", "OMP_NUM_THREADS": "64"}
    gc.freeze()
    warnings.warn("about my own code", UserWarning, stacklevel=1)


def generators() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_guest_is_left_but_its_own_variables(fails: bool) -> None:
    torch.set_num_threads(1)
    before, draws = ProcessState.now(), generators()
    try:
        with undisturbed(keep="GUEST_"):
            misbehave()
            if fails:
                raise KeyError("in the middle")
    except KeyError:
        assert fails
    assert os.environ.pop("GUEST_OWN") == "1"
    assert ProcessState.now() == before
    assert generators() == draws


def test_random_draws_inside_are_not_seen_outside() -> None:
    before = generators()
    with own_randomness():
        random.random()
        np.random.rand()
        torch.rand(3)
    assert generators() == before
