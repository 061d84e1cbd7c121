"""Verdicts on completions, with a real worker where mathematics decides."""

from __future__ import annotations

import time

import pytest

from relift.records import Completion, DecidedBy, FinishReason, Status
from relift.verifier import Verifier

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


@pytest.fixture
def chains():
    with Verifier("equals") as verifier:
        yield verifier


def completion(text: str, finish_reason: FinishReason = STOP) -> Completion:
    return Completion(token_ids=(), logprobs=(), text=text, finish_reason=finish_reason, policy_version=0)


@pytest.mark.parametrize(
    ("gold", "text", "status", "path"),
    [
        ("72", r"\boxed{72}", Status.CORRECT, DecidedBy.STRING),
        ("72", r"\boxed{72.00}", Status.CORRECT, DecidedBy.RATIONAL),
        ("72", r"\boxed{73}", Status.WRONG, DecidedBy.RATIONAL),
        ("72", r"\boxed{8 \times 9}", Status.CORRECT, DecidedBy.SYMPY),
        (r"\frac{\sqrt{2}}{2}", r"\boxed{\frac{1}{\sqrt{2}}}", Status.CORRECT, DecidedBy.SYMPY),
        (r"\frac{x}{2}+3", r"\boxed{3}", Status.WRONG, DecidedBy.SYMPY),
        (r"\{1,2\}", r"\boxed{\{2,1\}}", Status.CORRECT, DecidedBy.SYMPY),
        ("(1,2)", r"\boxed{(2,1)}", Status.WRONG, DecidedBy.SYMPY),
        ("72", r"\boxed{?}", Status.WRONG, DecidedBy.SYMPY),
        ("72", "I do not know.", Status.NO_ANSWER, DecidedBy.STRING),
        ("72", r"\boxed{72", Status.MALFORMED, DecidedBy.STRING),
        ("", r"\boxed{}", Status.MALFORMED, DecidedBy.STRING),
        ("", r"\boxed{72}", Status.BAD_GOLD, DecidedBy.GUARD),
        (r"\frac{1}", r"\boxed{x+1}", Status.BAD_GOLD, DecidedBy.SYMPY),
        ("72", "\\boxed{\ud800}", Status.MALFORMED, DecidedBy.STRING),
    ],
)
def test_a_verdict_names_its_status_and_the_path_that_decided(boxed, gold, text, status, path):
    verdict = boxed.verify(gold, text, STOP)
    assert (verdict.status, verdict.path) == (status, path)
    assert verdict.seconds > 0


@pytest.mark.parametrize(
    ("text", "finish_reason", "status"),
    [
        (r"\boxed{3} and on", LENGTH, Status.CORRECT),
        (r"\boxed{4} and on", LENGTH, Status.TRUNCATED),
        (r"\boxed{3} then \boxed{4", LENGTH, Status.TRUNCATED),
        ("no box yet", LENGTH, Status.TRUNCATED),
        ("no box", STOP, Status.NO_ANSWER),
    ],
)
def test_a_completion_out_of_tokens_is_truncated_unless_its_box_is_correct(boxed, text, finish_reason, status):
    assert boxed.verify("3", text, finish_reason).status is status


def test_a_chain_out_of_tokens_is_truncated_even_when_it_looks_correct(chains):
    assert chains.verify("28", "4*7=28", STOP).status is Status.CORRECT
    assert chains.verify("28", "40*7+2=28", LENGTH).status is Status.TRUNCATED  # 282 was coming


def test_arithmetic_compares_numbers_only_and_starts_no_process(chains):
    texts = ["40*6+7*6=240+42=282", "282", "281", "40*6+7*6", "x", "", "40*6=", "a=b=282", "2 82"]
    verdicts = chains.verify_batch([("282", completion(text)) for text in texts])
    right, wrong = Status.CORRECT, Status.WRONG
    assert [v.status for v in verdicts[:5]] == [right, right, wrong, wrong, wrong]
    assert [v.status for v in verdicts[5:]] == [Status.NO_ANSWER, Status.MALFORMED, right, wrong]
    assert chains._pool.started == 0


def test_512_arithmetic_completions_take_a_few_milliseconds(chains):
    pairs = [(str(i - 100), completion(f"40*6+7*6=240={i - 100 + i % 3}")) for i in range(512)]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        verdicts = chains.verify_batch(pairs)
        seconds.append(time.perf_counter() - started)
    assert sum(v.status is Status.CORRECT for v in verdicts) == 171
    assert min(seconds) < 0.02


def test_a_batch_keeps_its_order_and_asks_once_for_equal_answers(boxed):
    texts = [r"\boxed{\sqrt{16}}", r"\boxed{5}", r"\boxed{ \sqrt{16} }", "none"]
    boxed.compare("4", "2+2")  # so that a worker is there to count for
    before = boxed._pool._worker.items
    verdicts = boxed.verify_batch([("4", completion(text)) for text in texts])
    assert [v.status for v in verdicts] == [Status.CORRECT, Status.WRONG, Status.CORRECT, Status.NO_ANSWER]
    assert boxed._pool._worker.items - before == 1


def test_what_is_no_text_is_an_error_and_the_batch_goes_on(boxed, caplog):
    broken, whole = boxed.verify_batch([("3", completion(None)), ("3", completion(r"\boxed{3}"))])
    assert broken.status is Status.ERROR
    assert "AttributeError" in broken.reason
    assert whole.status is Status.CORRECT
    assert "failed on a completion" in caplog.text


def test_a_long_answer_is_cut_in_its_verdict_only(boxed):
    verdict = boxed.verify("3", "\\boxed{" + "9" * 100_000 + "}", STOP)
    assert verdict.status is Status.WRONG
    assert verdict.answer == "9" * 1_000


def test_golds_must_parse_and_equal_themselves(boxed, chains, caplog):
    for gold in ["72", "1,000", "x+1", r"\frac{x}{2}+3", r"\text{even}", "B", r"(-\infty,3]", "x=1"]:
        assert boxed.check_gold(gold) is None, gold
    for gold in ["", "nan", "1 +", r"\frac{1}{2", r"\frac{1}", "???", "x="]:
        assert boxed.check_gold(gold), gold
    assert "plain number" in chains.check_gold("x+1")
    assert chains.check_gold("282") is None
    assert not caplog.records


def test_a_gold_in_words_that_no_parser_reads_matches_itself_only(boxed, caplog):
    gold = "$t(0,4]$"
    assert boxed.check_gold(gold) is None
    assert "only the same text" in caplog.text
    assert boxed.compare(gold, "t(0, 4]").status is Status.CORRECT
    assert boxed.compare(gold, "t(0,5]").status is Status.WRONG
