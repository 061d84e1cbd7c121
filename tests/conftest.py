"""What all tests share: one torch thread, no surprises from the user's environment."""

from __future__ import annotations

import os

# Before torch or Prefect is imported anywhere: two threads on busy cores are many times slower than one.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
