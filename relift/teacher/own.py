"""A teacher of one's own: a function, or a class that is made first, called with a question for its solutions.

It returns one text, several or None. Calls come one after another, from a thread of its own beside training. One that
fails costs its question, with the reason in the ledger; one that never returns costs those behind it, which stay owed.
Neither is waited for any longer than ``teacher.wait_seconds``.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any

from relift.config import PluginConfig, RunConfig
from relift.config.plugin import Plugin, load_plugin, require_parameters
from relift.errors import ConfigError
from relift.records import Demonstration, FinishReason, Question, TeacherAnswer, demonstration_id
from relift.teacher.admission import admit_or_say, choose_shortest
from relift.teacher.api import Solved
from relift.verifier import Verifier
from relift.verifier.workers.comparisons import cut, said

if TYPE_CHECKING:
    from relift.policy.student import Student

LONG_SECONDS = 60.0
"""A call that takes longer is told as trouble."""
MOST_SOLUTIONS, MOST_CHARS = 64, 1_000_000
"""Of one question, and of one of them."""
FAILED, NOTHING = "teacher failed", "no solution"
"""Kinds of refusals where nothing was offered."""


def require_own_teachers(config: RunConfig) -> dict[str, str]:
    """Digests of their sources by name. Raises ConfigError for what is no teacher, or fails when it is made."""
    sources = config.teacher.sources if config.needs_teachers else ()  # else nothing is taught
    own = [(index, source) for index, source in enumerate(sources) if isinstance(source, PluginConfig)]
    return {f"teacher.sources {source.kind}": load_solver(source, index)[1] for index, source in own}


def load_solver(source: PluginConfig, index: int) -> tuple[Callable[[Question], Any], str]:
    """(what is called with a question, digest of its source) of the teacher at that index of ``teacher.sources``.

    A class is made here. Raises ConfigError.
    """
    key = f"teacher.sources.{index}"
    plugin = load_plugin(
        source.kind, kind="teacher", key=key, parameters=("question",), made_with=(), settings=source.settings
    )
    return (_made(plugin, f"{key}.kind={source.kind!r}") if inspect.isclass(plugin.target) else plugin), plugin.sha256


def _made(plugin: Plugin, what: str) -> Callable[[Question], Any]:
    made: Callable[[Question], Any] = plugin.made(what)
    rest = require_parameters(made, ("question",), what=f"{what}, once made,", kind="teacher")
    if wanted := [p.name for p in rest if p.default is p.empty and p.kind is not p.VAR_KEYWORD]:
        raise ConfigError(f"{what}, once made, wants {', '.join(wanted)} as well; it is called with a question alone")
    return made


def _texts(found: Any) -> list[Any]:
    """What it returned as a list, no longer than is looked at: a generator need not end."""
    if found is None:
        return []
    if isinstance(found, str | bytes | Mapping):
        return [found]
    texts = list(islice(found, MOST_SOLUTIONS + 1))
    if len(texts) > MOST_SOLUTIONS:
        raise ValueError(f"more than {MOST_SOLUTIONS} solutions of one question")
    return texts


def _fault(text: Any) -> str | None:
    if not isinstance(text, str):
        return f"{type(text).__name__}, no text"
    if len(text) > MOST_CHARS:
        return f"a text of {len(text)} characters, of which at most {MOST_CHARS} are looked at"
    return None


class OwnTeacher:
    """One teacher as one run uses it; its coroutines belong to one event loop."""

    def __init__(
        self,
        solver: Callable[[Question], Any],
        source: str,
        *,
        verifier: Verifier,
        student: Student,
        max_tokens: int,
    ) -> None:
        """``source``: its import path. ``max_tokens``: of a demonstration, by the student's tokenizer."""
        self._solver = solver
        self._source = source
        self._verifier = verifier
        self._student = student
        self._max_tokens = max_tokens
        self._calls: queue.SimpleQueue[tuple[Question, Future[list[Demonstration]]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._called_at: float | None = None
        """On the monotonic clock; None between two calls."""
        self._is_closing = False

    @property
    def trouble(self) -> str:
        """What keeps it from answering; empty while all is well."""
        called_at = self._called_at
        seconds = 0.0 if called_at is None else time.monotonic() - called_at
        return f"the teacher {self._source} has not answered for {seconds:.0f} s" if seconds > LONG_SECONDS else ""

    async def solve(self, question: Question, mistake: str | None = None) -> Solved:
        """What it offers, the admitted one first; cancelling it leaves a call that has begun to itself.

        It is not shown the ``mistake``.
        """
        if self._thread is None:
            # No worker of a pool: Python waits for those when it ends, and this one may never come back.
            self._thread = threading.Thread(target=self._serve, name=self._source, daemon=True)
            self._thread.start()
        future: Future[list[Demonstration]] = Future()
        self._calls.put((question, future))
        return Solved(demonstrations=await asyncio.wrap_future(future), is_final=True)

    def stop_sending(self) -> None:
        """The call under way may still end; no other begins."""
        self._is_closing = True

    async def close(self) -> None:
        """Nothing to give back."""

    def _serve(self) -> None:
        while not self._is_closing:
            question, future = self._calls.get()
            if self._is_closing or not future.set_running_or_notify_cancel():
                continue
            self._called_at = time.monotonic()
            try:
                future.set_result(self._demonstrations(question, self._called_at))
            except BaseException as problem:  # of relift's own: the queue tells it
                future.set_exception(problem)
            finally:
                self._called_at = None

    def _demonstrations(self, question: Question, began: float) -> list[Demonstration]:
        try:
            texts = _texts(self._solver(question))
        except BaseException as problem:  # SystemExit too: it ends a question, not the run
            return [self._nothing(question, f"{FAILED}: {cut(said(problem))}", began)]
        if fault := next(filter(None, map(_fault, texts)), None):
            return [self._nothing(question, f"{FAILED}: it returned {fault}", began)]
        if not texts:
            return [self._nothing(question, f"{NOTHING}: {self._source} has none", began)]
        return choose_shortest([self._admitted(question, text, began) for text in texts])

    def _admitted(self, question: Question, text: str, began: float) -> Demonstration:
        answer = TeacherAnswer(
            text=text,
            finish_reason=FinishReason.STOP,
            input_tokens=0,
            output_tokens=0,
            latency_seconds=time.monotonic() - began,
        )
        return admit_or_say(
            question,
            text,
            source=self._source,
            verifier=self._verifier,
            write=self._student.write,
            max_tokens=self._max_tokens,
            answer=answer,
        )

    def _nothing(self, question: Question, refusal: str, began: float) -> Demonstration:
        """Of an id of its own, since that of the empty text may be the dataset's, and the ledger keeps the first."""
        return Demonstration(
            id=demonstration_id(question.id, f"{self._source} {refusal}"),
            question_id=question.id,
            text="",
            source=self._source,
            tokens=0,
            latency_seconds=time.monotonic() - began,
            refusal=refusal,
        )
