"""The hard-example ledger: what is still unsolved, what was taught, and what became of it, in SQL.

schema.sql   tables and views             writer.py    the run's one writer, idempotent, publishes snapshots
schema.py    making and opening files     project.py   all runs of a project, read-only, as one schema
rows.py      records as rows              queries.py   named queries, the files of queries/
bulk.py      rows in, digest out          show.py      one question through all phases
requests.py  teachers: sent and answered
"""

from relift.ledger.project import Table, open_project, query, snapshots, write_init_script
from relift.ledger.queries import NamedQuery, named_queries, named_query
from relift.ledger.requests import RequestBook, RequestTotals
from relift.ledger.rows import Use
from relift.ledger.show import QuestionStory, story
from relift.ledger.writer import GoldStatus, Ledger, RunStatus

__all__ = [
    "GoldStatus",
    "Ledger",
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
    "story",
    "write_init_script",
]
