from __future__ import annotations

import pytest

from relift.verifier import Verifier


@pytest.fixture(scope="session")
def boxed():
    """One verifier, and so one worker, for all tests that only ask it."""
    with Verifier("boxed") as verifier:
        yield verifier
