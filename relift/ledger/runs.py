"""The runs that a project's ledgers hold."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from relift.config.recorded import in_todays_keys
from relift.errors import LedgerError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run as its ledger says it, e.g. run ``"demo-0"``, answer_form ``"equals"`` or empty."""

    run: str
    base_model: str
    code_version: str
    answer_form: str


def known_runs(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[RunFacts]:
    """The runs that the names or patterns (``demo-*``) fit; without any, all that have asked questions.

    Raises LedgerError with what there is where one fits none.
    """
    rows = connection.execute("SELECT run, base_model, code_version, config_json FROM runs ORDER BY run").fetchall()
    found = {
        run: RunFacts(run=run, base_model=model, code_version=version, answer_form=answer_form_of(config))
        for run, model, version, config in rows
    }
    fitting = {name: fnmatch.filter(found, name) for name in names}
    missing = [name for name in names if not fitting[name]]
    if missing:
        raise LedgerError(f"No ledger here holds a run {missing[0]!r}. There are: {', '.join(found) or 'none'}.")
    if names:
        return [found[run] for run in sorted({run for runs in fitting.values() for run in runs})]
    sampled = {run for (run,) in connection.execute("SELECT DISTINCT run FROM groups").fetchall()}
    return [fact for run, fact in found.items() if run in sampled]


def answer_form_of(config_json: str) -> str:
    """Empty where the configuration does not say."""
    try:
        return str(in_todays_keys(json.loads(config_json))["questions"]["answer_form"])
    except (ValueError, KeyError, TypeError):
        return ""
