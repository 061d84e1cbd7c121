"""The whole demo, as it is shipped, with its artifacts in a bucket: `make test-s3-demo`, about eight minutes."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.flows.conftest import Command

pytestmark = [
    pytest.mark.s3,
    pytest.mark.flow,
    pytest.mark.skipif("RELIFT_TEST_DEMO" not in os.environ, reason="make test-s3-demo runs it"),
]


def demo(folder: Path, api: str, *arguments: str) -> Command:
    folder.mkdir()
    return Command([*arguments], folder, api).start()


def weights(folder: Path) -> str:
    return str(json.loads((folder / "runs" / "demo" / "summary.json").read_text())["weights_sha256"])


def test_the_demo_in_a_bucket_killed_and_resumed_in_an_empty_folder_ends_as_in_a_folder(
    prefix: str, tmp_path: Path, prefect_api: str
) -> None:
    train = ("train", "demo", "--name", "demo")
    code, output = demo(tmp_path / "folder", prefect_api, *train).finish(timeout=900)
    assert code == 0, output

    code, output = demo(tmp_path / "whole", prefect_api, *train, "--set", f"store={prefix}/whole").finish(timeout=900)
    assert code == 0, output
    assert weights(tmp_path / "whole") == weights(tmp_path / "folder")

    killed = demo(tmp_path / "killed", prefect_api, *train, "--set", f"store={prefix}/killed")
    killed.wait_for((tmp_path / "killed" / "runs" / "demo" / "checkpoints" / "00010").exists, timeout=300)
    time.sleep(random.Random(3).uniform(1, 30))
    killed.signal_group(signal.SIGKILL)
    killed.process.communicate()
    code, output = demo(tmp_path / "empty", prefect_api, "resume", f"{prefix}/killed/demo").finish(timeout=900)
    assert code == 0, output
    assert weights(tmp_path / "empty") == weights(tmp_path / "folder")
