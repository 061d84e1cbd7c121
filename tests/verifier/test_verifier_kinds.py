"""Answer kinds beside free-form mathematics: choices, texts, numbers within a tolerance, a user's own function."""

from __future__ import annotations

import pytest

from relift.config import RunConfig
from relift.config.recipe import validated
from relift.errors import ConfigError
from relift.records import Completion, DecidedBy, FinishReason, Status
from relift.verifier import Verifier
from relift.verifier.configured import exactly, make_verifier, require_comparison
from relift.verifier.kinds import Comparison, choices, in_one_spelling

STOP = FinishReason.STOP

RIGHT, WRONG = Status.CORRECT, Status.WRONG


def configuration(**questions: object) -> RunConfig:
    return validated({"questions": {"format": "rows", **questions}}, origin="the test")


def verdicts(verifier: Verifier, gold: str, answers: list[str]) -> list[Status]:
    return [verdict.status for verdict in verifier.compare_batch([(gold, answer) for answer in answers])]


@pytest.fixture
def own():
    comparison = Comparison(kind="callable", function="own_answers:by_word")
    with Verifier("boxed", comparison=comparison, hard_limit_seconds=1.0, workers=1) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("B)", "B"),
        (r"\text{B}", "B"),
        (r"\textbf{(B)}", "B"),
        ("$B$", "B"),
        ("B. Paris", "B"),
        ("(B) 12 apples", "B"),
        (r"\text{(B) } 12", "B"),
        ("A, C and D", "ACD"),
        ("ACD", "ACD"),
        ("A and C", "AC"),
        ("A or B", ""),
        ("A. or B.", ""),
        ("(A) or (B)", ""),
        ("not A", ""),
        ("Paris", ""),
        ("", ""),
        ("12", ""),
        ("?", ""),
    ],
)
def test_a_choice_is_read_from_its_letters(text, letters):
    assert choices(text) == frozenset(letters)


def test_choices_are_compared_as_sets_of_letters():
    with Verifier("boxed", comparison=Comparison(kind="choice")) as verifier:
        assert verdicts(verifier, "B", ["B", "(b)", "A", "AB", "A or B", "E"]) == [RIGHT, RIGHT] + [WRONG] * 4
        assert verdicts(verifier, "AC", ["C, A", "A", "ABC"]) == [RIGHT, WRONG, WRONG]
        assert verifier.check_golds(["B", "A,C", "Paris", ""]) == [
            None,
            None,
            "not a choice: one letter, or several",
            "empty",
        ]
        assert verifier.pool.started == 0


def test_texts_are_equal_up_to_blanks_and_their_wrapper():
    with Verifier("boxed", comparison=Comparison(kind="text")) as verifier:
        same = ["New York", " New  York\n", r"\text{New York}", "$New York$"]
        assert verdicts(verifier, "New York", [*same, "new york", "NewYork", "New"]) == [RIGHT] * 4 + [WRONG] * 3
        assert verdicts(verifier, "0.5", ["0.5", "1/2"]) == [RIGHT, WRONG]
        assert verifier.check_golds(["x", "  "]) == [None, "empty"]
        assert in_one_spelling("e\u0301") == "\u00e9"


def test_numbers_are_equal_within_the_tolerance_and_not_beyond():
    # A hundredth of 200 is 2, and both ends count; around 0 the hundredth itself.
    with Verifier("boxed", comparison=Comparison(kind="number", tolerance=exactly(0.01))) as verifier:
        near = ["200", "198", "202", "2.02e2", r"\frac{404}{2}", "201.99999", r"2 \times 10^2"]
        assert verdicts(verifier, "200", near) == [RIGHT] * 7
        assert verdicts(verifier, "200", ["202.0000001", "197.9", "-200", "2e3", ""]) == [WRONG] * 4 + [
            Status.MALFORMED
        ]
        assert verdicts(verifier, "0", ["0.01", "-0.01", "0.011"]) == [RIGHT, RIGHT, WRONG]
        assert verdicts(verifier, "-50", [r"-50.5", "50"]) == [RIGHT, WRONG]
        assert verdicts(verifier, "50", [r"50\%", r"5000\%"]) == [RIGHT, RIGHT]
        assert verdicts(verifier, r"5000\%", ["50", r"50\%"]) == [RIGHT, WRONG]
        assert verifier.check_golds(["6.02e23", "x", ""]) == [None, "not a number", "empty"]
        assert verifier.pool.started == 0


