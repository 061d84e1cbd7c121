"""Records that are written as JSON, and read back only as they were written."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from relift.errors import DataError
from relift.store.folder import write_atomically


class Stored:
    """What is read back only as it was written: no key too many or too few, every number in its range."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def write(self, path: Path) -> None:
        """At once or not at all; raises StoreError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _as_text(asdict(self)).encode())  # type: ignore[call-overload]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises DataError naming the file and every fault."""
        try:
            found: Self = _adapter(cast(Hashable, cls)).validate_json(path.read_bytes())
        except ValidationError as problem:
            faults = "\n".join(
                f"  {'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in problem.errors()[:5]
            )
            raise DataError(
                f"{path} is no {cls.__name__} of this relift:\n{faults}\nRestore it from a copy, or remove it and have "
                f"it made again."
            ) from None
        return found


def _as_text(tree: Mapping[str, Any]) -> str:
    """JSON with a line for every key, and for every item of a list: thousands of points stay readable."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, list | tuple) and value:
            text = "[\n  " + ",\n  ".join(map(_in_a_line, value)) + "\n ]"
        else:
            text = _in_a_line(value)
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _in_a_line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ": "))


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))
