"""The tables of studies that the documents quote are those that their results make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relift.study.page.markdown import render_markdown
from relift.study.page.view import study_view
from relift.study.results import RunResult, StudyResult

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "docs" / "studies"
SHORT = sorted(STUDIES.glob("*/README.md"))
QUOTES = [
    (document, study, table)
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for study, table in re.findall(
        r"^<!-- of docs/studies/(\S+) -->\n((?:\|.*\n)+)", document.read_text(), re.MULTILINE
    )
]


@pytest.mark.parametrize("short", SHORT, ids=lambda path: path.parent.name)
def test_the_short_form_of_a_study_is_what_its_results_make(short: Path) -> None:
    runs = [RunResult.read(path) for path in sorted(short.parent.glob("*.json"))]
    made = render_markdown(study_view(StudyResult.read(STUDIES / f"{short.parent.name}.json"), runs))
    assert short.read_text() == made, f"draw {short} again: the command of the study"


@pytest.mark.parametrize(("document", "study", "table"), QUOTES, ids=lambda value: getattr(value, "name", None))
def test_a_quoted_table_stands_in_the_short_form_of_its_study(document: Path, study: str, table: str) -> None:
    made = (STUDIES / study / "README.md").read_text()
    assert table in made, f"{document.name} quotes {study} as it was: copy the table of docs/studies/{study}/README.md"