def test_an_expression_is_evaluated_before_it_is_compared_with_a_number():
    with Verifier("boxed", comparison=Comparison(kind="number", tolerance=exactly(0.001)), workers=1) as verifier:
        answers = [
            r"\frac{\sqrt{3}}{2}",
            r"\sin(\frac{\pi}{3})",
            r"\frac{\sqrt{3}}{3}",
            "x",
            "i",
            "0.866 = 0.866",
            "0.866, 1",
        ]
        found = verifier.compare_batch([("0.8660254", answer) for answer in answers])
        assert [verdict.status for verdict in found] == [RIGHT, RIGHT] + [WRONG] * 5
        assert found[0].path is DecidedBy.SYMPY


def test_a_callable_decides_in_a_process_of_its_own(own):
    found = own.compare_batch([("3", "3"), ("3", "4")])
    assert [(verdict.status, verdict.path) for verdict in found] == [
        (RIGHT, DecidedBy.CALLABLE),
        (WRONG, DecidedBy.CALLABLE),
    ]
    boxed = Completion(token_ids=(), logprobs=(), text=r"\boxed{3}", finish_reason=FinishReason.STOP, policy_version=0)
    assert own.verify_batch([("3", boxed)])[0].status is RIGHT
    assert own.check_golds(["anything at all", " "]) == [None, "empty"]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ("raise this", Status.ERROR, "own_answers:by_word raised ValueError: cannot read this"),
        ("exit", Status.ERROR, "own_answers:by_word raised SystemExit: 3"),
        ("vanish", Status.ERROR, "it killed the verifier's worker twice: exit status 7"),
        ("spin", Status.TIMEOUT, "no verdict within 1 s"),
        ("read", Status.ERROR, "own_answers:by_word raised EOFError: EOF when reading a line"),
        ("9" * 50_001, WRONG, "50001 characters"),
        ("raise " + "x" * 1_000, Status.ERROR, "..."),
    ],
)
def test_a_callable_that_fails_gets_a_status_with_its_text_and_the_next_one_is_answered(own, answer, status, reason):
    failed, next_one = own.compare_batch([("3", answer), ("3", "3")])
    assert failed.status is status
    assert failed.reason.endswith(reason)
    assert len(failed.reason) <= 300
    assert next_one.status is RIGHT


def test_a_callable_may_print_as_much_as_it_likes(own):
    assert set(verdicts(own, "3", [f"print {3_000_000 + n}" for n in range(20)])) == {RIGHT}


def test_a_callable_that_returns_no_bool_is_an_error():
    with Verifier("boxed", comparison=Comparison(kind="callable", function="own_answers:says_yes")) as verifier:
        verdict = verifier.compare("3", "3")
        assert (verdict.status, verdict.reason) == (Status.ERROR, "own_answers:says_yes returned str, not a bool")


def test_too_many_failures_end_a_batch_before_each_has_taken_its_time(own):
    answers = [f"spin {n}" for n in range(40)]
    pairs = [
        (
            "3",
            Completion(
                token_ids=(), logprobs=(), text=rf"\boxed{{{a}}}", finish_reason=FinishReason.STOP, policy_version=0
            ),
        )
        for a in answers
    ]
    found = own.verify_batch(pairs, max_failed_share=0.05)  # 2 of 40 may fail; the third ends it
    reasons = [verdict.reason for verdict in found]
    assert reasons.count("no verdict within 1 s") == 3
    assert reasons.count("not compared, since too many before it had failed") == 37
    assert {verdict.status for verdict in found} == {Status.TIMEOUT, Status.ERROR}


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("own_answers:no_such", "has no attribute 'no_such'"),
        ("own_answers:not_a_function", "is no function but a int"),
    ],
)
def test_a_callable_that_is_not_there_is_refused_before_anything_is_compared(function, fault):
    config = configuration(answer_kind="callable", answer_callable=function)
    with (
        make_verifier(config, think_opened=False) as verifier,
        pytest.raises(ConfigError, match=r"answer_callable=.*cannot be used") as said,
    ):
        require_comparison(config, verifier)
    assert fault in str(said.value)


