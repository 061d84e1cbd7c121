"""Two sides in processes of their own, each doing one timed update whenever it is asked to, so that runs alternate.

The driver writes a line to ask for an update, the side answers with a line of JSON; the end of input ends the side.
Nothing of relift is imported here: TRL's side runs in its own environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Channel:
    """The side's end. What anything else prints goes to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, **facts: object) -> None:
        print(json.dumps(facts), file=self._out, flush=True)

    def wait(self) -> None:
        """Until an update is asked for; ends the process when nobody will ask again."""
        if not sys.stdin.readline():
            raise SystemExit(0)


class Side:
    """The driver's end: a running side and what it said of itself at the start."""

    def __init__(self, python: Path | str, module: str, job: Mapping[str, Any]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the side
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        self._name = f"{module} {json.dumps(job)}"
        self.facts = self._answer()

    def update(self) -> dict[str, Any]:
        """One update and its facts, "seconds" among them."""
        assert self._process.stdin is not None
        self._process.stdin.write("update\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"{self._name} ended with {self._process.returncode}:\n{self._errors.read()[-3000:]}")
        return dict(json.loads(line))

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
