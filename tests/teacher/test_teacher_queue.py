"""Questions in, demonstrations out: in order of the sources, never waited for, nothing paid for twice."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from relift.config import QuestionsConfig
from relift.errors import Interrupted, LedgerError, StoreError
from relift.ledger import Ledger
from relift.records import Demonstration, Question
from relift.teacher import DatasetTeacher
from relift.teacher.queue import TeacherQueue
from relift.verifier import Verifier
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import FAULTY, PROMPT_TOKENS, FaultyServer, Script
from tests.teacher.hostile_server import hostile

Serve = Callable[..., FaultyServer]
OpenQueue = Callable[..., tuple[TeacherQueue, Ledger]]
PATIENT = 60.0


def solved(queue: TeacherQueue, questions: list[Question], seconds: float = PATIENT) -> list[Demonstration]:
    queue.ask(questions)
    queue.wait(seconds)
    demonstrations, _ = queue.pick_up()
    queue.delivered(demonstrations)
    return demonstrations


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def dataset(student):
    config = QuestionsConfig(format="arithmetic", answer_form="equals", families={"mul2": 1}, count=1)
    with Verifier("equals") as verifier:
        yield DatasetTeacher(config, verifier=verifier, student=student, max_tokens=48)


def test_every_question_gets_the_solution_that_the_server_knows(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    queue, ledger = open_queue(api_config(serve().url))
    found = solved(queue, questions[:20])
    assert {d.question_id: d.text for d in found} == {q.id: q.solution for q in questions[:20]}
    assert {(d.is_admitted, d.source) for d in found} == {(True, "api/scripted")}
    assert all(d.latency_seconds > 0 for d in found)
    assert ledger.requests.totals().answered == 20
    assert queue.pick_up() == ([], [])


def test_a_faulty_server_costs_time_and_never_teaches_anything_wrong(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(FAULTY)
    queue, ledger = open_queue(api_config(server.url, candidates=2, concurrency=16, attempts=8))
    found = solved(queue, questions)
    outcomes = {s.outcome for s in server.seen}
    assert outcomes >= {"too_many", "broken", "slow", "torn", "cut", "wrong", "right"}
    by_id = {q.id: q for q in questions}
    admitted = [d for d in found if d.is_admitted]
    assert all(d.text == by_id[d.question_id].solution for d in admitted)
    assert len({d.question_id for d in admitted}) == len(admitted) > 0.9 * len(questions)
    refusals = {(d.refusal or "").partition(":")[0] for d in found if not d.is_admitted}
    assert {"wrong", "truncated"} <= refusals
    assert {d.text for d in found if (d.refusal or "").startswith("wrong")} <= server.wrong_texts
    # Nothing that was answered was asked again, in spite of every fifth request failing.
    assert max(server.answered.values()) == 1
    assert ledger.requests.totals().answered == sum(server.answered.values()) == 2 * len(questions)


def test_the_shortest_admitted_candidate_is_the_demonstration(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    question = next(q for q in questions if q.source.endswith("mul2"))
    long, short = f"{question.solution}={question.answer}", question.solution
    server = serve(solutions={"a" + question.text: long, "b" + question.text: short})
    first, _ = open_queue(api_config(server.url, prompt="a{question}"), run="first")
    second, _ = open_queue(api_config(server.url, prompt="b{question}"), run="second")
    offered = solved(first, [question]) + solved(second, [question])
    assert [d.text for d in offered if d.is_admitted] == [long, short]

    from relift.teacher.admission import choose_shortest

    chosen = choose_shortest([*offered, offered[0]])
    assert [d.text for d in chosen] == [short, long]
    assert [d.is_admitted for d in chosen] == [True, False]
    assert chosen[1].refusal == f"not the shortest: {offered[0].tokens} tokens, another has {offered[1].tokens}"


def test_where_no_candidate_is_admitted_further_ones_are_asked_and_only_there(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(Script(wrong=0.5))
    queue, ledger = open_queue(api_config(server.url, candidates=1, rounds=6))
    found = solved(queue, questions[:30])
    asked = {q.id: 0 for q in questions[:30]}
    for question, count in ledger.execute("SELECT question_id, count(*) FROM teacher_requests GROUP BY ALL"):
        asked[question] = count
    refused = {q: sum(d.question_id == q and not d.is_admitted for d in found) for q in asked}
    admitted = {d.question_id for d in found if d.is_admitted}
    assert len(admitted) >= 28
    # The scripted server repeats itself when it errs, so a question's refused solutions are one text.
    assert all((asked[q] > 1) == (refused[q] == 1) for q in admitted)
    assert 1.5 < sum(asked.values()) / 30 < 2.5  # 1 + 1/2 + 1/4 + ... = 2


def test_the_dataset_answers_at_once_and_the_api_only_what_the_dataset_cannot(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], dataset: DatasetTeacher
) -> None:
    server = serve()
    queue, _ = open_queue(api_config(server.url), before=(dataset,))
    bare = [dataclasses.replace(q, solution=None) for q in questions[:3]]
    queue.ask([*bare, *questions[3:9]])
    at_once, _ = queue.pick_up()
    assert [d.question_id for d in at_once if d.source == "dataset"] == [q.id for q in questions[3:9]]
    queue.wait(PATIENT)
    found, owed = queue.pick_up()
    assert owed == []
    assert {s.question for s in server.seen} == {q.text for q in bare}
    of_bare = [d for d in found if d.question_id in {q.id for q in bare}]
    assert [(d.source, d.refusal) for d in of_bare if not d.is_admitted] == [
        ("dataset", "no solution in the dataset")
    ] * 3
    assert {d.text for d in of_bare if d.is_admitted} == {q.solution for q in questions[:3]}


def test_a_source_behind_the_api_takes_over_when_the_api_is_down(
    open_queue: OpenQueue, questions: list[Question], dataset: DatasetTeacher
) -> None:
    queue, _ = open_queue(api_config("http://127.0.0.1:9/v1", attempts=2), after=(dataset,))
    found = solved(queue, questions[:4])
    assert {(d.source, d.is_admitted) for d in found} == {("dataset", True)}
    assert len(found) == 4


def test_handing_in_and_picking_up_never_waits_for_a_slow_teacher(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(Script(delay_seconds=0.4))
    queue, _ = open_queue(api_config(server.url, timeout_seconds=5))
    began = time.monotonic()
    queue.ask(questions[:8])
    queue.wait(0.0)
    demonstrations, owed = queue.pick_up()
    assert time.monotonic() - began < 0.3
    assert (demonstrations, owed) == ([], [q.id for q in questions[:8]])
    with queue.answering():  # an update is under way: now waiting costs nothing
        queue.wait(0.0)
    late, owed = queue.pick_up()
    assert {d.question_id for d in late} == {q.id for q in questions[:8]}
    assert owed == []
    assert len(server.seen) == 8


def test_the_end_of_the_update_ends_the_waiting(serve: Serve, open_queue: OpenQueue, questions: list[Question]) -> None:
    import threading

    server = serve(Script(delay_seconds=2))
    queue, _ = open_queue(api_config(server.url, timeout_seconds=5))
    queue.ask(questions[:1])
    began = time.monotonic()
    with queue.answering():
        waiting = threading.Thread(target=queue.wait, args=(0.0,))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
    waiting.join()
    assert 0.2 <= time.monotonic() - began < 1


def test_a_request_to_stop_ends_the_waiting(serve: Serve, open_queue: OpenQueue, questions: list[Question]) -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    queue, _ = open_queue(api_config(serve(Script(delay_seconds=1)).url))
    queue.ask(questions[:1])
    with pytest.raises(Interrupted):
        queue.wait(PATIENT, stop)


def test_what_was_not_delivered_is_offered_again(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    queue, _ = open_queue(api_config(serve().url))
    queue.ask(questions[:2])
    queue.wait(PATIENT)
    first, _ = queue.pick_up()
    assert queue.pick_up()[0] == first  # recording them failed: nothing is lost
    queue.delivered(first)
    assert queue.pick_up() == ([], [])


def test_a_teacher_that_is_down_is_said_to_be_and_its_questions_wait_for_a_better_day(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    from tests.teacher.faulty_server import serving

    server = FaultyServer({q.text: q.solution or "" for q in questions})
    with serving(server):
        port = int(server.url.rpartition(":")[2].partition("/")[0])
    queue, ledger = open_queue(api_config(server.url, attempts=2, concurrency=2))
    with queue.answering():
        queue.ask(questions[:3])
        queue.wait(0.0)
    assert queue.trouble.startswith("the teacher is down: 6 requests in a row without an answer, the last one: conn")
    assert queue.pick_up() == ([], [q.id for q in questions[:3]])
    assert ledger.execute("SELECT DISTINCT failure FROM teacher_requests")[0][0].startswith("connection failed")
    with serving(server, port), queue.answering():  # it came back
        found = solved(queue, questions[:3])
    assert {d.text for d in found} == {q.solution for q in questions[:3]}
    assert queue.trouble == ""


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_teacher_that_refuses_every_request_is_down_at_once_and_loses_no_question(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], status: int
) -> None:
    server = serve()
    queue, _ = open_queue(api_config(server.url, candidates=2, rounds=3, concurrency=4, backoff_seconds=0.2))
    solved(queue, questions[:2])
    server.refuse = lambda body: (status, "no more")
    queue.ask(questions[2:40])
    until(lambda: queue.busy == 0)
    assert queue.trouble.startswith("the teacher is down: it refuses every request: ")
    assert f"HTTP {status}" in queue.trouble
    assert queue.pick_up() == ([], [q.id for q in questions[2:40]])
    assert server.refused <= 8, "those that waited were sent into the same refusal"
    server.refuse = lambda body: None
    time.sleep(0.5)
    with queue.answering():
        found = solved(queue, questions[2:40])
    assert {d.text for d in found} == {q.solution for q in questions[2:40]}
    assert queue.trouble == ""


def test_a_teacher_that_refuses_one_request_after_another_is_down_and_loses_no_question(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(refuse=lambda body: (400, "unknown parameter"))
    queue, ledger = open_queue(api_config(server.url, rounds=3, concurrency=1))
    for asked in range(1, 5):  # few at a time, as in an iteration with few hard questions
        queue.ask(questions[:2])
        until(lambda: queue.busy == 0)
        assert server.refused == 2 * asked  # one round each
        assert bool(queue.trouble) == (asked > 1)
    assert queue.trouble.startswith(
        "the teacher is down: 8 requests in a row without an answer, the last one: HTTP 400"
    )
    assert queue.pick_up() == ([], [q.id for q in questions[:2]])
    assert ledger.execute("SELECT DISTINCT attempts FROM teacher_requests") == [(4,)]
    server.refuse = lambda body: None
    with queue.answering():
        assert len(solved(queue, questions[:2])) == 2
    assert queue.trouble == ""


def test_a_question_that_is_refused_again_while_others_are_answered_is_given_up(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    bad = questions[0]
    server = serve(refuse=lambda body: (400, "flagged") if body["messages"][-1]["content"] == bad.text else None)
    queue, _ = open_queue(api_config(server.url, concurrency=1))
    solved(queue, [bad])
    assert queue.pick_up()[1] == [bad.id]
    solved(queue, questions[:3])
    solved(queue, questions[:1])
    assert queue.pick_up() == ([], [])
    assert queue.trouble == ""
    assert server.refused <= 3


def test_a_long_pause_that_a_server_asks_for_is_said_and_ends_the_waiting(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    queue, _ = open_queue(api_config(serve(Script(too_many=1, retry_after="3600")).url))
    queue.ask(questions[:2])
    began = time.monotonic()
    queue.wait(PATIENT)
    assert time.monotonic() - began < 10
    assert queue.trouble.startswith("the teacher is down: it asked for a pause of 3600 s: HTTP 429")


def test_a_later_run_and_a_resumed_one_pay_nothing_for_what_is_known(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve()
    config = api_config(server.url, usd_per_million_output=1.0)
    first, ledger = open_queue(config, run="first")
    expected = [d.text for d in solved(first, questions[:6])]
    paid = ledger.requests.spent_usd()
    assert paid == pytest.approx(sum(len(q.solution or "") for q in questions[:6]) / 1e6)
    first.close()
    ledger.close()
    resumed, ledger = open_queue(config, run="first")
    other, its_ledger = open_queue(config, run="second")
    for queue in (resumed, other):
        assert sorted(d.text for d in solved(queue, questions[:6])) == sorted(expected)
    assert len(server.seen) == 6
    assert ledger.requests.spent_usd() == paid
    assert its_ledger.requests.spent_usd() == 0
    assert (its_ledger.requests.totals().answered, its_ledger.requests.totals().bought) == (6, 0)


def test_a_run_that_lost_its_ledger_is_charged_for_what_it_paid_and_keeps_to_its_budget(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path
) -> None:
    server = serve()
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 10.0}
    first, ledger = open_queue(api_config(server.url, **prices), run="first")
    solved(first, questions[:6])
    paid = ledger.requests.spent_usd()
    first.close()
    ledger.close()
    (tmp_path / "first" / "ledger.duckdb").unlink()  # another machine, whose snapshot is of the beginning

    again, ledger = open_queue(api_config(server.url, **prices, budget_usd=paid + 1e-5), run="first")
    assert len(solved(again, questions[:6])) == 6
    assert ledger.requests.spent_usd() == pytest.approx(paid)
    assert (ledger.requests.totals().bought, len(server.seen)) == (6, 6)
    assert solved(again, questions[6:8]) == []
    assert "is spent" in again.trouble
    assert len(server.seen) == 6


def test_what_was_set_aside_for_an_answer_is_taken_back_when_the_run_finds_it_kept(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    config = api_config(serve().url, usd_per_million_output=10.0)
    first, ledger = open_queue(config, run="first")
    solved(first, questions[:1])
    paid = ledger.requests.spent_usd()
    first.close()
    # The snapshot was taken while the request was under way.
    ledger._write("UPDATE teacher_requests SET answer = NULL, cost_usd = NULL, unanswered_usd = 48e-5", ())
    ledger.close()
    again, ledger = open_queue(config, run="first")
    solved(again, questions[:1])
    assert ledger.requests.spent_usd() == pytest.approx(paid)
    assert ledger.execute("SELECT attempts FROM teacher_requests") == [(1,)]


def test_an_answer_that_a_newer_version_kept_is_not_paid_for_again(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path
) -> None:
    server = serve()
    solved(open_queue(api_config(server.url), run="first")[0], questions[:1])
    (stored,) = (tmp_path / ".teacher").glob("*.json")
    stored.write_text(stored.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreError, match="newer version"):
        solved(open_queue(api_config(server.url), run="second")[0], questions[:1])
    assert len(server.seen) == 1


def test_an_answer_that_was_recorded_but_not_kept_for_others_is_kept_when_it_is_met_again(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path
) -> None:
    server = serve()
    queue, _ = open_queue(api_config(server.url))
    solved(queue, questions[:1])
    (stored,) = (tmp_path / ".teacher").glob("*.json")
    kept = stored.read_bytes()
    stored.unlink()
    solved(queue, questions[:1])
    assert stored.read_bytes() == kept
    assert len(server.seen) == 1


def test_a_damaged_stored_answer_is_asked_for_again(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path
) -> None:
    server = serve()
    solved(open_queue(api_config(server.url), run="first")[0], questions[:1])
    (stored,) = (tmp_path / ".teacher").glob("*.json")
    stored.write_bytes(stored.read_bytes()[:-40])
    assert len(solved(open_queue(api_config(server.url), run="second")[0], questions[:1])) == 1
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("field", "lie"),
    [
        ("input_tokens", 10**12),
        ("output_tokens", -1),
        ("cost_usd", float("nan")),
        ("cost_usd", -5.0),
        ("text", None),
        ("finish_reason", "tool_calls"),
    ],
)
def test_a_stored_answer_that_somebody_spoilt_is_asked_for_again(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path, field: str, lie: object
) -> None:
    import json

    server = serve()
    solved(open_queue(api_config(server.url), run="first")[0], questions[:1])
    (stored,) = (tmp_path / ".teacher").glob("*.json")
    stored.write_text(json.dumps({**json.loads(stored.read_text()), field: lie}))
    assert [d.text for d in solved(open_queue(api_config(server.url), run="second")[0], questions[:1])] == [
        questions[0].solution
    ]
    assert len(server.seen) == 2


def test_a_budget_is_never_exceeded_and_more_money_goes_on_where_it_ended(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(Script(slow=0.1))
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 10.0, "concurrency": 6}
    # A request costs at most about 150 prompt bytes and 48 tokens, in truth 20 and some 20: 0.6 to 0.2 thousandths.
    queue, ledger = open_queue(api_config(server.url, budget_usd=0.006, **prices), run="poor")
    found = solved(queue, questions[:40])
    billed = sum((PROMPT_TOKENS + 10 * len(server.solutions[s.question])) / 1e6 for s in server.seen)
    assert 0.005 < ledger.requests.spent_usd() <= 0.006
    assert billed <= 0.006
    assert 0 < len(found) < 40
    assert queue.trouble == "the teacher's budget of 0.006 USD is spent"
    late, owed = queue.pick_up()  # what was on its way when the money ended may come after it
    assert len(owed) == 40 - len(found) - len(late)
    queue.close()
    ledger.close()
    richer, ledger = open_queue(api_config(server.url, budget_usd=1.0, **prices), run="poor")
    assert {d.question_id for d in solved(richer, [q for q in questions if q.id in owed])} == set(owed)
    assert max(server.answered.values()) == 1


LIES = ["negative tokens", "10^12 tokens", "half a token", "a body byte by byte", "a lone surrogate", "no end"]


def test_no_lie_of_a_teacher_makes_a_budget_grow_or_spends_more_than_it_holds(
    open_queue: OpenQueue, questions: list[Question]
) -> None:
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 10.0, "budget_usd": 0.01}
    with hostile(LIES) as server:
        more = {"attempts": 2, "timeout_seconds": 0.5, "concurrency": 8}
        queue, ledger = open_queue(api_config(server.url, **prices, **more))
        with queue.answering():
            queue.ask(questions[:40])
            queue.wait(0.0)
        asked = sum(server.asked.values())
    ((least, most),) = ledger.execute(
        "SELECT min(least(coalesce(cost_usd, 0), unanswered_usd)), max(greatest(input_tokens, output_tokens)) "
        "FROM teacher_requests"
    )
    assert (least >= 0, most < 1000) == (True, True)
    assert 0.008 < ledger.requests.spent_usd() <= 0.01
    # Each of them was charged as the most that it can have cost.
    assert asked <= 0.01 / (48 * 10 / 1e6)
    assert queue.trouble == "the teacher's budget of 0.01 USD is spent"
    assert [d for d in queue.pick_up()[0] if d.is_admitted] == []


def test_a_solution_that_brings_a_check_down_is_refused_and_ends_nothing(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As the tokenizer's library raises it."""

    from relift.teacher.admission import admit

    def fails_once(question: Question, text: str, **more: object) -> Demonstration:
        if question.id == questions[0].id:
            raise Panic("index out of bounds")
        return admit(question, text, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("relift.teacher.admission.admit", fails_once)
    queue, _ = open_queue(api_config(serve().url))
    found = solved(queue, questions[:3])
    assert [d.refusal for d in found] == ["unchecked: Panic", None, None]
    assert found[0].text == questions[0].solution


def test_requests_keep_to_the_rate(serve: Serve, open_queue: OpenQueue, questions: list[Question]) -> None:
    server = serve(Script(broken=0.2))
    queue, _ = open_queue(api_config(server.url, requests_per_minute=1200, concurrency=16))  # one in 50 ms
    solved(queue, questions[:20])
    times = sorted(s.at for s in server.seen)
    assert len(times) > 20
    # Seen from the server, where a connection that is made first, or a busy machine, moves an arrival by some ms.
    assert (times[-1] - times[1]) / (len(times) - 2) > 0.045
    assert max(sum(t <= u < t + 0.5 for u in times) for t in times) <= 16


def test_the_pause_that_a_server_asks_for_is_kept_by_all(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    server = serve(Script(too_many=0.3, retry_after="0.3"))
    queue, _ = open_queue(api_config(server.url, concurrency=1, attempts=9))
    solved(queue, questions[:12])
    refused = [s.at for s in server.seen if s.outcome == "too_many"]
    assert refused
    for at in refused:
        assert not [s for s in server.seen if at < s.at < at + 0.28]


def test_what_goes_wrong_in_the_background_is_raised_by_the_next_call(
    serve: Serve, open_queue: OpenQueue, questions: list[Question], tmp_path
) -> None:
    (tmp_path / ".teacher").write_text("a file where a folder should be")
    queue, _ = open_queue(api_config(serve().url))
    queue.ask(questions[:1])
    with pytest.raises((StoreError, LedgerError, NotADirectoryError)):
        queue.wait(PATIENT)


def test_closing_is_quick_keeps_what_was_paid_for_and_leaves_no_thread(
    serve: Serve, open_queue: OpenQueue, questions: list[Question]
) -> None:
    import threading

    server = serve(Script(delay_seconds=0.3))
    queue, ledger = open_queue(api_config(server.url, timeout_seconds=30, concurrency=4))
    queue.ask(questions[:40])
    until(lambda: len(server.seen) == 4)
    began = time.monotonic()
    queue.close()
    assert time.monotonic() - began < 1.5
    assert not [t for t in threading.enumerate() if t.name == "teachers"]
    assert ledger.requests.totals().answered == len(server.seen) == 4
