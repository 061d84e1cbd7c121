"""Opening the teachers of a run: the server is asked once, before any work starts."""

from __future__ import annotations

import logging

from relift.config import RunConfig
from relift.ledger import Ledger
from relift.policy.student import Student
from relift.teacher.answers import project_answers
from relift.teacher.api import ApiTeacher
from relift.teacher.client import ApiClient
from relift.teacher.dataset import DatasetTeacher
from relift.teacher.desk import Teacher, TeacherDesk
from relift.teacher.imported import ImportedTeacher
from relift.verifier import Verifier

log = logging.getLogger(__name__)


def connect(config: RunConfig) -> ApiClient | None:
    """The API that the recipe names, asked whether it is there; None where none is needed.

    Raises TeacherError for a missing or refused key, an unknown model, and a server that is down though required.
    """
    if config.teacher.api is None or config.sft is None:
        return None
    client = ApiClient(config.teacher.api)
    trouble = client.check()
    if trouble is not None:
        log.warning("%s The run begins without it (teacher.api.required=false) and asks again.", trouble)
    return client


def open_desk(
    config: RunConfig, client: ApiClient | None, *, verifier: Verifier, student: Student, ledger: Ledger
) -> TeacherDesk:
    """What was imported, then the teachers of ``teacher.sources`` in order; without a client those that need none."""
    teachers: list[Teacher] = []
    if config.sft is not None:
        teachers.append(ImportedTeacher(config, ledger.run, verifier=verifier, student=student))
    for source in config.teacher.sources:
        if source == "dataset":
            teachers.append(
                DatasetTeacher(
                    config.questions, verifier=verifier, student=student, max_tokens=config.teacher.max_tokens
                )
            )
        elif client is not None:
            teachers.append(
                ApiTeacher(
                    client,
                    requests=ledger.requests,
                    answers=project_answers(config.store, ledger.run),
                    verifier=verifier,
                    student=student,
                    max_tokens=config.teacher.max_tokens,
                )
            )
    return TeacherDesk(teachers)
