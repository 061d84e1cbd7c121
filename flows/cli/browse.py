"""`relift hard browse`: the page to search the hard questions."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from flows.terminal.printing import new_console, shown
from relift.errors import LedgerError
from relift.store.folder import write_atomically
from relift.store.snapshots import ledgers_folder

PAGE = "hard.html"


def browse_command(
    store: str, *, run: str, since: int | None, limit: int | None, form: str, out: str, is_opened: bool
) -> None:
    """Write the page, to ``<store>/hard.html`` where ``out`` is empty, and say what it holds.

    Raises LedgerError for options that a page has no use for, and where there is no hard question.
    """
    from relift.ledger.browsing import MOST_QUESTIONS, read_entries
    from relift.report.browse import render_browse

    if since is not None or form:
        raise LedgerError(
            "--since and --format would be ignored by `relift hard browse`, which writes a page. Leave them out."
        )
    folder = ledgers_folder(store)
    found = read_entries(folder, runs=[run] if run else [], most=limit or MOST_QUESTIONS)
    if not found.entries:
        raise LedgerError(
            "There is no hard question to show: the gate called none hardest in these runs. `relift hard` lists how "
            "many stand how."
        )
    page = render_browse(found)
    target = Path(out) if out else folder / PAGE
    write_atomically(target, page.html)
    rest = f" of {found.total:,}, the most often unsolved" if found.total > len(found.entries) else ""
    console = new_console()
    console.print(
        shown(f"{target}: {len(found.entries):,} hard questions{rest}, {len(page.html) / 1e6:.1f} MB"), soft_wrap=True
    )
    if page.is_cut:
        console.print(shown(f"Texts are cut to {page.cut_at:,} characters; whole: relift show QUESTION", style="dim"))
    if is_opened and not webbrowser.open(target.resolve().as_uri()):
        console.print(shown("No browser could be opened; open the file yourself.", style="dim"))
