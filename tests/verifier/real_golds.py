"""The golds of real data: GSM8K's, the reference's benchmarks' and those of the labelled cases, each text once."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from relift.verifier import Verifier

COPIES = Path(__file__).parents[1] / "data"
MAX_CHARS = 300
"""A longer gold of a case is a page of prose around one."""


def real_golds(folder: Path) -> dict[str, list[str]]:
    """By where they are from; what the folder does not hold comes out of tests/data, or not at all (the benchmarks)."""
    files = sorted(file.name for file in folder.glob("gsm8k_*.parquet")) or ["gsm8k_200.parquet"]
    found = {"gsm8k": [gold for file in files for gold in _gsm8k(_in(folder, file))]}
    if (benchmarks := folder / "reference_benchmarks.parquet").exists():
        rows = pq.read_table(benchmarks, columns=["reward_model"]).to_pylist()
        found["benchmarks"] = [row["reward_model"]["ground_truth"] for row in rows]
    names = ("verify_cases", "verify_cases_2", "adversarial_cases", "answers_by_class")
    cases = [_in(folder, f"{name}.jsonl") for name in names]
    found["cases"] = [gold for file in cases if file.exists() for gold in _of_cases(file)]
    return {name: [gold for gold in sorted(set(golds)) if _is_plain(gold)] for name, golds in found.items()}


def usable(verifier: Verifier, golds: list[str]) -> list[str]:
    """Those that a data set with them would be loaded with."""
    return [gold for gold, fault in zip(golds, verifier.check_golds(golds), strict=True) if fault is None]


def _is_plain(gold: str) -> bool:
    """What stands around a box in a gold is no part of it."""
    return bool(gold.strip()) and "\\boxed" not in gold and len(gold) <= MAX_CHARS


def _in(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).exists() else COPIES / name


def _gsm8k(file: Path) -> list[str]:
    return [row["answer"].rpartition("####")[2].strip() for row in pq.read_table(file, columns=["answer"]).to_pylist()]


def _of_cases(file: Path) -> list[str]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row["gold"] for row in rows if "gold" in row]
