"""What a prompt leaves of the reasoning, read off the text before the completion."""

from __future__ import annotations

import pytest

from relift.thinking import Thinking, opens_twice, thinking_of


@pytest.mark.parametrize(
    ("opening", "wanted"),
    [
        ("<|assistant|>", Thinking.UNSAID),
        ("<|assistant|><think>\n", Thinking.OPENED),
        ("<think>\nOkay, let me see.", Thinking.OPENED),
        ("<think>\n\n</think>\n\n", Thinking.CLOSED),
        ("<think>\n\n</think>\n\n<think>\n", Thinking.OPENED),
        ("</think>", Thinking.CLOSED),
        ("", Thinking.UNSAID),
    ],
)
def test_the_last_tag_before_the_completion_decides(opening: str, wanted: Thinking) -> None:
    assert thinking_of(opening) is wanted


def test_an_opening_that_is_open_already_is_doubled() -> None:
    assert opens_twice("<think>\n<think>\n")
    assert opens_twice("<think>a</think><think><think>")
    assert not opens_twice("<think>\n\n</think>\n\n<think>\n")
    assert not opens_twice("")
