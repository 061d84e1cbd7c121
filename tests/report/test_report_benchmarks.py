"""The page of an evaluation alone."""

from __future__ import annotations

from pathlib import Path

from relift.records import EvalResult
from relift.report import write_evaluation


def result(benchmark: str, share: float) -> EvalResult:
    return EvalResult(
        benchmark=benchmark,
        version=0,
        iteration=0,
        questions=1319,
        k=4,
        avg_at_k=share,
        pass_at_k=min(1.0, share + 0.1),
        low=max(0.0, share - 0.05),
        high=min(1.0, share + 0.05),
    )


def test_every_benchmark_stands_on_the_page_with_its_numbers_and_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    page, picture = write_evaluation(tmp_path, "evaluate-x", [result("gsm8k-test", 0.625), result("<b>", 0.0)])
    text = page.read_text()
    for shown in ("gsm8k-test", "62.5 %", "57.5 to 67.5 %", "72.5 %", "1,319", "&lt;b&gt;"):
        assert shown in text
    assert "http://" not in text and "https://" not in text
    assert picture.read_bytes().startswith(b"\x89PNG")
