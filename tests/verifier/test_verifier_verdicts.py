"""Verdicts on completions, with a real worker where mathematics decides."""

from __future__ import annotations

import dataclasses
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
        ("72", r"\boxed{8 \times 9}", Status.CORRECT, DecidedBy.RATIONAL),
        (r"\frac{\pi}{4}", r"\boxed{\arctan(1)}", Status.CORRECT, DecidedBy.SYMPY),
        (r"\sin(2x)", r"\boxed{2\sin x\cos x}", Status.CORRECT, DecidedBy.SYMPY),
        (r"\frac{x}{2}+3", r"\boxed{3}", Status.WRONG, DecidedBy.RATIONAL),
        (r"\{1,2\}", r"\boxed{\{2,1\}}", Status.CORRECT, DecidedBy.RATIONAL),
        ("(1,2)", r"\boxed{(2,1)}", Status.WRONG, DecidedBy.RATIONAL),
        ("72", r"\boxed{?}", Status.WRONG, DecidedBy.GUARD),
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
    assert chains.pool.started == 0


def test_512_arithmetic_completions_take_a_few_milliseconds(chains):
    pairs = [(str(i - 100), completion(f"40*6+7*6=240={i - 100 + i % 3}")) for i in range(512)]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        verdicts = chains.verify_batch(pairs)
        seconds.append(time.perf_counter() - started)
    assert sum(v.status is Status.CORRECT for v in verdicts) == 171
    assert min(seconds) < 0.02


@pytest.fixture
def asked(boxed, monkeypatch):
    """The pairs that workers are asked about."""
    pairs: list[tuple[str, str]] = []
    ask = boxed.pool.replies

    def replies(given, **options):
        pairs.extend(given)
        return ask(given, **options)

    monkeypatch.setattr(boxed.pool, "replies", replies)
    return pairs


def test_a_batch_keeps_its_order_and_asks_once_for_equal_answers(boxed, asked):
    texts = [r"\boxed{\arctan(1)+6}", r"\boxed{5}", r"\boxed{ \arctan(1) + 6 }", "none"]
    verdicts = boxed.verify_batch([(r"\frac{\pi}{4}+6", completion(text)) for text in texts])
    assert [v.status for v in verdicts] == [Status.CORRECT, Status.WRONG, Status.CORRECT, Status.NO_ANSWER]
    assert len(asked) == 1
    assert verdicts[0].seconds > 10 * verdicts[2].seconds  # the time of the comparison is counted once


def test_what_a_worker_decided_is_remembered_for_the_next_batch(boxed, asked):
    pairs = [(r"\sin(14x)", r"2\sin(7x)\cos(7x)"), (r"\frac{\pi}{4}+7", r"\arctan(1)+7")]
    first, second = boxed.compare_batch(pairs), boxed.compare_batch(pairs)
    assert [v.status for v in first + second] == [Status.CORRECT] * 4
    assert boxed.verify(pairs[0][0], rf"so \boxed{{{pairs[0][1]}}}", STOP).status is Status.CORRECT
    assert len(asked) == 2
    assert {v.path for v in second} == {DecidedBy.SYMPY}


@pytest.mark.parametrize(
    ("gold", "text", "status", "reason"),
    [
        ("3", None, Status.ERROR, "the completion is no text but NoneType"),
        ("3", b"\\boxed{3}", Status.ERROR, "the completion is no text but bytes"),
        ("3", ["3"], Status.ERROR, "the completion is no text but list"),
        (3, r"\boxed{3}", Status.BAD_GOLD, "the gold answer is no text but int"),
        (None, r"\boxed{3}", Status.BAD_GOLD, "the gold answer is no text but NoneType"),
    ],
)
def test_what_is_no_text_gets_a_status_and_the_batch_goes_on(boxed, gold, text, status, reason):
    broken, whole = boxed.verify_batch([(gold, completion(text)), ("3", completion(r"\boxed{3}"))])
    assert (broken.status, broken.reason) == (status, reason)
    assert whole.status is Status.CORRECT


ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\x00\x07\x1b[31m",
    "\ud800",
    "\udfff\ud800",
    "\ufeff\u200b\u202e",
    "\\",
    "\\boxed",
    "{" * 100_000,
    "9" * 1_000_000,
    "\\frac{" * 150_000,
    "\\boxed{" * 100_000,
    "\\boxed{3}" * 100_000,
    "\n" * 1_000_000,
    "e\u0301" * 300_000,
    "𝟛",
    "3\\",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_odd_texts_on_either_side_get_a_status_quickly(boxed, text):
    began = time.perf_counter()
    texts = [text, "\\boxed{" + text + "}", "\\boxed{" + text, "<think>" + text + "</think> \\boxed{4}"]
    found = boxed.verify_batch([("3", completion(made)) for made in texts] + [(text, completion(r"\boxed{3}"))])
    found += boxed.compare_batch([("3", text), (text, "3"), (text, text)])
    assert all(isinstance(verdict.status, Status) for verdict in found)
    assert all(len(verdict.answer or "") <= 1_000 for verdict in found)
    assert time.perf_counter() - began < 20


def test_a_fault_of_ours_is_an_error_and_the_batch_goes_on(boxed, monkeypatch, caplog):
    monkeypatch.setattr("relift.verifier.equivalence.normalise", lambda text: {}[text])
    broken, equal = boxed.compare_batch([("3", "2 + 1"), ("3", "3")])
    assert (broken.status, broken.reason) == (Status.ERROR, "the verifier raised KeyError")
    assert isinstance(equal.status, Status)
    assert "failed on an answer" in caplog.text


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


def test_a_gold_that_timed_out_is_tried_once_more(boxed, monkeypatch):
    golds = [rf"\sum_{{k=1}}^{{{n}}} a_{{k}}" for n in (11, 12, 13)]
    asked: list[int] = []
    ask = boxed.pool.replies

    def busy_at_first(pairs, **options):
        asked.append(len(pairs))
        for number, reply in ask(pairs, **options):
            is_late = number == 1 and len(asked) == 1
            yield number, dataclasses.replace(reply, status=Status.TIMEOUT) if is_late else reply

    monkeypatch.setattr(boxed.pool, "replies", busy_at_first)
    assert boxed.check_golds(golds) == [None, None, None]
    assert asked == [3, 1]
