"""docs/ledger.md says what is true: its queries run and find something, its tables and states are those there are."""

import re
from pathlib import Path

import pytest
from ledger_small import write_small_project

from relift.ledger import named_queries, open_project, query
from relift.ledger.sql import TABLES
from relift.ledger.states import STATES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^\*\*(.+?)\*\*[^\n]*\n\n```sql\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_small_project(tmp_path_factory.mktemp("runs"))


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table under that head."""
    rows = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", rows, flags=re.MULTILINE)


def test_there_are_at_least_twelve_recipes_and_each_is_a_question():
    assert len(RECIPES) >= 12
    assert len(RECIPES) == PAGE.count("```sql\n") and all(title.endswith("?") for title, _ in RECIPES)


@pytest.mark.parametrize("sql", [sql for _, sql in RECIPES], ids=[title for title, _ in RECIPES])
def test_each_recipe_reads_and_finds_something(store, sql):
    assert query(store, sql).rows


def test_the_tables_views_and_states_are_those_there_are(store):
    assert first_cells("table") == list(TABLES)
    with open_project(store) as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal AND temporary").fetchall()
    assert set(first_cells("view")) | set(TABLES) == {name for (name,) in views}
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.partition("| state |")[2], flags=re.MULTILINE)) == STATES


def test_the_number_of_named_queries_is_right():
    assert f"the {len(named_queries())} named queries" in PAGE
