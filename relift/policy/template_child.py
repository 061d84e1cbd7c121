"""The process that renders a chat template for the first time: run by its path, since it may not end by itself.

Templates come with models, so from strangers. The sandbox that the library renders them in keeps them from Python, but
not from endless loops or from all memory. Here the kernel bounds both; what ends within the bounds is rendered again by
the library, in the process that needs the text.

In: one JSON object. Out: a line for each chat, ``null``, or why it cannot be rendered. This file imports nothing of
relift: it is started alone, in a tenth of a second.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

MEMORY_BYTES = 1 << 30
"""Of address space; rendering a chat takes some 50 MB."""


def main() -> None:
    with suppress(ValueError, OSError):  # some systems take no limit on address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    seconds, most = float(request["seconds"]), int(request["bytes"])
    with _at_most(seconds):
        template, fault = _compiled(request["template"])
    for messages, add_generation_prompt in request["chats"]:
        variables = {**request["variables"], "messages": messages, "add_generation_prompt": add_generation_prompt}
        with _at_most(seconds):
            fault_of_chat = fault or _fault(template, variables, most)
        sys.stdout.write(json.dumps(fault_of_chat) + "\n")
        sys.stdout.flush()


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Of processor time, whatever code it is spent in: the signal has its default action, which ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def _compiled(text: str) -> tuple[Any, str | None]:
    """(the template, None) or (None, why it is none)."""
    try:
        return _environment().from_string(text), None
    except MemoryError:
        return None, _too_much_memory()
    except Exception as problem:
        return None, _described(problem)


def _fault(template: Any, variables: dict[str, Any], most: int) -> str | None:
    size = 0
    try:
        for piece in template.generate(tools=None, documents=None, **variables):
            size += len(piece.encode("utf-8", "replace"))
            if size > most:
                return f"it writes more than {most >> 20} MiB"
    except MemoryError:
        return _too_much_memory()
    except Exception as problem:
        return _described(problem)
    return None


def _described(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    number = getattr(problem, "lineno", None)  # a syntax error of the template has one
    line = f" (line {number})" if number is not None else ""
    return f"{lines[0][:300] if lines else 'no reason given'}{line} [{type(problem).__name__}]"


def _too_much_memory() -> str:
    return f"it takes more than {MEMORY_BYTES >> 30} GiB of memory"


def _environment() -> Any:
    """The one that transformers renders in (utils/chat_template_utils.py), down to its tag ``generation``."""
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """Marks what an assistant wrote, for training masks; in a rendering it changes nothing."""

        tags = {"generation"}  # noqa: RUF012  (jinja's own interface)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

        def _said(self, caller: Any) -> Any:
            return caller()

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(form: str) -> str:
        from datetime import datetime

        return datetime.now().strftime(form)

    def tojson(value: Any, ensure_ascii: bool = False, **form: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **form)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}
    return made


if __name__ == "__main__":
    main()
