"""A loss of one's own in a real run: found beside the command, measured everywhere, resumed to the same bits."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from relift.ledger import Ledger
from tests.flows.conftest import command
from tests.small_run import small_arguments

pytestmark = [pytest.mark.flow, pytest.mark.slow]

SOURCE = """
import torch
from relift.learning import Objective, PolicyTokens

def floored(tokens: PolicyTokens, *, floor: float = 0.5) -> Objective:
    ratio = torch.exp(tokens.logprobs_C - tokens.old_logprobs_C)
    below = ratio.detach() < floor
    metrics = {"below": below.sum(), "ratio": ratio.sum()}
    return Objective(torch.where(below, floor, ratio) * tokens.advantages_C, metrics)
"""
SETTINGS = ("iterations=3", "rl.loss=my_losses:floored", "rl.loss.settings.floor=0.97", "evaluation=off")


def started(folder: Path, server: str, *more: str):  # type: ignore[no-untyped-def]
    (folder / "my_losses.py").write_text(SOURCE) if not (folder / "my_losses.py").exists() else None
    return command(small_arguments(folder / "runs", *SETTINGS, *more), folder, server)


def outcome(root: Path) -> tuple[str, str, list[object]]:
    """(weights, contents of the ledger, metrics by update as metrics.jsonl and the ledger have them)."""
    lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    told = [update["metrics"] for line in lines for update in line["updates"] if update["kind"] == "rl"]
    with Ledger.open(root / "ledger.duckdb", "small") as ledger:
        kept = ledger.execute(
            "SELECT metrics, entropy, clip_fraction FROM updates WHERE kind = 'rl' ORDER BY iteration"
        )
        assert [{**own, "entropy": entropy} for own, entropy, _ in kept] == told
        assert all(clipped == 0 for *_, clipped in kept), "it clips nothing, and says nothing of the sort"
        return json.loads((root / "summary.json").read_text())["weights_sha256"], ledger.digest(), told


def test_a_loss_beside_the_command_is_measured_resumed_to_the_same_bits_and_watched(
    tmp_path: Path, prefect_api: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    code, output = started(whole, prefect_api).finish()
    assert code == 0, output
    _, _, told = expected = outcome(whole / "runs" / "small")
    assert len(told) == 3 and all(0.5 < update["ratio"] < 2 for update in told)
    assert any(update["below"] > 0 for update in told), "nothing met the floor, so the loss shows nothing"
    recorded = json.loads((whole / "runs" / "small" / "run.json").read_text())
    assert recorded["plugins"].keys() == {"rl.loss my_losses:floored"}

    run = started(killed, prefect_api)
    run.wait_for((killed / "runs" / "small" / "iterations" / "00001" / "rl_update" / "manifest.json").exists)
    run.signal_group(signal.SIGKILL)
    run.process.communicate()
    before = (killed / "my_losses.py").read_text()
    (killed / "my_losses.py").write_text(before.replace("<", "<="))
    code, output = started(killed, prefect_api).finish()
    assert code == 2 and "Traceback" not in output
    told_why = " ".join(output.split())
    assert "source of rl.loss my_losses:floored has changed since the run small was started" in told_why
    assert "allow_changed_plugins=true" in told_why

    (killed / "my_losses.py").write_text(before + "\n# told in a comment\n")
    code, output = started(killed, prefect_api, "allow_changed_plugins=true").finish()
    assert code == 0, output
    assert outcome(killed / "runs" / "small") == expected
