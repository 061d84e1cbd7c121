"""`relift ledger check` and `relift ledger rebuild`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from flows.terminal.printing import new_console, shown
from relift.errors import LedgerError
from relift.ledger.check import Checked, check
from relift.ledger.project import require_snapshots
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.rebuild.rebuild import Rebuilt, rebuild


def check_command(store: Path, run: Path | None) -> None:
    """Check the files of one run, or the snapshots of all. Raises LedgerError, all printed, when something is wrong."""
    console = new_console()
    wrong = [path for path in _files(store, run) if not _is_sound(console, path)]
    if wrong:
        raise LedgerError(
            f"{', '.join(map(str, wrong))}: something is wrong, see above. A run's ledger is made again from its "
            f"recorded phases with `relift ledger rebuild RUN_FOLDER`; a snapshot is written again with it. What "
            f"stays wrong after that was recorded so: please report it with the lines above."
        )


def rebuild_command(run: Path) -> None:
    """Make a run's ledger again and say what it holds now."""
    console = new_console()
    found = rebuild(run)
    for note in found.notes:
        console.print(shown(note, style="dim"))
    _print_rows(console, found)
    if not found.is_changed:
        console.print(shown(f"The ledger of {found.run} holds all that is recorded; it was left as it is."))
        return
    kept = f"all else was kept from {found.kept_from}" if found.kept_from else "there was no ledger to keep anything of"
    console.print(shown(f"{found.run}: {found.batches} batches were written again from recorded phases, {kept}."))
    if found.replaced:
        console.print(shown(f"The ledger before it is {run / found.replaced}: remove it when you need it no more."))


def _files(store: Path, run: Path | None) -> list[Path]:
    if run is None:
        return require_snapshots(store)
    found = [run / name for name in (LEDGER, SNAPSHOT) if (run / name).is_file()]
    if not found:
        raise LedgerError(
            f"{run} holds neither {LEDGER} nor {SNAPSHOT}. Give the folder of a run, such as runs/demo-0."
        )
    return found


def _is_sound(console: Console, path: Path) -> bool:
    """Print what came of every check of a file."""
    console.print(shown(str(path), style="bold"))
    try:
        checked = check(path)
    except LedgerError as problem:
        console.print(shown(f"  {problem}"))
        return "is held by" in str(problem)  # its run is writing it: the snapshot says how that goes
    grid = Grid.grid(padding=(0, 2))
    for one in checked:
        _add(grid, one)
    console.print(grid)
    return not any(one.wrong for one in checked)


def _add(grid: Grid, one: Checked) -> None:
    grid.add_row("  ok" if not one.wrong else "  WRONG", shown(f"{one.count:,}", justify="right"), shown(one.name))
    for example in one.examples:
        grid.add_row("", "", shown(f"  {example}", style="dim"))
    if one.wrong > len(one.examples):
        grid.add_row("", "", shown(f"  and {one.wrong - len(one.examples):,} more", style="dim"))


def _print_rows(console: Console, found: Rebuilt) -> None:
    grid = Grid("table", "rows before", "rows now")
    for table, rows in found.after.items():
        before = found.before.get(table)
        grid.add_row(table, "" if before is None else f"{before:,}", f"{rows:,}")
    console.print(grid)
