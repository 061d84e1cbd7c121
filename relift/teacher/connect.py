"""Opening the teachers of a run: the server is asked once, before any work starts."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from relift.config import ApiTeacherConfig, PluginConfig, RunConfig
from relift.errors import LedgerError
from relift.ledger import Ledger, spent_usd_in
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.policy.student import Student
from relift.records import Question
from relift.store import Store
from relift.store.uris import is_bucket
from relift.teacher.answers import project_answers
from relift.teacher.api import ApiTeacher
from relift.teacher.client import ApiClient
from relift.teacher.dataset import DatasetTeacher
from relift.teacher.imported import ImportedTeacher
from relift.teacher.intervention import interventions_of
from relift.teacher.own import OwnTeacher, load_solver
from relift.teacher.prompt import requests_for
from relift.teacher.queue import Teacher, TeacherQueue
from relift.verifier import Verifier

log = logging.getLogger(__name__)


STAND_IN = Question(id="", text="What is 1+1?", answer="2", source="")
"""Asked at the start where no question of the run is known yet."""


def connect(
    config: RunConfig, student: Student, earlier: Store | None, *, question: Question = STAND_IN
) -> ApiClient | None:
    """The API that the recipe names, asked ``question`` just as the run will ask; None where none is needed.

    ``earlier``: the store that holds what the run has spent before; None where it begins anew.
    Raises TeacherError for a missing or refused key, an unknown model, and a server that is down though required.
    """
    api = config.teacher.api
    if api is None or not config.needs_teachers:
        return None
    client = ApiClient(api)
    request = requests_for(
        question,
        api,
        form=config.questions.answer_form,
        max_tokens=config.teacher.max_tokens,
        thinks=student.thinks,
    )[0]
    trouble = client.check(request, left_usd=_left_usd(api, earlier))
    if trouble is not None:
        log.warning("%s The run begins without it (teacher.api.required=false) and asks again.", trouble)
    return client


def _left_usd(api: ApiTeacherConfig, earlier: Store | None) -> float | None:
    """Of the budget, by the ledger that the run goes on with; None without a limit, 0 where it cannot be read."""
    if api.budget_usd is None or earlier is None:
        return api.budget_usd
    try:
        return api.budget_usd - _spent_usd(earlier)
    except LedgerError:  # said when the run opens it
        return 0.0


def _spent_usd(store: Store) -> float:
    """By the ledger here and the snapshot in the store, which may be that of another machine."""
    here = store.root / LEDGER
    spent = spent_usd_in(here) if here.exists() else 0.0
    if (here.exists() and not is_bucket(store.uri)) or (published := store.read_file(SNAPSHOT)) is None:
        return spent
    with tempfile.TemporaryDirectory() as folder:
        snapshot = Path(folder) / SNAPSHOT
        snapshot.write_bytes(published)
        return max(spent, spent_usd_in(snapshot))


def open_queue(
    config: RunConfig, client: ApiClient | None, *, verifier: Verifier, student: Student, ledger: Ledger
) -> TeacherQueue:
    """What was imported, then the teachers of ``teacher.sources`` in order; without a client those that need none."""
    teachers: list[Teacher] = []
    if config.needs_teachers:
        teachers.append(ImportedTeacher(config, ledger.run, verifier=verifier, student=student))
    max_tokens = config.teacher.max_tokens
    for index, source in enumerate(config.teacher.sources):
        if source == "dataset":
            teachers.append(DatasetTeacher(config.questions, verifier=verifier, student=student, max_tokens=max_tokens))
        elif isinstance(source, PluginConfig):
            if config.needs_teachers:
                solver, _ = load_solver(source, index)
                teachers.append(
                    OwnTeacher(solver, source.kind, verifier=verifier, student=student, max_tokens=max_tokens)
                )
        elif client is not None:
            teachers.append(
                ApiTeacher(
                    client,
                    requests=ledger.requests,
                    answers=project_answers(config.store, ledger.run),
                    verifier=verifier,
                    student=student,
                    max_tokens=max_tokens,
                    interventions=interventions_of(config),
                )
            )
    return TeacherQueue(teachers)
