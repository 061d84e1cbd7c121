"""A teacher's limits, with a clock that only the test moves."""

from __future__ import annotations

from relift.teacher.budget import Budget
from relift.teacher.limits import Pause, RateLimiter, backoff


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_requests_are_spread_evenly_over_the_minute():
    clock = Clock()
    limiter = RateLimiter(30, clock)  # one every two seconds
    assert [limiter.reserve(1) for _ in range(4)] == [0, 2, 4, 6]
    clock.now += 7
    assert limiter.reserve(1) == 1  # the fifth is due at 108
    clock.now += 100
    assert limiter.reserve(1) == 0  # time that went by unused is not saved up
    assert limiter.reserve(1) == 2


def test_tokens_that_were_not_used_are_given_back():
    clock = Clock()
    limiter = RateLimiter(600, clock)  # ten a second
    assert limiter.reserve(100) == 0
    assert limiter.reserve(50) == 10
    limiter.give_back(80)  # the first used 20: what comes now is due after 2 + 5 seconds
    assert limiter.reserve(1) == 7


def test_without_a_limit_nothing_waits():
    limiter = RateLimiter(None, Clock())
    assert [limiter.reserve(10**9) for _ in range(3)] == [0, 0, 0]


def test_a_server_that_asks_for_a_pause_gets_it_from_all():
    clock = Clock()
    pause = Pause(0.5, clock=clock)
    pause.failed("HTTP 429", retry_after=7)
    assert (pause.seconds_left, pause.is_down) == (7, False)
    pause.failed("HTTP 429", retry_after=3)  # a shorter one does not end the longer
    assert pause.seconds_left == 7
    clock.now += 7
    assert pause.seconds_left == 0


def test_a_server_that_asks_for_more_than_a_minute_is_down_until_it_answers():
    clock = Clock()
    pause = Pause(0.5, together=8, clock=clock)
    pause.failed("HTTP 429", retry_after=60)
    assert not pause.is_down
    pause.failed("HTTP 429", retry_after=61)
    assert (pause.is_down, pause.longest_asked) == (True, 61)
    pause.succeeded()
    assert pause.is_down  # what was answered had been sent before
    clock.now += 61
    assert pause.is_down  # nothing has been answered yet
    pause.succeeded()
    assert not pause.is_down


def test_one_refusal_of_every_request_is_enough_to_be_down():
    clock = Clock()
    pause = Pause(0.5, together=8, clock=clock)
    pause.failed("HTTP 401", None, is_refused=True)
    assert (pause.is_down, pause.seconds_left) == (True, 0.5)
    clock.now += 0.5
    pause.failed("HTTP 500", None)  # of one that was under way: no sign that anything is well again
    assert (pause.is_refused, pause.seconds_left) == (True, 1)
    pause.succeeded()
    assert not pause.is_down


def test_where_nothing_answers_the_pause_doubles_once_a_wave_and_ends_with_the_first_answer():
    clock = Clock()
    pause = Pause(0.5, clock=clock)
    for _ in range(2):
        pause.failed("refused", None)
    assert (pause.seconds_left, pause.is_down) == (0, False)
    waited = []
    for _ in range(3):
        for _ in range(8):  # eight under way together fail together
            pause.failed("refused", None)
        waited.append(pause.seconds_left)
        clock.now += pause.seconds_left
    assert waited == [0.5, 1, 2]
    assert (pause.is_down, pause.last_failure, pause.failures_in_a_row) == (True, "refused", 26)
    pause.succeeded()
    assert not pause.is_down
    for _ in range(3):
        pause.failed("refused", None)
    assert pause.seconds_left == 0.5


def test_requests_that_are_under_way_together_may_fail_together_without_the_teacher_being_down():
    pause = Pause(0.5, together=8, clock=Clock())
    for _ in range(9):
        pause.failed("HTTP 500", None)
    assert not pause.is_down
    pause.failed("HTTP 500", None)
    assert pause.is_down


def test_a_budget_counts_what_is_out_until_its_true_cost_is_known():
    budget = Budget(1.0, spent=0.25)
    assert budget.reserve(0.5)
    assert not budget.reserve(0.5)
    assert not budget.is_settled
    budget.settle(0.5, 0.125)
    assert budget.is_settled
    assert budget.reserve(0.5)  # 0.375 spent
    assert not budget.reserve(0.25)
    budget.settle(0.5, 0.0)
    budget.spend(0.5)  # paid for earlier, as it turns out
    assert not budget.reserve(0.25)
    assert budget.reserve(0.125)
    assert Budget(None, spent=10**6).reserve(10**6)


def test_a_backoff_doubles_and_stays_below_a_minute():
    assert [backoff(0.5, n) for n in (0, 1, 2, 3, 7, 1000)] == [0.5, 1, 2, 4, 60, 60]
