"""The workers of a verifier: started when first needed, shared by all threads, killed and replaced when they hang."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from relift.verifier.workers.batch import Batch
from relift.verifier.workers.lending import Workers
from relift.verifier.workers.process import Item, Reply


class WorkerPool(Workers):
    """Compares answers in subprocesses, as many at a time as there are workers; from any thread.

    There is no thread of its own: whoever asks waits in his own thread, so that an interrupt, a cancellation or an
    exception there stops it at once, and what was being computed is killed. A hang costs the one answer that hung. A
    worker that dies is replaced and its answer asked once more, since it may also be killed from outside; an answer
    that kills it twice gets the status ``error``.
    """

    def compare(self, gold: str, answer: str) -> Reply:
        """Status correct, wrong, bad_gold, timeout or error; both sides are bare, normalised and bounded."""
        with closing(self.replies([(gold, answer)])) as replies:
            return next(replies)[1]

    def replies(
        self, items: Sequence[tuple[str | None, ...]], *, check: Callable[[], None] = lambda: None
    ) -> Generator[tuple[int, Reply], None, None]:
        """(number, reply) of every item, such as a (gold, answer) pair, in the order in which they come.

        ``check`` is called at least ten times a second and may raise. To leave early, close the generator: what is
        still being compared is killed. Raises Interrupted when the pool is closed meanwhile.
        """
        self.own()
        numbered = [Item(number=number, texts=texts) for number, texts in enumerate(items)]
        yield from Batch(self, numbered, check).replies()

    def fault(self, check: Callable[[], None] = lambda: None) -> str:
        """Why a worker can compare nothing, such as a function that cannot be imported; "" when it can."""
        with closing(Batch(self, [], check)) as batch:
            return batch.fault()
