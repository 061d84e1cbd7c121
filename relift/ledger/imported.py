"""What imports hold for a run: ledgers called ``import-<digest>`` beside the runs, written once and never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from relift.ledger import schema
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
    with schema.connect() as connection, schema.damage_told(path):
        schema.attach(connection, path, "imported", read_only=True)
        configs = connection.execute("SELECT config_json FROM imported.runs").fetchall()
        runs = json.loads(configs[0][0]).get("import", {}).get("runs") if configs else []
        if runs is not None and run not in runs:
            return []
        rows = connection.execute(
            "SELECT question_id, text, source FROM imported.demonstrations WHERE refusal IS NULL "
            "ORDER BY question_id, demonstration_id"
        ).fetchall()
    return [ImportedSolution(question_id=question, text=text, source=source) for question, text, source in rows]
