"""A harvest: the open questions of a project's ledgers are put to the teachers, without training.

What it finds lies in a ledger of its own, and every answer with the project: the run that needs it later finds it there
and pays nothing. Running it again asks for what is open then.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from relift.config import RunConfig
from relift.errors import ConfigError, DataError
from relift.interrupt import StopFlag
from relift.ledger import Ledger, RequestTotals, RunStatus, named_query, query, snapshots, write_init_script
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.questions import load_questions
from relift.records import Question
from relift.run.identity import run_store
from relift.run.lock import RunLock
from relift.run.run import SNAPSHOT_SECONDS, RunRef
from relift.store import Store
from relift.store.manifest import digest
from relift.teacher.connect import connect, open_desk
from relift.teacher.queue import DRAIN_SECONDS, TeacherDesk
from relift.verifier import Verifier
from relift.verifier.configured import make_verifier, require_comparison

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


_open_harvests: dict[str, Harvest] = {}


def resolve(ref: RunRef) -> Harvest:
    """The harvest that this process holds open under a reference."""
    return _open_harvests[ref.uri]


def is_open(ref: RunRef) -> bool:
    return ref.uri in _open_harvests


@dataclass(slots=True, kw_only=True)
class Harvest:
    """An open harvest; ``open_harvest`` makes it, leaving its context closes it."""

    name: str
    config: RunConfig
    store: Store
    lock: RunLock
    ledger: Ledger
    verifier: Verifier
    teachers: TeacherDesk
    stop: StopFlag
    asked: set[str] = dataclasses.field(default_factory=set)
    solved: set[str] = dataclasses.field(default_factory=set)
    refused: int = 0
    patience_seconds: float = PATIENCE_SECONDS
    in_trouble_since: float | None = None
    """On the monotonic clock; None while the teachers answer."""
    is_complete: bool = False

    @property
    def root(self) -> Path:
        return self.store.root

    @property
    def ref(self) -> RunRef:
        return RunRef(uri=str(self.root), name=self.name)

    def __enter__(self) -> Self:
        _open_harvests[self.ref.uri] = self
        return self

    def __exit__(self, *exc: object) -> None:
        _open_harvests.pop(self.ref.uri, None)
        self.teachers.close(0.5 if self.stop.is_set else DRAIN_SECONDS)
        self.verifier.close()
        self.ledger.close()
        try:
            self.store.release()
        finally:
            self.lock.release()

    def publish(self) -> None:
        self.ledger.publish(self.root / SNAPSHOT, lambda: self.stop.check(after_seconds=SNAPSHOT_SECONDS))
        self.store.put_file(SNAPSHOT)

    def complete(self) -> None:
        """Say in the ledger that it is done, and publish it; a second call does nothing."""
        if not self.is_complete:
            self.ledger.set_status(RunStatus.FINISHED)
            self.publish()
            write_init_script(self.root.parent)
            self.is_complete = True

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
            key = f"{self.name}/harvest/{digest([d.id for d in demonstrations])}"
            self.ledger.record_demonstrations(key, 0, demonstrations)
            self.solved.update(d.question_id for d in demonstrations if d.is_admitted)
            self.refused += sum(not d.is_admitted for d in demonstrations)
        self.teachers.delivered(demonstrations)
        return 0 if self._is_out_of_patience() else busy

    def report(self) -> HarvestReport:
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


def open_harvest(config: RunConfig, name: str, *, stop: StopFlag | None = None) -> Harvest:
    """Raises a UserError for whatever a user can cause, before anything is asked."""
    from relift.policy.model import load_student

    if not config.teaches:
        raise ConfigError("a harvest looks for demonstrations, and sft is off in this recipe: leave sft=off out")
    stop = stop or StopFlag()
    store = run_store(config, name)
    student = load_student(config.policy)
    lock = RunLock(store.root / "lock")
    verifier = make_verifier(config, think_opened=student.thinks)
    with ExitStack() as undo:
        undo.callback(lock.withdraw)
        undo.callback(store.release)
        undo.callback(verifier.close)
        require_comparison(config, verifier)
        lock.acquire()
        store.acquire(stop)
        api = connect(config, student, store)  # the last check, since to ask costs something
        store.fetch_file(SNAPSHOT)
        ledger = Ledger.open(store.root / LEDGER, name, else_from=store.root / SNAPSHOT)
        undo.callback(ledger.close)
        ledger.record_run(
            f"{name}/run",
            config_json=config.model_dump_json(),
            base_model=config.policy.model,
            code_version=version("relift"),
        )
        harvest = Harvest(
            name=name,
            config=config,
            store=store,
            lock=lock,
            ledger=ledger,
            verifier=verifier,
            teachers=open_desk(config, api, verifier=verifier, student=student, ledger=ledger),
            stop=stop,
        )
        # At once, since its ledger is what a harvest begins with: from here on the working copy of a bucket is kept.
        harvest.publish()
        undo.pop_all()
    return harvest


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
