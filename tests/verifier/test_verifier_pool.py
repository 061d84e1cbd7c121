"""Many answers at once: all workers busy, none lost, one hang or death never more than one answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

import pytest
from process_table import children_of, in_thread, is_alive

from relift.errors import Interrupted
from relift.records import Status
from relift.verifier.workers.messages import Job
from relift.verifier.workers.pool import WorkerPool
from relift.verifier.workers.slots import WorkerSlots

BY_WORD = Job(task="callable", function="own_answers:by_word")


@pytest.fixture
def pools():
    made = []

    def make(workers: int, hard_limit_seconds: float = 8.0, job: Job = BY_WORD) -> WorkerPool:
        made.append(WorkerPool(hard_limit_seconds=hard_limit_seconds, workers=workers, job=job))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def statuses(pool: WorkerPool, answers: list[str]) -> list[Status]:
    """Of the answers to the gold 3, in their order."""
    replies = dict(pool.replies([("3", answer) for answer in answers]))
    assert sorted(replies) == list(range(len(answers)))
    return [replies[number].status for number in range(len(answers))]


def test_every_answer_gets_one_reply_under_its_own_number(pools):
    found = statuses(pools(2), [str(n % 5) for n in range(300)])
    assert [status is Status.CORRECT for status in found] == [n % 5 == 3 for n in range(300)]


def test_one_calling_thread_keeps_all_workers_busy(pools):
    pool = pools(3)
    statuses(pool, ["3"] * 30)
    began = time.monotonic()
    assert set(statuses(pool, ["sleep 0.4"] * 3)) == {Status.CORRECT}
    assert time.monotonic() - began < 1.1  # one after another they take 1.2 s
    assert pool.started == 3


def test_few_answers_start_no_more_workers_than_they_need(pools):
    pool = pools(4)
    statuses(pool, ["3"])
    assert pool.started == 1


@pytest.mark.parametrize(("workers", "hung"), [(1, [0]), (1, [7]), (2, [0, 1, 2]), (2, [3, 17, 18, 40])])
def test_a_hang_costs_that_answer_alone(pools, workers, hung):
    pool = pools(workers, hard_limit_seconds=0.5)
    answers = ["spin" if number in hung else "3" for number in range(41)]
    found = statuses(pool, answers)
    assert [number for number, status in enumerate(found) if status is Status.TIMEOUT] == hung
    assert found.count(Status.CORRECT) == 41 - len(hung)
    assert pool.killed == len(hung)


def test_a_hang_is_ended_at_the_hard_limit(pools):
    pool = pools(2, hard_limit_seconds=0.5)
    replies = dict(pool.replies([("3", "sleep 9"), ("3", "3")]))
    assert 0.5 <= replies[0].seconds < 1.0
    assert replies[0].reason == "no verdict within 0.5 s"


def test_the_limit_is_of_each_answer_and_not_of_their_message(pools):
    assert set(statuses(pools(1, hard_limit_seconds=0.5), ["sleep 0.2"] * 6)) == {Status.CORRECT}


def test_an_answer_that_kills_its_worker_is_tried_twice_and_is_an_error(pools):
    pool = pools(1)
    found = statuses(pool, ["3", "vanish", "3", "4"])
    assert found == [Status.CORRECT, Status.ERROR, Status.CORRECT, Status.WRONG]
    assert pool.killed == 2
    assert pool.compare("3", "vanish").reason == "it killed the verifier's worker twice: exit status 7"


def test_a_long_message_goes_through_a_short_pipe(pools):
    long = "9" * 50_000
    assert statuses(pools(2), [long, "3"] * 20) == [Status.WRONG, Status.CORRECT] * 20


def test_a_worker_that_no_longer_reads_costs_no_more_than_the_limit(pools):
    pool = pools(1, hard_limit_seconds=0.5)
    pool.compare("3", "3")
    os.kill(pool.processes[0], signal.SIGSTOP)
    reply = pool.compare("3", "9" * 500_000)  # more than the pipe holds
    assert reply.status is Status.TIMEOUT
    assert reply.seconds < 1.5
    assert pool.compare("3", "3").status is Status.CORRECT


def test_a_pause_of_everything_is_nobodys_timeout(pools):
    pool = pools(1, hard_limit_seconds=0.5)
    pool.compare("3", "3")
    looks: list[float] = []

    def check() -> None:
        looks.append(time.monotonic())
        if len(looks) == 2:  # the answer is in hand: now a container is frozen for a while
            os.kill(pool.processes[0], signal.SIGSTOP)
            time.sleep(2)
            os.kill(pool.processes[0], signal.SIGCONT)

    replies = dict(pool.replies([("3", "sleep 0.3")], check=check))
    assert replies[0].status is Status.CORRECT
    assert pool.killed == 0


def test_leaving_early_kills_what_is_still_compared_and_nothing_else(pools):
    pool = pools(2, hard_limit_seconds=60)
    statuses(pool, ["3"] * 30)
    before = set(pool.processes)
    replies = pool.replies([("3", "sleep 30"), ("3", "3")])
    assert next(replies)[0] == 1
    began = time.monotonic()
    replies.close()
    assert time.monotonic() - began < 1
    assert len(before & set(pool.processes)) == 1
    assert set(statuses(pool, ["3"] * 10)) == {Status.CORRECT}


def test_the_callers_check_may_stop_it_at_any_time(pools):
    pool = pools(1, hard_limit_seconds=60)
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() > began + 0.5:
            raise Interrupted("enough")

    with pytest.raises(Interrupted, match="enough"):
        list(pool.replies([("3", "sleep 30")], check=check))
    assert time.monotonic() - began < 2
    assert pool.compare("3", "3").status is Status.CORRECT


def test_closing_ends_what_another_thread_waits_for(pools):
    pool = pools(2, hard_limit_seconds=60)
    left: list[int] = []

    def close() -> None:
        workers = pool.processes
        pool.close()
        left.extend([worker for worker in workers if is_alive(worker)] if workers else [-1])

    threading.Timer(0.6, close).start()

    def wait() -> str:
        with pytest.raises(Interrupted) as stopped:
            list(pool.replies([("3", "sleep 30")] * 3))
        return str(stopped.value)

    began = time.monotonic()
    assert "closed" in in_thread(wait)
    assert time.monotonic() - began < 2
    assert (left, pool.processes) == ([], [])
    assert pool.compare("3", "3").status is Status.CORRECT


def test_a_small_batch_does_not_wait_for_a_large_one(pools):
    pool = pools(1)
    pool.compare("3", "3")
    done: list[str] = []

    def large() -> None:
        statuses(pool, ["sleep 0.02"] * 100)
        done.append("large")

    thread = threading.Thread(target=large)
    thread.start()
    time.sleep(0.3)
    assert pool.compare("3", "3").status is Status.CORRECT
    assert done == []
    thread.join(30)
    assert done == ["large"]


def test_many_threads_share_the_workers(pools):
    pool = pools(2, hard_limit_seconds=1.0)
    found: Counter[Status] = Counter()
    lock = threading.Lock()

    def ask(number: int) -> None:
        mine = statuses(pool, ["3", "4", "vanish" if number == 1 else "3", "spin" if number == 2 else "3", "3"])
        with lock:
            found.update(mine)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {Status.CORRECT: 46, Status.WRONG: 12, Status.ERROR: 1, Status.TIMEOUT: 1}
    assert len(pool.processes) <= 2


def test_no_process_is_left_by_a_pool_that_nobody_closed():
    before = children_of(os.getpid())
    pool = WorkerPool(workers=2, job=BY_WORD)
    statuses(pool, ["3"] * 30)
    assert len(children_of(os.getpid()) - before) == 2
    del pool
    assert children_of(os.getpid()) == before


def test_slots_are_given_in_the_order_of_asking_and_none_is_lost():
    class Holder:
        pass

    slots, first, second = WorkerSlots(1), Holder(), Holder()
    slots.take(first, lambda: None)
    order: list[str] = []

    def ask(name: str) -> None:
        holder = Holder()
        slots.take(holder, lambda: None)
        order.append(name)
        slots.give_back(holder)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert slots.is_wanted
    assert not slots.take_if_free(second)
    slots.give_back_all(first)
    for thread in threads:
        thread.join(5)
    assert order == ["a", "b", "c"]
    assert slots.take_if_free(second)
    del second  # a holder that is gone holds nothing
    assert slots.take_if_free(first)
