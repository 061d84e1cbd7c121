"""Functions that a user might name as questions.answer_callable; each is called as function(gold, answer)."""

from __future__ import annotations

import os
import time

not_a_function = 3


def same(gold: str, answer: str) -> bool:
    return gold == answer


def by_word(gold: str, answer: str) -> bool:
    """Does what the answer says, and is otherwise ``same``."""
    word, _, rest = answer.partition(" ")
    if word == "raise":
        raise ValueError(f"cannot read {rest}")
    if word == "exit":
        raise SystemExit(3)
    if word == "vanish":
        os._exit(7)
    if word == "sleep":
        time.sleep(float(rest))
        return True
    if word == "spin":
        while True:
            pass
    if word == "fill":
        return len(bytearray(8 << 30)) > 0
    if word == "print":
        print("x" * int(rest))
        return True
    if word == "read":
        return input() == gold
    return same(gold, answer)


def says_yes(gold: str, answer: str) -> str:
    return "yes"


def number_of_this_process(gold: str, answer: str) -> bool:
    return int(gold) != os.getpid()


def verdicts_in_this_process(gold: str, answers: list[str]) -> list[str]:
    """Called in processes that multiprocessing started."""
    from relift.verifier import Verifier

    with Verifier("boxed", workers=1) as verifier:
        return [verdict.status.value for verdict in verifier.compare_batch([(gold, answer) for answer in answers])]
