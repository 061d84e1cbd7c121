"""What imports hold for a run: ledgers called ``import-<digest>`` beside the runs, written once and never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from relift.errors import LedgerError
from relift.ledger import migrate, schema
from relift.ledger.schema import SNAPSHOT

PREFIX = "import-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSolution:
    """A verified solution, e.g. source ``"human/ada"``."""

    question_id: str
    text: str
    source: str


def imports_in(folder: Path) -> list[Path]:
    """The ledgers of the imports in a folder of runs, by name."""
    return sorted(folder.glob(f"{PREFIX}*/{SNAPSHOT}"))


def imported_solutions(path: Path, run: str) -> list[ImportedSolution]:
    """The solutions of one import, in order of question; none where it was made for other runs.

    Raises LedgerError for a file that is no ledger or damaged.
    """
    with schema.damage_reported(path), schema.reading({"imported": path}) as connection:
        migrate.read_as_todays(connection, path, "imported")
        configs = connection.execute("SELECT config_json FROM imported.runs").fetchall()
        runs = _meant_for(path, configs[0][0]) if configs else []
        if runs is not None and run not in runs:
            return []
        rows = connection.execute(
            "SELECT question_id, text, source FROM imported.demonstrations WHERE refusal IS NULL "
            "ORDER BY question_id, demonstration_id"
        ).fetchall()
    return [ImportedSolution(question_id=question, text=text, source=source) for question, text, source in rows]


def _meant_for(path: Path, config_json: str) -> list[str] | None:
    """The runs that an import was made for; None where it was made for all."""
    try:
        runs = json.loads(config_json)["import"]["runs"]
        if runs is None or all(isinstance(run, str) for run in runs):
            return None if runs is None else list(runs)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise LedgerError(
        f"{path} does not say which runs its solutions are for, so no `relift ledger import` wrote it. Remove its "
        f"folder, and import the solutions again."
    )
