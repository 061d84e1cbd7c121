"""Whole commands on real questions, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relift.ledger import query
from tests.flows.conftest import command
from tests.small_run import small_arguments

pytestmark = pytest.mark.flow
DATA = Path(__file__).parent.parent / "data"


@pytest.mark.slow
def test_gsm8k_runs_with_a_random_model_and_the_ledger_says_what_was_taught(tmp_path: Path, prefect_api: str) -> None:
    arguments = ["train", "gsm8k", "--set", f"questions.path={DATA / 'gsm8k_200.parquet'}"]
    arguments += [
        "--set",
        "rollout.max_tokens=16",
        "--set",
        "teach.rule.batch_size=16",
        "--set",
        "evaluation.questions=4",
    ]
    code, output = command(arguments, tmp_path, prefect_api).finish()
    assert code == 0, output
    nll = query(
        tmp_path / "runs", "SELECT nll_before, nll_after FROM updates WHERE kind = 'sft' ORDER BY iteration"
    ).rows
    assert len(nll) == 3
    assert all(after < before for before, after in nll)
    states = dict(query(tmp_path / "runs", "SELECT state, count(*) FROM hard_examples GROUP BY ALL").rows)
    assert states["taught"] == 48
    assert states["queued"] > 0
    assert states["control"] > 0
    (refused,) = query(tmp_path / "runs", "SELECT count(*) FROM demonstrations WHERE refusal IS NOT NULL").rows[0]
    assert refused == 0


def test_a_finished_run_leaves_a_model_a_report_metrics_and_a_summary(tmp_path: Path, prefect_api: str) -> None:
    code, output = command(small_arguments(tmp_path / "runs"), tmp_path, prefect_api).finish()
    assert code == 0, output
    root = tmp_path / "runs" / "small"
    summary = json.loads((root / "summary.json").read_text())
    assert list(summary["families"])[:3] == ["add3", "sub3", "mul1"]
    assert summary["families"]["par"]["kind"] == "unreached"
    assert (summary["iterations"], summary["n"], summary["seed"]) == (8, 6, 0)
    assert 0 < summary["demonstrations_used"] <= summary["questions"] == 128
    assert 0 <= summary["prefect_share"] < 1

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from relift.policy.weights import weights_checksum

    model = AutoModelForCausalLM.from_pretrained(root / "model")
    assert weights_checksum(model) == summary["weights_sha256"]
    assert len(AutoTokenizer.from_pretrained(root / "model")) == 21
    assert len((root / "metrics.jsonl").read_text().splitlines()) == 8
    assert "mulsub" in (root / "report" / "index.html").read_text()


def test_evaluate_prints_and_records_every_family_without_training(tmp_path: Path, prefect_api: str) -> None:
    settings = ("evaluation.samples=2", "evaluation.temperature=1.0", "warm_start.demonstrations=5")
    arguments = small_arguments(tmp_path / "runs", *settings)
    code, output = command(["evaluate", *arguments[1:]], tmp_path, prefect_api).finish()
    assert code == 0, output
    rows = query(tmp_path / "runs", "SELECT benchmark, k, questions FROM evaluations ORDER BY ALL").rows
    assert len(rows) == 9
    assert {(k, n) for _, k, n in rows} == {(2, 6)}
    begun = query(
        tmp_path / "runs", "SELECT DISTINCT iteration FROM evaluations UNION SELECT iteration FROM groups"
    ).rows
    assert begun == ((-1,),), "where a run of that name evaluates the base"
    assert query(tmp_path / "runs", "SELECT count(*) FROM updates").rows == ((0,),)
