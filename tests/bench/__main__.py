"""`python -m tests.bench [NAME ...]`: the named benchmarks, or all of them."""

from __future__ import annotations

import sys
from importlib import import_module

ALL = ("cli", "engine", "trainer")

for name in sys.argv[1:] or ALL:
    import_module(f"tests.bench.{name}").main()
