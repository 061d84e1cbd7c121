"""A reward of one's own: a function of a GradedCompletion, and of its settings by name, that returns a number or named
parts whose sum is the reward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Protocol

from relift.config import OwnRewardConfig, RlConfig
from relift.config.plugin import imported_digest, load_plugin
from relift.errors import ConfigError
from relift.records import GradedCompletion, Rewarded, RewardStatus
from relift.verifier.workers.messages import MAX_BYTES, Job
from relift.verifier.workers.pool import WorkerPool
from relift.verifier.workers.process import Reply
from relift.verifier.workers.rewarding import PARAMETERS

MAX_CHARS = MAX_BYTES // 16
"""Of a completion, its question and its answers together: so many fit into a message whatever they are."""
GIVEN_UP = "not asked, since too many before it had failed"


class Reward(Protocol):
    """Gives the rewards of an iteration's completions."""

    def results(
        self, graded: Sequence[GradedCompletion], *, check: Callable[[], None]
    ) -> Iterator[tuple[int, Rewarded]]:
        """(number in ``graded``, its reward) of each, once, in the order in which they come.

        All are given at once, so that as many can be worked on at a time as there are processes, or as a server takes.
        ``check`` is called all along and may raise. A failure is a status of ``Rewarded``, never an exception.
        """
        ...

    def close(self) -> None: ...


class OwnReward:
    """The function that ``rl.reward.kind`` names, in processes that are started when first needed, and killed when one
    completion takes too long."""

    def __init__(self, config: OwnRewardConfig) -> None:
        self._max_failed_share = config.max_failed_share
        self._pool = WorkerPool(
            hard_limit_seconds=config.seconds,
            workers=config.workers,
            job=Job(
                task="reward",
                function=config.kind,
                settings=config.settings,
                sha256=imported_digest(config.kind),
                cpu_seconds=int(config.seconds) + 2,
                memory_bytes=int(config.memory_gb * (1 << 30)),
            ),
        )

    def results(
        self, graded: Sequence[GradedCompletion], *, check: Callable[[], None]
    ) -> Iterator[tuple[int, Rewarded]]:
        """As ``Reward.results``. When more than ``max_failed_share`` have failed, what is left is given up: each of
        them could take the whole time limit, and nobody will use the others."""
        numbers = [number for number, one in enumerate(graded) if _chars(one) <= MAX_CHARS]
        waiting = dict.fromkeys(range(len(graded)))
        for number in sorted(waiting.keys() - set(numbers)):
            reason = f"{_chars(graded[number])} characters, of which a reward is given at most {MAX_CHARS}"
            yield number, Rewarded(value=None, status=RewardStatus.ERROR, reason=reason)
            del waiting[number]
        may_fail = self._max_failed_share * len(graded) - (len(graded) - len(numbers))
        with closing(self._pool.replies([_texts(graded[number]) for number in numbers], check=check)) as replies:
            for index, reply in replies:
                found = _rewarded(reply)
                may_fail -= found.value is None
                del waiting[numbers[index]]
                yield numbers[index], found
                if may_fail < 0:
                    break
        for number in waiting:
            yield number, Rewarded(value=None, status=RewardStatus.ERROR, reason=GIVEN_UP)

    def fault(self) -> str:
        """Why the function cannot be called; "" when it can."""
        return self._pool.fault()

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()


def make_reward(config: RlConfig) -> Reward | None:
    """None where it follows from the verdict alone."""
    return OwnReward(config.reward) if isinstance(config.reward, OwnRewardConfig) else None


def require_reward(config: RlConfig) -> dict[str, str]:
    """Digest by name of the reward's source, none for relift's. Raises ConfigError for one that cannot be used.

    It is imported in a process that can be killed first, and with the memory that it will have.
    """
    own = config.reward
    if not isinstance(own, OwnRewardConfig):
        return {}
    with closing(OwnReward(own)) as reward:
        if fault := reward.fault():
            raise ConfigError(fault if fault.startswith("rl.reward") else f"rl.reward.kind={own.kind!r}: {fault}")
    plugin = load_plugin(own.kind, kind="reward", key="rl.reward", parameters=PARAMETERS, settings=own.settings)
    return {f"rl.reward {plugin.path}": plugin.sha256}


def _rewarded(reply: Reply) -> Rewarded:
    return Rewarded(
        value=reply.value,
        parts=tuple(reply.parts.items()),
        status=RewardStatus(reply.status),
        reason=reply.reason,
    )


def _texts(one: GradedCompletion) -> tuple[str | None, ...]:
    return (one.question, one.gold, one.completion, one.answer, one.status.value)


def _chars(one: GradedCompletion) -> int:
    return sum(len(text) for text in _texts(one) if text is not None)
