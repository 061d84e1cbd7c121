"""Where questions are handed in and demonstrations picked up, beside training and never waited for.

ask --> imported, dataset --> arrived -----------------> pick_up() --> delivered()
           `-----> api, own (own thread, own event loop) -^
                      `--> waits: down, or out of budget; asked again with the next ask()
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from relift.records import Demonstration, Question
from relift.teacher.api import ApiTeacher
from relift.teacher.background import Background
from relift.teacher.dataset import DatasetTeacher
from relift.teacher.imported import ImportedTeacher
from relift.teacher.own import OwnTeacher

log = logging.getLogger(__name__)
Beside = ApiTeacher | OwnTeacher
"""Teachers that take their time, beside training."""
Teacher = ImportedTeacher | DatasetTeacher | Beside
LOOK_SECONDS = 0.05
"""Between two looks at the stop flag while waiting."""
DRAIN_SECONDS = 2.0
"""For what is under way when the run closes: it is paid for, so its answer is better kept."""


class TeacherQueue:
    """The teachers of a run, in their order; a question goes on to the next one until it is solved.

    May be used from any thread. Whatever arrived stays until it is called delivered.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self._teachers = tuple(teachers)
        self._changed = threading.Condition()
        self._open: dict[str, Question] = {}
        self._active: set[str] = set()
        self._position: dict[str, int] = {}
        """In the order of asking, so that what arrives does not depend on who was answered first; forgotten with what
        is delivered, since a resumed run does not know who was asked long ago either."""
        self._positions = itertools.count()
        self._arrived: dict[str, list[Demonstration]] = {}
        self._fault: BaseException | None = None
        self._is_answering = False
        self._background = Background()

    @property
    def trouble(self) -> str:
        """What keeps teachers from answering; empty while all is well."""
        return "; ".join(t.trouble for t in self._teachers if isinstance(t, Beside) and t.trouble)

    def ask(self, questions: Sequence[Question], mistakes: Mapping[str, str] = MappingProxyType({})) -> None:
        """Hand in questions; imports and the dataset answer at once, everything else goes on behind this call.

        ``mistakes``: wrong completions by question id, of which an API is asked for one step in place of a solution.

        A question that is being asked, or whose demonstrations were not delivered yet, is not asked a second time.
        """
        for question in questions:
            with self._changed:
                if question.id in self._active or question.id in self._arrived:
                    continue
            found, rest = self._at_once(question)
            with self._changed:
                self._position.setdefault(question.id, next(self._positions))
                if not rest:
                    self._arrived[question.id] = found
                    self._open.pop(question.id, None)
                    continue
                self._open[question.id] = question
                self._active.add(question.id)
            self._background.start(self._solve(question, mistakes.get(question.id), found, rest))

    @property
    def busy(self) -> int:
        """Questions that are being asked; not those that wait for a better day."""
        with self._changed:
            return len(self._active)

    def wait(self, seconds: float, check: Callable[[], None] = lambda: None, *, in_trouble: bool = False) -> None:
        """Until nothing is being asked any more: as long as ``answering`` lasts, and ``seconds`` beyond.

        Ends at once where a teacher is down or its budget spent, unless ``in_trouble``. ``check`` may raise to end it.
        Raises what went wrong in the background.
        """
        deadline: float | None = None
        while True:
            check()
            with self._changed:
                self._raise_fault()
                if not self._active:
                    return
                if not self._is_answering:
                    deadline = time.monotonic() + seconds if deadline is None else deadline
                    if time.monotonic() >= deadline or (self.trouble and not in_trouble):
                        return
                self._changed.wait(LOOK_SECONDS)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Around the RL update: as long as it lasts, waiting for teachers costs nothing."""
        self._is_answering = True
        try:
            yield
        finally:
            with self._changed:
                self._is_answering = False
                self._changed.notify_all()

    def pick_up(self) -> tuple[list[Demonstration], list[str]]:
        """(all that has come and was not delivered, ids of the questions that are still owed an answer).

        Demonstrations stand question by question, the admitted one before the refused.
        """
        with self._changed:
            self._raise_fault()
            in_order = sorted(self._arrived, key=self._position.__getitem__)
            return [d for question in in_order for d in self._arrived[question]], list(self._open)

    def delivered(self, demonstrations: Sequence[Demonstration]) -> None:
        """These are recorded: the queue forgets them."""
        with self._changed:
            for demonstration in demonstrations:
                self._arrived.pop(demonstration.question_id, None)
                self._position.pop(demonstration.question_id, None)

    def close(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """End everything in the background, within a few seconds; harmless when closed already."""
        beside = [t for t in self._teachers if isinstance(t, Beside)]
        for teacher in beside:
            teacher.stop_sending()
        self._background.close(drain_seconds, [teacher.close for teacher in beside])

    def _at_once(self, question: Question) -> tuple[list[Demonstration], tuple[Teacher, ...]]:
        """What the teachers offer that need no waiting, and those still to ask."""
        found: list[Demonstration] = []
        for position, teacher in enumerate(self._teachers):
            if isinstance(teacher, Beside):
                return found, self._teachers[position:]
            found = teacher.demonstrations([question]) + found
            if found and found[0].is_admitted:
                break
        return found, ()

    async def _solve(
        self, question: Question, mistake: str | None, found: list[Demonstration], teachers: Sequence[Teacher]
    ) -> None:
        """Ask the remaining teachers; runs in the background loop."""
        is_final = True
        try:
            for teacher in teachers:
                if isinstance(teacher, Beside):
                    solved = await teacher.solve(question, mistake)
                    latest, is_final = solved.demonstrations, is_final and solved.is_final
                else:
                    latest = await asyncio.to_thread(teacher.demonstrations, [question])
                found = latest + found
                if any(d.is_admitted for d in latest):
                    is_final = True
                    break
        except Exception as problem:  # told to whoever looks next: nobody awaits this coroutine
            with self._changed:
                self._fault = problem
        with self._changed:
            self._active.discard(question.id)
            if is_final and self._fault is None:
                self._open.pop(question.id, None)
                self._arrived[question.id] = found
            self._changed.notify_all()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
