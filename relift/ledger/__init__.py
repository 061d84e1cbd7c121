"""The hard-example ledger: what is still unsolved, what was taught, and what became of it, in SQL.

schema.sql     tables and views               writer.py    the run's one writer, idempotent, publishes snapshots
schema.py      making and opening files       project.py   all runs of a project, read-only, as one schema
migrate.py     files of earlier schemas       check.py     whether a ledger agrees with itself
rows.py        records as rows                queries.py   named queries, the files of queries/
bulk.py        rows in, digest out            results.py   their answers: a table, CSV, JSON, Parquet
sql.py         names, texts, connections      asking.py    any user's SQL, in a process that is bounded
plain.py       tables, nothing that runs      show.py      one question through all phases
carry_over.py  what a rebuilt one keeps       attached.py  ledgers of elsewhere, read beside the project's
requests.py    teachers: sent and answered    parquet.py   whole ledgers as Parquet, and back
states.py      the states in words            imported.py  what imports hold for a run
browsing.py    what `hard browse` shows       runs.py      which runs there are
"""

from relift.ledger.project import Table, open_project, query, write_init_script
from relift.ledger.queries import NamedQuery, named_queries, named_query
from relift.ledger.requests import RequestBook, RequestTotals, spent_usd_in
from relift.ledger.rows import EntryRecord, GoldStatus, LeavingRecord, RunStatus, Use
from relift.ledger.schema import snapshots
from relift.ledger.show import QuestionHistory, question_history
from relift.ledger.writer import Ledger

__all__ = [
    "EntryRecord",
    "GoldStatus",
    "LeavingRecord",
    "Ledger",
    "NamedQuery",
    "QuestionHistory",
    "RequestBook",
    "RequestTotals",
    "RunStatus",
    "Table",
    "Use",
    "named_queries",
    "named_query",
    "open_project",
    "query",
    "question_history",
    "snapshots",
    "spent_usd_in",
    "write_init_script",
]
