"""How long `relift --help` takes: imports are lazy, so it must stay under half a second."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import seconds, write

RELIFT = Path(sys.executable).with_name("relift")


def main() -> None:
    times = [seconds(lambda: subprocess.run([RELIFT, "--help"], check=True, capture_output=True)) for _ in range(7)]
    write("cli", {"help_s": statistics.median(times[1:])})
