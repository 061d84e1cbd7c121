"""The process that runs math-verify: ``python -m relift.verifier.worker PARENT_PID``, spoken to over its pipes.

It may be killed at any moment. It ends by itself when its parent does, however that happened: stdin closes (seen when
idle), or a thread notices another parent (seen while computing). PR_SET_PDEATHSIG is not used: it fires when the parent
*thread* that started the worker ends, and verifying happens in threads that come and go.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from functools import lru_cache
from typing import Any, BinaryIO

from relift.records import Status
from relift.verifier.messages import HEADER, body_length, pack, unpack

PARSE_SECONDS = 2
COMPARE_SECONDS = 2
"""Whole seconds: math-verify counts them with signal.alarm and swallows the error that a fraction raises."""
CPU_SECONDS = 15
"""Of processor time for one item: where a single long C call lets no alarm through, the kernel ends the worker."""
MEMORY_BYTES = 2 << 30


class NotParsed(Exception):
    """math-verify found no mathematics in the text."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
    parent = int(sys.argv[1])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into our replies
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    import math_verify  # noqa: F401  (now, so that no item pays for it)

    _send(replies, {"ready": True})
    while (request := _receive(requests)) is not None:
        _limit_cpu()
        status, reason = _answer(request)
        _send(replies, {"status": status.value, "reason": reason})


def _answer(request: dict[str, Any]) -> tuple[Status, str]:
    """The status of one item; any failure of the library is one too."""
    from math_verify.errors import TimeoutException  # a BaseException, so that no handler in sympy swallows it

    try:
        return _compare(request["gold"], request["answer"])
    except TimeoutException:
        return Status.TIMEOUT, f"math-verify took over {COMPARE_SECONDS} s"
    except MemoryError:
        return Status.ERROR, f"math-verify needed over {MEMORY_BYTES >> 20} MiB"
    except Exception as error:
        return Status.ERROR, f"math-verify raised {type(error).__name__}"  # its text may be endless


def _compare(gold: str, answer: str) -> tuple[Status, str]:
    from math_verify import verify

    try:
        parsed_gold = _parsed_gold(gold)
    except NotParsed:
        return Status.BAD_GOLD, "math-verify cannot parse the gold answer"
    try:
        parsed_answer = _parse(answer)
    except NotParsed:
        return Status.WRONG, "no mathematics in the answer"
    is_equal = verify(
        parsed_gold,  # first: the comparison is not symmetric
        parsed_answer,
        float_rounding=6,
        numeric_precision=15,
        strict=True,
        allow_set_relation_comp=True,
        timeout_seconds=COMPARE_SECONDS,
        raise_on_error=True,
    )
    return (Status.CORRECT if is_equal else Status.WRONG), ""


@lru_cache(maxsize=256)
def _parsed_gold(gold: str) -> list[Any]:
    return _parse(gold)


def _parse(text: str) -> list[Any]:
    """Both sides are wrapped alike: bare LaTeX would be parsed as the last plain number in it."""
    from math_verify import LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        rf"\boxed{{{text}}}",
        [LatexExtractionConfig(boxed_match_priority=0)],
        parsing_timeout=PARSE_SECONDS,
        fallback_mode="no_fallback",
        raise_on_error=True,
    )
    if not parsed:
        raise NotParsed
    return parsed


def _limit_cpu() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return unpack(stream.read(body_length(header)))


def _send(stream: BinaryIO, message: dict[str, Any]) -> None:
    stream.write(pack(message))
    stream.flush()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


if __name__ == "__main__":
    main()
