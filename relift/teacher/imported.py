"""The teacher that nobody pays: solutions that `relift ledger import` put beside the runs."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from relift.config import RunConfig
from relift.errors import UserError
from relift.ledger.imported import PREFIX, ImportedSolution, imported_solutions, imports_in
from relift.policy.student import Student
from relift.questions.solutions import render_solution
from relift.records import Demonstration, Question
from relift.store.uris import is_bucket
from relift.teacher.admission import admit, choose_shortest
from relift.verifier import Verifier

log = logging.getLogger(__name__)
LOOK_SECONDS = 30.0
"""Between two looks for new imports, so that people can hand in solutions while a run trains."""


class ImportedTeacher:
    """Offers what was imported for a run; free and at once, and by the run's own rules of admission."""

    def __init__(
        self,
        config: RunConfig,
        run: str,
        *,
        verifier: Verifier,
        student: Student,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Raises LedgerError or StoreError where an import is there and cannot be read."""
        self._config = config
        self._run = run
        self._verifier = verifier
        self._student = student
        self._look_seconds = look_seconds
        self._read: set[Path] = set()
        self._solutions: dict[str, list[ImportedSolution]] = {}
        self._looked = 0.0
        self._look()

    def demonstrations(self, questions: Sequence[Question]) -> list[Demonstration]:
        """What is offered for the questions, the admitted one of each first; nothing where nothing was imported."""
        if time.monotonic() - self._looked >= self._look_seconds:
            try:
                self._look()
            except UserError as problem:  # what was imported while training must not end it
                log.warning("new imports are left out for now: %s", problem)
        return [demonstration for question in questions for demonstration in self._imported(question)]

    def _imported(self, question: Question) -> list[Demonstration]:
        return choose_shortest([self._admit(question, one) for one in self._solutions.get(question.id, ())])

    def _admit(self, question: Question, solution: ImportedSolution) -> Demonstration:
        asked = dataclasses.replace(question, solution=solution.text)
        return admit(
            asked,
            render_solution(asked, self._config.questions),
            source=solution.source,
            verifier=self._verifier,
            write=self._student.write,
            max_tokens=self._config.teacher.max_tokens,
        )

    def _look(self) -> None:
        self._looked = time.monotonic()
        for path in imports_in(_folder_of(self._config)):
            if path not in self._read:
                for solution in imported_solutions(path, self._run):
                    self._solutions.setdefault(solution.question_id, []).append(solution)
                self._read.add(path)


def _folder_of(config: RunConfig) -> Path:
    if not is_bucket(config.store):
        return Path(config.store).expanduser()
    from relift.store.bucket import Bucket
    from relift.store.snapshots import refresh_runs

    folder = Path(config.scratch).expanduser() / ".imports"
    refresh_runs(Bucket(config.store), folder, called=PREFIX)
    return folder
