"""Keeping a guest library from changing the process that it is loaded into."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def own_randomness() -> Iterator[None]:
    """The global generators are afterwards as they were: what runs inside may seed and read them (contract 4)."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """What the whole process shares and no part of it may change for the others."""

    default_dtype: torch.dtype
    threads: int
    set_num_threads: Any
    """The function itself."""
    matmul_precision: str
    grad_enabled: bool
    handlers: tuple[tuple[int, Any], ...]
    """(signal number, handler)."""
    except_hook: Callable[..., Any]
    record_factory: Callable[..., Any]
    root_handlers: tuple[logging.Handler, ...]
    root_level: int
    environment: tuple[tuple[str, str], ...]
    affinity: tuple[int, ...]
    """Processors that this thread may run on; empty where the system does not say."""
    frozen_objects: int
    """Objects that the garbage collector no longer looks at."""

    @classmethod
    def now(cls) -> ProcessState:
        root = logging.getLogger()
        return cls(
            default_dtype=torch.get_default_dtype(),
            threads=torch.get_num_threads(),
            set_num_threads=torch.set_num_threads,
            matmul_precision=torch.get_float32_matmul_precision(),
            grad_enabled=torch.is_grad_enabled(),
            handlers=tuple((number, signal.getsignal(number)) for number in SIGNALS),
            except_hook=sys.excepthook,
            record_factory=logging.getLogRecordFactory(),
            root_handlers=tuple(root.handlers),
            root_level=root.level,
            environment=tuple(sorted(os.environ.items())),
            affinity=tuple(sorted(os.sched_getaffinity(0))) if sys.platform == "linux" else (),
            frozen_objects=gc.get_freeze_count(),
        )

    def restore(self, *, keep: str) -> None:
        """Put everything back but the environment variables whose names start with ``keep``."""
        torch.set_default_dtype(self.default_dtype)
        torch.set_num_threads = self.set_num_threads  # vLLM's CPU worker replaces it by one that does nothing
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision(self.matmul_precision)
        torch.set_grad_enabled(self.grad_enabled)
        if threading.current_thread() is threading.main_thread():  # no other thread can have changed them
            for number, handler in self.handlers:
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
        sys.excepthook = self.except_hook
        logging.setLogRecordFactory(self.record_factory)
        root = logging.getLogger()
        root.handlers[:] = self.root_handlers
        root.setLevel(self.root_level)
        self._restore_environment(keep)
        if self.affinity:
            os.sched_setaffinity(0, self.affinity)
        if not self.frozen_objects:
            gc.unfreeze()

    def _restore_environment(self, keep: str) -> None:
        before = dict(self.environment)
        for name in os.environ.keys() | before.keys():
            if name.startswith(keep) or os.environ.get(name) == before.get(name):
                continue
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


@contextmanager
def undisturbed(*, keep: str) -> Iterator[None]:
    """Around the loading of a library that takes the process for its own: afterwards it is as it was.

    Environment variables whose names start with ``keep`` stay: they are the library's own, and it reads them later.
    Warnings in between are about the library's own code, so nobody here could act on them.
    """
    before = ProcessState.now()
    try:
        with own_randomness(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        before.restore(keep=keep)
