"""The process that runs math-verify, or a function of the user: ``python -m ...workers.worker PARENT_PID JOB``.

It is spoken to over its pipes.

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
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from relift.records import Status
from relift.verifier.workers import symbolic
from relift.verifier.workers.comparisons import MEMORY_REASON, Compare, Outcome, number_comparison, own_comparison
from relift.verifier.workers.messages import HEADER, Job, body_length, pack, unpack

SPENT_BYTES = 512 << 20
"""A worker that holds more after an item is replaced; a thousand ordinary ones take it to about 150 MB."""
MAX_PRINTED_BYTES = 1 << 20


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the parent decides
    parent, job = int(sys.argv[1]), Job.from_json(sys.argv[2])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    requests, replies = _own_pipes()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, job.memory_bytes)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    compare, fault = _comparison(job)
    _send(replies, {"ready": True, "fault": fault})
    me = os.getpid()
    while (request := _receive(requests)) is not None:
        for texts in request["items"]:
            _limit_cpu(job.cpu_seconds)
            reply = _answer(compare, texts)
            if os.getpid() != me:
                os._exit(0)  # a function forked and came back in the child as well, which must not answer
            _send(replies, reply)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Requests and replies, kept from whoever reads standard input or prints in this process."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _comparison(job: Job) -> tuple[Callable[..., Outcome], str]:
    """What compares here and "", or why nothing can be compared; imports now what no item shall pay for."""
    if job.task == "callable":
        return own_comparison(job.function)
    if job.task == "reward":
        from relift.verifier.workers.rewarding import own_reward

        return own_reward(job.function, job.settings, job.sha256)
    import math_verify  # noqa: F401

    return _guarded(number_comparison(job.tolerance, _parsed_or_none) if job.task == "number" else symbolic.compare), ""


def _parsed_or_none(text: str) -> list[Any] | None:
    try:
        return symbolic.parse_text(text)
    except symbolic.NotParsed:
        return None


def _guarded(compare: Callable[[str, str], tuple[Status, str]]) -> Compare:
    """The same with a status for every failure of the library.

    Some of them spend the worker: an alarm or a full stack strikes sympy anywhere, for instance where it has noted
    "unknown" about a cached object and not yet the truth, and later answers would be compared with that.
    """
    from math_verify.errors import TimeoutException  # a BaseException, so that no handler in sympy swallows it

    def compare_guarded(gold: str, answer: str) -> Outcome:
        try:
            return Outcome(*compare(gold, answer))
        except TimeoutException:
            return Outcome(Status.TIMEOUT, f"math-verify took over {symbolic.COMPARE_SECONDS} s", is_spent=True)
        except (MemoryError, RecursionError) as error:
            reason = MEMORY_REASON if isinstance(error, MemoryError) else "math-verify raised RecursionError"
            return Outcome(Status.ERROR, reason, is_spent=True)
        except Exception as error:  # its text may be endless
            return Outcome(Status.ERROR, f"math-verify raised {type(error).__name__}")

    return compare_guarded


def _answer(compare: Callable[..., Outcome], texts: Sequence[str | None]) -> dict[str, Any]:
    began = time.perf_counter()
    found = compare(*texts)
    seconds = time.perf_counter() - began
    is_spent = found.is_spent or _resident_bytes() > SPENT_BYTES
    reply = {"status": found.status.value, "reason": found.reason, "seconds": seconds, "is_spent": is_spent}
    return reply if found.value is None else {**reply, "value": found.value, "parts": found.parts}


def _limit(which: int, value: int) -> None:
    """Sets a limit of this process, never above what it was given; some systems take none on address space."""
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))


def _limit_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _resident_bytes() -> int:
    """Memory in use; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as numbers:  # noqa: PTH123  (read after every item: a tenth of the time)
            return int(numbers.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _forget_what_was_printed() -> None:
    """Standard error is a file that the parent reads when this process ends; what prints on and on must not fill it."""
    if os.fstat(2).st_size > MAX_PRINTED_BYTES:
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return unpack(stream.read(body_length(header)))


def _send(stream: BinaryIO, message: dict[str, Any]) -> None:
    stream.write(pack(message))
    stream.flush()


def _end_with(parent: int) -> None:
    """Ends this process when its parent has, and what a function started in it."""
    while os.getppid() == parent:
        with suppress(OSError):  # a function may have closed it
            _forget_what_was_printed()
        time.sleep(0.25)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
