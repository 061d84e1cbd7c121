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


def test_what_a_method_came_to_is_said_as_table_1_has_it() -> None:
    text = (ROOT / "docs" / "method.md").read_text()
    (column,) = re.findall(r"^\| method \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    said = re.findall(r"`([a-z-]+)` ([\d.]+) %", "\n".join(line.rsplit("|", 2)[1] for line in column.splitlines()))
    made = (STUDIES / "arithmetic" / "README.md").read_text()
    means = dict(re.findall(r"^\| (\S+)(?: \(no rollouts\))? \| ([\d.]+) \|", made, re.MULTILINE))
    assert len(said) == len(means) == 16 and dict(said) == means


def test_what_the_readme_says_of_a_study_are_numbers_of_its_short_form() -> None:
    rows = re.findall(
        r"^\| \[[a-z-]+\]\(docs/studies/([a-z-]+)/README\.md\) \|(.*)", (ROOT / "README.md").read_text(), re.M
    )
    assert len(rows) == len(SHORT) - 1, "of each study but the tuning"
    for study, said in rows:
        made = (STUDIES / study / "README.md").read_text()
        assert not [number for number in re.findall(r"\d+\.\d", said) if f"| {number} |" not in made], study
