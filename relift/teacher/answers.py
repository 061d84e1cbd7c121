"""Answers of teachers that cross runs: one JSON object a request, named by the request's key.

No two runs of a project pay for the same answer, and a harvest's answers wait for the run that will need them.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, Field, ValidationError

from relift.errors import StoreError
from relift.records import FinishReason, TeacherAnswer, TeacherRequest
from relift.store.uris import is_bucket, require_uri

log = logging.getLogger(__name__)
FORMAT = 1
FOLDER = ".teacher"


class _Stamp(BaseModel, strict=True, frozen=True):
    format: int


class _StoredAnswer(_Stamp):
    """An object as it is read: anybody who may write to the store can have written it."""

    run: str | None = None
    model: str
    prompt: str
    text: str
    finish_reason: Literal["stop", "length"]
    input_tokens: int = Field(ge=0, le=2**31 - 1)
    output_tokens: int = Field(ge=0, le=2**31 - 1)
    cost_usd: float = Field(ge=0, allow_inf_nan=False)


class Objects(Protocol):
    """Small immutable objects by name; whatever a store is made of can be one."""

    def get(self, name: str) -> bytes | None:
        """None where there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Whole or not at all."""


class FolderObjects:
    """Objects as files of a folder that is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Raises StoreError when the disk is full or the folder cannot be written."""
        # Several runs may write the same answer at once: each has a partial file of its own.
        partial = self.folder / f"{name}.{os.getpid()}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(self.folder / name)
        except OSError as problem:
            raise StoreError(
                f"{self.folder} cannot be written ({problem.strerror}): the teachers' answers are kept there, so that "
                f"they are paid for once. Check its permissions and free space."
            ) from problem


class BucketObjects:
    """Objects below a prefix of an S3 bucket."""

    def __init__(self, uri: str) -> None:
        from relift.store.bucket import Bucket

        self._bucket = Bucket(uri)

    def get(self, name: str) -> bytes | None:
        found = self._bucket.get(name)
        return None if found is None else found.content

    def put(self, name: str, content: bytes) -> None:
        self._bucket.put(name, content)


def project_answers(store: str, run: str) -> AnswerStore:
    """The answers kept beside the runs of a store, a folder or a bucket: no run is ever called like theirs."""
    if is_bucket(store):
        return AnswerStore(BucketObjects(f"{require_uri(store)}/{FOLDER}"), run)
    return AnswerStore(FolderObjects(Path(store).expanduser() / FOLDER), run)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer that was paid for, and whether the run that asks now did."""

    answer: TeacherAnswer
    """Its cost is 0 where another run paid."""
    is_own: bool


class AnswerStore:
    """The project's answers, as one run uses them."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._objects = objects
        self._run = run

    def find(self, request: TeacherRequest) -> KeptAnswer | None:
        """None where there is none that can be read. Raises StoreError for one that a newer version wrote."""
        content = self._objects.get(_name(request))
        if content is None:
            return None
        try:
            stamp = _Stamp.model_validate_json(content)
            if stamp.format > FORMAT:
                raise StoreError(
                    f"the teachers' answer {_name(request)} has format {stamp.format}, this relift reads up to "
                    f"{FORMAT}: it was written by a newer version, and to ask again is to pay again. Upgrade relift."
                )
            stored = _StoredAnswer.model_validate_json(content)
        except ValidationError as problem:
            fault = problem.errors(include_input=False, include_url=False, include_context=False)[0]
            why = ": ".join([*(str(part) for part in fault["loc"]), fault["msg"]])
            log.warning("the stored answer %s is damaged (%s) and is asked for again", _name(request), why)
            return None
        if (stored.model, stored.prompt) != (request.model, request.prompt):
            return None
        # A run that goes on where its ledger is not the newest has paid for more than it remembers.
        is_own = stored.run == self._run
        answer = TeacherAnswer(
            text=stored.text,
            finish_reason=FinishReason(stored.finish_reason),
            input_tokens=stored.input_tokens,
            output_tokens=stored.output_tokens,
            cost_usd=stored.cost_usd if is_own else 0.0,
        )
        return KeptAnswer(answer=answer, is_own=is_own)

    def keep(self, request: TeacherRequest, answer: TeacherAnswer) -> None:
        tree = {
            "format": FORMAT,
            "run": self._run,
            "model": request.model,
            "prompt": request.prompt,
            "parameters": request.parameters,
            "text": answer.text,
            "finish_reason": answer.finish_reason.value,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "cost_usd": answer.cost_usd,
        }
        self._objects.put(_name(request), (json.dumps(tree, indent=1) + "\n").encode())

    def keep_if_new(self, request: TeacherRequest, answer: TeacherAnswer) -> None:
        if self._objects.get(_name(request)) is None:
            self.keep(request, answer)


def _name(request: TeacherRequest) -> str:
    return f"{request.key}.json"
