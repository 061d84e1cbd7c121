"""The command line: one message for a user's mistake, a full traceback for ours."""

from __future__ import annotations

import sys

import pytest

from flows.cli import main as cli
from relift.errors import SelfCheckFailed


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["relift", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "demo", "--set", "rl.los=1"], "did you mean rl.loss?"),
        (["train", "dmeo"], "Did you mean 'demo'"),
        (["train", "demo", "--name", "a/b"], "cannot be called 'a/b'"),
        (["sql", "SELECT 1", "--store", "absent"], "Run `relift train RECIPE` first"),
        (["report", "absent"], "no finished run"),
    ],
)
def test_a_mistake_prints_one_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_cli(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err + printed.out


def test_a_refused_self_check_is_a_message_with_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import flows.cli.ask

    def refuse(*args: object) -> None:
        raise SelfCheckFailed("the weights differ")

    monkeypatch.setattr(flows.cli.ask, "redraw", refuse)
    assert run_cli(monkeypatch, "report", "x") == 3
    assert "the weights differ" in capsys.readouterr().err


def test_a_fault_of_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.cli.ask

    def break_down(*args: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(flows.cli.ask, "redraw", break_down)
    monkeypatch.setattr(sys, "argv", ["relift", "report", "x"])
    with pytest.raises(KeyError):
        cli.main()