def test_the_configuration_makes_the_verifier_it_names():
    config = configuration(answer_kind="number", answer_tolerance=0.01)
    with make_verifier(config, think_opened=False) as verifier:
        require_comparison(config, verifier)
        assert verifier.comparison == Comparison(kind="number", tolerance="1/100")
        assert verifier.hard_limit_seconds == 8.0
    config = configuration(answer_kind="callable", answer_callable="own_answers:same", answer_seconds=30)
    with make_verifier(config, think_opened=False) as verifier:
        require_comparison(config, verifier)
        assert verifier.hard_limit_seconds == 30.0
    config = configuration(rounded_golds=True, final_answer="first", answer_form="flexible")
    with make_verifier(config, think_opened=False) as verifier:
        assert verifier.compare("1.41", r"\sqrt{2}").status is Status.CORRECT
        assert verifier.verify("3", "It is 3. The answer is 3.\nNo: the answer is 4", STOP).status is Status.CORRECT
        exact = verifier.reading(form="boxed", rounded_golds=False)
        assert exact.compare("1.41", r"\sqrt{2}").status is Status.WRONG
        assert exact.verify("3", "The answer is 3.", STOP).status is Status.NO_ANSWER


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("3.1416", [r"\pi", "3.14159", "3.14159265"], ["3.142", "3.1415", "22/7", "3.1417"]),
        ("1.41", [r"\sqrt{2}", "1.414"], ["1.4", "1.416", r"\sqrt{2.1}"]),
        ("41.494", [r"17 + 10\sqrt{6}"], [r"17 + 10\sqrt{7}", "41.4949"]),
        ("-0.67", [r"-\frac23", r"-\frac{2}{3}"], [r"\frac23", "-0.7"]),
        (r"6.67\%", [r"\frac{1}{15}", r"\frac{20}{3}\%", r"\frac{20}{3}"], [r"\frac{1}{16}", r"7\%"]),
        ("0.67", [r"66.67\%"], [r"65\%"]),
        (r"113.4\%", ["1.134"], [r"113.33\%", r"113\%"]),
        ("1/3, 1.732, 3.1416", [r"\frac13, \sqrt3, \pi"], [r"\frac13, \pi, \sqrt3", r"\frac13, \sqrt3"]),
        (r"180.67 \text{ s}", [r"\frac{542}{3}", r"\frac{542}{3} \text{ seconds}"], [r"\frac{542}{3} \text{ m}"]),
        (r"x \approx 7.64", [r"\sqrt{58.4}", r"x = \sqrt{58.4}"], [r"y = \sqrt{58.4}"]),
        ("0.5", [r"\frac{6}{11}"], [r"\frac{5}{9}", "0.54x", r"\frac{59}{100}"]),
        ("3", ["3.0"], [r"\pi", "3.1"]),
        ("300", ["300"], ["299.94"]),
    ],
)
def test_an_exact_answer_is_right_where_it_rounds_to_a_rounded_gold(gold, right, wrong):
    with Verifier("boxed", comparison=Comparison(rounded_golds=True), workers=1) as verifier:
        for answers, status in ((right, Status.CORRECT), (wrong, Status.WRONG)):
            found = verifier.compare_batch([(gold, answer) for answer in answers])
            assert [one.status for one in found] == [status] * len(answers)


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ({"answer_tolerance": 0.1}, "answer_tolerance would be ignored by answer_kind 'math'"),
        ({"answer_kind": "number"}, "answer_kind 'number' needs questions.answer_tolerance"),
        ({"answer_kind": "number", "answer_tolerance": -1}, "greater than or equal to 0"),
        ({"answer_kind": "number", "answer_tolerance": float("nan")}, "answer_tolerance"),
        ({"answer_kind": "callable"}, "answer_kind 'callable' needs questions.answer_callable"),
        ({"answer_kind": "callable", "answer_callable": "no function"}, "answer_callable"),
        ({"answer_kind": "text", "answer_callable": "a:b"}, "answer_callable would be ignored by answer_kind 'text'"),
        ({"answer_kind": "choice", "answer_seconds": 3}, "answer_seconds would be ignored by answer_kind 'choice'"),
        ({"answer_kind": "choice", "answer_form": "equals"}, "does not go with answer_form 'equals'"),
        ({"answer_kind": "maths"}, "answer_kind"),
        ({"answer_kind": "text", "rounded_golds": True}, "rounded_golds would be ignored by answer_kind 'text'"),
        ({"answer_form": "equals", "rounded_golds": True}, "rounded_golds would be ignored by answer_form 'equals'"),
        ({"answer_form": "equals", "final_answer": "first"}, "final_answer 'first' would be ignored by answer_form"),
        (
            {"format": "arithmetic", "families": {"add3": 1}, "count": 9, "answer_kind": "choice"},
            "does not go with format 'arithmetic'",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(questions, said):
    with pytest.raises(ConfigError) as refused:
        configuration(**questions)
    assert said in str(refused.value)
