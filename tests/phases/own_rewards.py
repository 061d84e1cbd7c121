"""Rewards of a user, as ``rl.reward.kind`` names them."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from relift.records import GradedCompletion, Status

FATES = ("hang", "raise", "nan", "infinite part", "text", "nothing")
not_a_function = 3


def fate_of(graded: GradedCompletion) -> str:
    """What ``two_parts`` does with a completion; "" where it rewards it, as it does with three of four."""
    number = int.from_bytes(hashlib.sha256(f"{graded.question}\n{graded.completion}".encode()).digest()[:4])
    return FATES[number // 4 % len(FATES)] if number % 4 == 0 else ""


def parts_of(graded: GradedCompletion, weight: float) -> dict[str, float]:
    right = float(graded.status is Status.CORRECT and graded.answer is not None)
    return {"right": right, "short": weight / (1 + len(graded.completion))}


def two_parts(graded: GradedCompletion, *, weight: float = 0.5) -> object:
    fate = fate_of(graded)
    if fate:
        return by_word(GradedCompletion(question="", gold="", completion=fate, answer=None, status=Status.WRONG))
    return parts_of(graded, weight)


def by_word(graded: GradedCompletion) -> object:
    """Does what the completion says."""
    word = graded.completion
    if word == "hang":
        time.sleep(600)
    if word == "raise":
        raise ValueError("cannot read it")
    if word == "exit":
        raise SystemExit(3)
    if word == "vanish":
        os._exit(7)
    if word == "fork" and os.fork() == 0:
        return -99.0  # the child comes back as well
    if word.startswith("child "):
        Path(word.removeprefix("child ")).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        time.sleep(600)
    if word == "print":
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
        os._exit(7)
    if word == "fill":
        return len(bytearray(8 << 30))
    results: Mapping[str, object] = {
        "nan": math.nan,
        "infinite part": {"a": 1.0, "b": math.inf},
        "no finite sum": {"a": 1e308, "b": 1e308},
        "vast": 10**400,
        "text": "1.0",
        "text part": {"a": "1.0"},
        "nothing": None,
        "no parts": {},
        "no name": {3: 1.0},
        "unprintable": {"a\ud800": 1.0},
        "fork": 0.5,
        "whole": 2,
        "true": True,
        "parts": {"b": 0.25, "a": -1},
    }
    return results[word]


def length(graded: GradedCompletion) -> int:
    return len(graded.completion)


def needs_another(answer: str) -> float:
    return len(answer)
