"""What Prefect may try again."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from relift.errors import Interrupted, LedgerError
from tasks.source import is_worth_retrying, source


@pytest.mark.parametrize(
    ("problem", "again"), [(Interrupted("stop"), False), (LedgerError("x"), False), (OSError(), True)]
)
def test_only_what_relift_did_not_raise_on_purpose_is_tried_again(problem: Exception, again: bool) -> None:
    assert source.retry_condition_fn is is_worth_retrying
    assert is_worth_retrying(source, None, Failed(data=problem)) is again
