"""Golds verify against themselves, and no two of different value are taken for each other."""

from __future__ import annotations

import os
import random
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from relift.records import Status

COPIES = Path(__file__).parents[1] / "data"
DATA = Path(os.environ["RELIFT_DATA"]) if "RELIFT_DATA" in os.environ else None
needs_data = pytest.mark.skipif(DATA is None, reason="RELIFT_DATA names no folder of data")
PAIRS = 2_000

SAME_VALUE = {
    4: {frozenset({"29", "29.0"}), frozenset({"76", r"76^\circ"})},
    8: {frozenset({"36", r"\$36"})},
}
"""Of the pairs that a seed draws, those of one value that is written in two ways."""


@cache
def gsm8k(file: str) -> list[str]:
    folder = COPIES if file == "gsm8k_200" else DATA
    rows = pq.read_table(folder / f"{file}.parquet", columns=["answer"]).to_pylist()
    return [row["answer"].rpartition("####")[2].strip() for row in rows]


@cache
def benchmarks() -> list[str]:
    rows = pq.read_table(DATA / "reference_benchmarks.parquet", columns=["reward_model"]).to_pylist()
    return sorted({row["reward_model"]["ground_truth"] for row in rows})


def require_self_verified(verifier, golds: list[str]) -> None:
    distinct = list(dict.fromkeys(golds))
    faults = verifier.check_golds(distinct)
    assert [(gold, fault) for gold, fault in zip(distinct, faults, strict=True) if fault] == []
    verdicts = verifier.compare_batch([(gold, f"${gold.strip('$')}$") for gold in distinct])
    assert {verdict.status for verdict in verdicts} == {Status.CORRECT}


def accepted(verifier, golds: list[str], seed: int) -> set[frozenset[str]]:
    draw = random.Random(seed)
    distinct = sorted(set(golds))
    pairs = [tuple(draw.sample(distinct, 2)) for _ in range(PAIRS)]
    both_ways = [*pairs, *((other, one) for one, other in pairs)]
    verdicts = verifier.compare_batch(both_ways)
    return {
        frozenset(pair) for pair, verdict in zip(both_ways, verdicts, strict=True) if verdict.status is Status.CORRECT
    }


def test_the_first_golds_of_gsm8k_verify_against_themselves_and_no_other(boxed):
    golds = gsm8k("gsm8k_200")
    assert len(golds) == 200
    require_self_verified(boxed, golds)
    assert accepted(boxed, golds, seed=1) == set()


@needs_data
@pytest.mark.parametrize(("file", "count"), [("gsm8k_train", 7_473), ("gsm8k_test", 1_319)])
def test_gsm8k_golds_verify_against_themselves(boxed, file, count):
    golds = gsm8k(file)
    assert len(golds) == count
    require_self_verified(boxed, golds)


@needs_data
def test_the_golds_of_the_reference_benchmarks_verify_against_themselves(boxed):
    assert len(benchmarks()) == 825
    require_self_verified(boxed, benchmarks())


@needs_data
@pytest.mark.parametrize("seed", [1, 4, 8])
def test_random_golds_of_different_value_are_never_taken_for_each_other(boxed, seed):
    assert accepted(boxed, benchmarks(), seed) == SAME_VALUE.get(seed, set())
