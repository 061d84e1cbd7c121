"""What is measured at length is also held to its bars."""

from __future__ import annotations

import pytest

from tests.bench import ledger, s3
from tests.figures_teacher import misses

GOOD = {
    "up_rate_share_of_boto3": 0.8,
    "down_rate_share_of_boto3": 1.1,
    "up_extra_mib": 60.0,
    "down_extra_mib": 256.0,
}


def test_transfers_at_the_bars_hold() -> None:
    assert s3.misses(GOOD) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"up_rate_share_of_boto3": 0.79}, "up at 79% of plain boto3's rate"),
        ({"down_rate_share_of_boto3": float("nan")}, "down at nan%"),
        ({"down_extra_mib": 300.0}, "down took 300 MiB"),
    ],
)
def test_a_transfer_below_a_bar_is_said(change: dict[str, float], message: str) -> None:
    (missed,) = s3.misses({**GOOD, **change})
    assert message in missed


def test_an_api_teaches_as_the_dataset_does_or_the_figures_fail() -> None:
    assert misses([0.80, 0.84, 0.82], [0.84, 0.88, 0.855], wrong=0) == []
    assert misses([0.80, 0.84, 0.82], [0.90, 0.88, 0.86], wrong=0) == [
        "the means are 6.0 points apart, at most 4 are allowed"
    ]
    assert misses([0.8], [0.8], wrong=2) == ["2 wrong solutions were admitted, none may be"]


AT_THE_BARS = {
    "ingest_rows_per_s": 25_000.0,
    "slowest_query_ms": 300.0,
    "snapshot_s": 6.0,
    "publish_wait_share": 0.01,
    "slowest_query_10m_s": 3.0,
}


def test_a_ledger_at_the_bars_holds() -> None:
    assert ledger.misses(AT_THE_BARS) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ingest_rows_per_s": 24_999.0}, "ingest of 24999 rows/s, 25000 are asked for"),
        ({"slowest_query_ms": 301.0}, "slowest_query_ms is 301, at most 300"),
        ({"snapshot_s": float("nan")}, "snapshot_s is nan"),
        ({"publish_wait_share": 0.011}, "publish_wait_share is 0.011"),
        ({"slowest_query_10m_s": 3.5}, "slowest_query_10m_s is 3.5"),
    ],
)
def test_a_ledger_past_a_bar_is_said(change: dict[str, float], message: str) -> None:
    (missed,) = ledger.misses({**AT_THE_BARS, **change})
    assert message in missed
