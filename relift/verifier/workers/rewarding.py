"""A user's own reward as a worker gives it: a number, or named numbers whose sum it is.

Runs in worker processes only, where it may hang, fail or fill the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from relift.config.plugin import load_plugin
from relift.errors import ConfigError
from relift.records import GradedCompletion, RewardStatus, Status
from relift.verifier.workers.comparisons import MEMORY_REASON, Outcome, cut, said

PARAMETERS = ("graded",)
"""What a reward takes, before its own settings: a GradedCompletion."""
MOST_PARTS, MAX_NAME_CHARS = 64, 100


def own_reward(path: str, settings: Mapping[str, Any], sha256: str = "") -> tuple[Callable[..., Outcome], str]:
    """Calls a user's ``package.module:function``, and ""; or why it cannot be called.

    Whatever it raises, SystemExit too, is an error with its text. ``sha256``: of the source that it must have, since a
    worker that is started later reads the file as it is then.
    """
    try:
        plugin = load_plugin(path, kind="reward", key="rl.reward", parameters=PARAMETERS, settings=settings)
    except ConfigError as problem:
        return _never(str(problem))
    except BaseException as problem:
        return _never(cut(f"rl.reward.kind={path!r} cannot be imported: {said(problem)}"))
    if sha256 not in ("", plugin.sha256):
        return _never(f"the source of rl.reward {path} has changed since this run was opened")

    def reward(question: str, gold: str, completion: str, answer: str | None, status: str) -> Outcome:
        graded = GradedCompletion(
            question=question, gold=gold, completion=completion, answer=answer, status=Status(status)
        )
        try:
            return _read(path, plugin(graded))
        except MemoryError:
            return Outcome(RewardStatus.ERROR, f"{path}: {MEMORY_REASON}", is_spent=True)
        except BaseException as error:
            return Outcome(RewardStatus.ERROR, cut(f"{path} raised {said(error)}"))

    return reward, ""


def _never(fault: str) -> tuple[Callable[..., Outcome], str]:
    return lambda *texts: Outcome(RewardStatus.ERROR, cut(fault)), fault


def _read(path: str, found: Any) -> Outcome:
    if not isinstance(found, Mapping):
        return _summed(path, {"": found}, None)
    parts = dict(found)
    if not 0 < len(parts) <= MOST_PARTS:
        reason = f"{path} returned {len(parts)} parts, where 1 to {MOST_PARTS} make a reward"
        return Outcome(RewardStatus.NOT_A_NUMBER, cut(reason))
    for name in parts:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            reason = f"{path} named a part {name!r}, not in 1 to {MAX_NAME_CHARS} printable characters"
            return Outcome(RewardStatus.NOT_A_NUMBER, cut(reason))
    return _summed(path, parts, parts)


def _summed(path: str, values: Mapping[str, Any], parts: Mapping[str, Any] | None) -> Outcome:
    """Of one number under the name "", or of named ones."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        of = f" for {name!r}" if name else ""
        if not isinstance(value, Real):
            reason = f"{path} returned {type(value).__name__}{of}, not a number"
            return Outcome(RewardStatus.NOT_A_NUMBER, cut(reason))
        numbers[name] = _float(value)
        if not math.isfinite(numbers[name]):
            return Outcome(RewardStatus.NOT_FINITE, cut(f"{path} returned {numbers[name]}{of}"))
    try:
        total = math.fsum(numbers.values())  # rounded once, whatever the order of the parts
    except OverflowError:
        return Outcome(RewardStatus.NOT_FINITE, cut(f"the parts that {path} returned have no finite sum"))
    return Outcome(RewardStatus.GIVEN, value=total, parts=None if parts is None else numbers)


def _float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond what a float can hold
        return math.inf
