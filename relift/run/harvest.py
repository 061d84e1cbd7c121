"""A harvest: the open questions of a project's ledgers are put to the teachers, without training.

What it finds lies in a ledger of its own, and every answer with the project: the run that needs it later finds it there
and pays nothing. Running it again asks for what is open then.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relift.config import RunConfig
from relift.errors import DataError
from relift.ledger import RequestTotals, named_query, query, snapshots
from relift.questions import load_questions
from relift.records import Question
from relift.run.session import Session
from relift.store.manifest import digest

log = logging.getLogger(__name__)
SPLIT = "harvest"
"""Of the questions in a harvest's ledger."""
PATIENCE_SECONDS = 600.0
"""With teachers that do not answer; what they owe then is left to the next harvest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestReport:
    """What a harvest came to, e.g. open 40, solved 36, refused 9, owed 0."""

    name: str
    open: int
    """Questions without a demonstration at its start, that it asked for."""
    solved: int
    """Of them, those that have one now."""
    refused: int
    """Solutions that were offered and not admitted."""
    owed: int
    """Questions that the teachers did not answer: they were down, refused them, or the budget was spent."""
    answered: int
    bought: int
    """Answered in this harvest's ledger, and of these by a server rather than by an earlier run's answer."""
    cost_usd: float
    trouble: str
    """What kept teachers from answering at the end; empty where nothing did."""


@dataclass(slots=True, kw_only=True)
class Harvest(Session):
    """An open harvest; ``open_harvest`` makes it."""

    asked: set[str] = dataclasses.field(default_factory=set)
    solved: set[str] = dataclasses.field(default_factory=set)
    refused: int = 0
    patience_seconds: float = PATIENCE_SECONDS
    in_trouble_since: float | None = None
    """On the monotonic clock; None while the teachers answer."""

    def ask(self, limit: int) -> int:
        """Hand in the open questions of the project, at most so many; how many these are."""
        questions = self._as_in_dataset(open_questions(project_folder(self.config), limit))
        ids = [question.id for question in questions]
        self.ledger.record_questions(f"{self.name}/questions/{digest(ids)}", questions, split=SPLIT)
        self.asked.update(ids)
        self.teachers.ask(questions)
        return len(questions)

    def collect(self, seconds: float) -> int:
        """Wait so long at most, record what has come; how many questions the teachers are still busy with.

        0 also where they have not answered for ``patience_seconds``: the report then says what they owe, and why.
        """
        self.teachers.wait(seconds, self.stop.check, in_trouble=True)
        busy = self.teachers.busy
        demonstrations, _ = self.teachers.pick_up()
        if demonstrations:
            batch_key = f"{self.name}/harvest/{digest([d.id for d in demonstrations])}"
            self.ledger.record_demonstrations(batch_key, 0, demonstrations)
            self.solved.update(d.question_id for d in demonstrations if d.is_admitted)
            self.refused += sum(not d.is_admitted for d in demonstrations)
        self.teachers.delivered(demonstrations)
        return 0 if self._is_out_of_patience() else busy

    def report(self) -> HarvestReport:
        """Its figures, which are final: the teachers are asked nothing more."""
        self.dismiss_teachers()
        self.collect(0.0)
        _, owed = self.teachers.pick_up()
        totals: RequestTotals = self.ledger.requests.totals()
        return HarvestReport(
            name=self.name,
            open=len(self.asked),
            solved=len(self.solved),
            refused=self.refused,
            owed=len(owed),
            answered=totals.answered,
            bought=totals.bought,
            cost_usd=totals.cost_usd,
            trouble=self.teachers.trouble,
        )

    def _is_out_of_patience(self) -> bool:
        trouble, now = self.teachers.trouble, time.monotonic()
        if not trouble:
            if self.in_trouble_since is not None:
                log.warning("the teacher answers again")
            self.in_trouble_since = None
            return False
        if self.in_trouble_since is None:
            log.warning("%s", trouble)
            self.in_trouble_since = now
        return now - self.in_trouble_since >= self.patience_seconds

    def _as_in_dataset(self, questions: Sequence[Question]) -> list[Question]:
        """With their solutions and with what their rows say before them, neither of which a ledger holds."""
        config, evaluation = self.config, self.config.evaluation
        is_source = "dataset" in config.teacher.sources
        if not questions or (config.questions.format == "arithmetic" and not is_source):
            return list(questions)
        try:
            loaded = load_questions(
                config.questions,
                seed=config.seed,
                verifier=self.verifier,
                held_out_per_family=evaluation.questions if evaluation else 0,  # of which the training questions depend
            )
        except DataError as problem:
            if is_source:
                raise
            log.warning("teachers are not told what rows of the dataset say before a question: %s", problem)
            return list(questions)
        return [loaded.by_id.get(question.id, question) for question in questions]


def open_questions(store: Path, limit: int) -> list[Question]:
    """Hard questions that no run in the folder has a demonstration for; none where no run has published a ledger."""
    if not snapshots(store):
        return []
    found = query(store, named_query("open").sql, max_rows=limit, own_alone=True)
    return [
        Question(id=row["question_id"], text=row["text"], answer=row["gold"], source=row["source"])
        for row in (dict(zip(found.columns, values, strict=True)) for values in found.rows)
    ]


def project_folder(config: RunConfig) -> Path:
    """Where the published ledgers of the project can be opened; those of a bucket are copied there first."""
    from relift.store.snapshots import ledgers_folder

    return ledgers_folder(config.store, Path(config.scratch).expanduser() / ".project")
