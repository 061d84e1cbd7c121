"""Answers of teachers that cross runs: one JSON object a request, named by the request's key.

No two runs of a project pay for the same answer, and a harvest's answers wait for the run that will need them.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from relift.errors import StoreError
from relift.records import FinishReason, TeacherAnswer, TeacherRequest
from relift.store.uris import is_bucket, require_uri

log = logging.getLogger(__name__)
FORMAT = 1
FOLDER = ".teacher"


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
            tree = json.loads(content)
            if tree["format"] > FORMAT:
                raise StoreError(
                    f"the teachers' answer {_name(request)} has format {tree['format']}, this relift reads up to "
                    f"{FORMAT}: it was written by a newer version, and to ask again is to pay again. Upgrade relift."
                )
            if (tree["model"], tree["prompt"]) != (request.model, request.prompt):
                return None
            # A run that goes on where its ledger is not the newest has paid for more than it remembers.
            is_own = tree.get("run") == self._run
            answer = TeacherAnswer(
                text=str(tree["text"]),
                finish_reason=FinishReason(tree["finish_reason"]),
                input_tokens=int(tree["input_tokens"]),
                output_tokens=int(tree["output_tokens"]),
                cost_usd=float(tree["cost_usd"]) if is_own else 0.0,
            )
            return KeptAnswer(answer=answer, is_own=is_own)
        except (ValueError, KeyError, TypeError) as problem:
            if isinstance(problem, StoreError):
                raise
            log.warning("the stored answer %s is damaged (%s) and is asked for again", _name(request), problem)
            return None

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
