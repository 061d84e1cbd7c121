"""Figures and page of a run, into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relift.report.data import read_report_data
from relift.report.figures import draw_figures
from relift.report.page import render_page
from relift.store.folder import write_atomically

if TYPE_CHECKING:
    from relift.run.summary import RunSummary


def write_report(root: Path, summary: RunSummary) -> list[Path]:
    """Write ``report/index.html`` and its figures as PNG below a run's folder; their paths, the page first.

    A figure whose data the run does not have (no evaluation, no finished iteration) is left out. Raises StoreError when
    what the run recorded is damaged.
    """
    data = read_report_data(root)
    figures = draw_figures(data, summary)
    folder = root / "report"
    for figure in figures:
        write_atomically(folder / figure.file_name, figure.png)
    page = folder / "index.html"
    write_atomically(page, render_page(data, summary, figures).encode("utf-8", "replace"))
    return [page, *(folder / figure.file_name for figure in figures)]
