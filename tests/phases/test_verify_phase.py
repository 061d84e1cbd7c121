"""Failures of the verifier: left out of the reward, and above their limit the run stops and says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from relift.config.recipe import load_recipe
from relift.errors import SelfCheckFailed
from relift.phases.verify import require_few_failures, reward
from relift.records import Completion, FinishReason, Status, Verdict
from relift.verifier import Verifier
from relift.verifier.kinds import Comparison

CONFIG = load_recipe("demo", ["checks.max_failed_share=0.1"])


def completions(*answers: str) -> list[tuple[str, Completion]]:
    return [
        (
            "3",
            Completion(
                token_ids=(),
                logprobs=(),
                text=rf"\boxed{{{answer}}}",
                finish_reason=FinishReason.STOP,
                policy_version=0,
            ),
        )
        for answer in answers
    ]


def test_a_verdict_that_failed_has_no_reward():
    graded = {Status.CORRECT: 1.0, Status.WRONG: 0.0, Status.NO_ANSWER: 0.0, Status.MALFORMED: 0.0}
    for status in Status:
        if status is not Status.TRUNCATED:  # by rl.truncated
            assert reward(Verdict(status=status), CONFIG.rl) == graded.get(status)


def test_a_tenth_may_fail_and_no_more():
    run = SimpleNamespace(config=CONFIG)
    right, failed = Verdict(status=Status.CORRECT), Verdict(status=Status.TIMEOUT, reason="no verdict within 8 s")
    require_few_failures(run, [right] * 9 + [failed])
    with pytest.raises(SelfCheckFailed, match=r"2 of 19 verdicts .*2 x 'no verdict within 8 s'.*max_failed_share=0\.1"):
        require_few_failures(run, [right] * 17 + [failed] * 2)


def test_a_callable_that_raises_stops_the_run_with_its_own_text(tmp_path, monkeypatch):
    (tmp_path / "broken_answers.py").write_text("def is_same(gold, answer):\n    raise KeyError('unit')\n")
    monkeypatch.chdir(tmp_path)
    comparison = Comparison(kind="callable", function="broken_answers:is_same")
    with Verifier("boxed", comparison=comparison, workers=1) as verifier:
        verdicts = verifier.verify_batch(completions(*map(str, range(50))), max_failed_share=0.1)
    assert sum("not compared" in verdict.reason for verdict in verdicts) == 44  # the sixth of 50 was too many
    with pytest.raises(SelfCheckFailed, match=r"50 of 50 .*broken_answers:is_same raised KeyError: 'unit'"):
        require_few_failures(SimpleNamespace(config=CONFIG), verdicts)
