"""The hard-example ledger: what is still unsolved, what was taught, and what became of it, in SQL.

schema.sql   tables and views             writer.py    the run's one writer, idempotent, publishes snapshots
schema.py    making and opening files     project.py   all runs of a project, read-only, as one schema
migrate.py   files of earlier schemas     check.py     whether a ledger agrees with itself
rows.py      records as rows              queries.py   named queries, the files of queries/
bulk.py      rows in, digest out          show.py      one question through all phases
kept.py      what a rebuilt one keeps        answers.py   their answers: a table, CSV, JSON, Parquet
requests.py  teachers: sent and answered     attached.py  ledgers of elsewhere, read beside the project's
states.py    the states in words             parquet.py   whole ledgers as Parquet, and back
browsing.py  what `hard browse` shows        exchange/    the hard set out, solutions back in (imported.py: for a run)
"""

from relift.ledger.project import Table, open_project, query, write_init_script
from relift.ledger.queries import NamedQuery, named_queries, named_query
from relift.ledger.requests import RequestBook, RequestTotals, spent_usd_in
from relift.ledger.rows import Left, Use
from relift.ledger.schema import snapshots
from relift.ledger.show import QuestionStory, story
from relift.ledger.writer import GoldStatus, Ledger, RunStatus

__all__ = [
    "GoldStatus",
    "Ledger",
    "Left",
    "NamedQuery",
    "QuestionStory",
    "RequestBook",
    "RequestTotals",
    "RunStatus",
    "Table",
    "Use",
    "named_queries",
    "named_query",
    "open_project",
    "query",
    "snapshots",
    "spent_usd_in",
    "story",
    "write_init_script",
]
