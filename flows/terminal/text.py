"""Text that a model, a dataset or somebody else's ledger wrote, made safe for a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """All of it in one line: blanks folded to one, and what cannot be printed (escape sequences above all) replaced."""
    folded = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in folded)


def lines(text: str) -> str:
    """With its line breaks kept, and every line as ``one_line`` would give it but for its blanks."""
    return "\n".join(
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.expandtabs(4))
        for line in text.splitlines()
    )


def cropped(text: str, width: int) -> str:
    """At most ``width`` characters of one line: its beginning and its end, where the answer stands."""
    line = one_line(text)
    if len(line) <= width:
        return line
    tail = max(0, (width - 1) // 3)
    return f"{line[: max(0, width - 1 - tail)]}…{line[len(line) - tail :]}"


def written(text: str, width: int) -> str:
    """A completion as ``cropped`` gives it; one without anything to see is said to be blank."""
    return cropped(text, width) or cropped("(blank)", width)


def short_benchmark(name: str) -> str:
    """An arithmetic family by its own name."""
    return name.removeprefix("arithmetic/")


def position(number: int, iterations: int | None, *, of: str = "/") -> str:
    """Such as "iteration 7/40"; "iteration 7" where nobody knows of how many."""
    return f"iteration {number}" if iterations is None else f"iteration {number}{of}{iterations}"


def held_out(iteration: int) -> str:
    """When it was that held-out questions were asked."""
    return f"held-out after {iteration} iterations" if iteration >= 0 else "held-out before the warm start"
