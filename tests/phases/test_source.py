"""An API teacher beside training: never waited for, fixed by the manifest, and plain GRPO where it is down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from relift.arithmetic import arithmetic_questions
from relift.errors import TeacherError
from relift.ledger import RunStatus, query, spent_usd_in
from relift.ledger.check import check
from relift.opening.harvest import open_harvest
from relift.opening.run import open_run
from relift.phases.evaluate import evaluate
from relift.phases.source import demonstrations_of, source
from relift.phases.warm_start import warm_start
from relift.records import PhaseRef
from relift.run.run import Run
from relift.run.summary import describe_teacher
from tests.phases.conftest import Opener, drive
from tests.small_run import small_config
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import FAULTY, KEY, FaultyServer, Script, serving

pytestmark = pytest.mark.slow

Serve = Callable[[Script], FaultyServer]
PATIENT = "teacher.wait_seconds=60"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    config = small_config(tmp_path).questions
    solutions = {q.text: q.solution or "" for q in arithmetic_questions(config.families, config.count or 0, seed=0)}
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(serving(FaultyServer(solutions, script)))


def sourced(run: Run, iteration: int) -> PhaseRef:
    return PhaseRef(key=f"iterations/{iteration:05d}/source", sha256="")


def test_a_run_taught_by_an_api_is_the_run_taught_by_the_dataset(opener: Opener, serve: Serve) -> None:
    """Same questions, same solutions, all in time: bit for bit the same weights."""
    server = serve(Script(broken=0.1))
    by_dataset = drive(opener(name="dataset"), 4)
    run = opener(*api_settings(server.url, PATIENT), name="api")
    assert [v.checksum for v in drive(run, 4)] == [v.checksum for v in by_dataset]
    assert by_dataset[-1].number > 4, "no supervised update happened, so the test shows nothing"
    told = describe_teacher(run)
    assert told.startswith(f"scripted was asked {len(server.answered)} questions: {len(server.answered)} of")


def test_what_comes_late_is_taught_later_and_a_replay_teaches_the_same_without_asking(
    opener: Opener, serve: Serve
) -> None:
    server = serve(Script(delay_seconds=0.15))
    settings = api_settings(server.url)
    run = opener(*settings)
    versions = drive(run, 5)
    asked = run.store.manifest("iterations/00003/source")
    later = demonstrations_of(run, sourced(run, 4))
    assert asked is not None
    assert {d.question_id for d in later} & set(asked.facts["asked"])
    sent, counts = len(server.seen), run.ledger.counts()
    owed = run.interleaving.asked
    run.__exit__()

    again = opener(*settings)
    assert [v.checksum for v in drive(again, 5)] == [v.checksum for v in versions[-2:]]  # from the checkpoint at 3
    assert again.interleaving.asked == owed
    assert again.ledger.counts()["demonstrations"] == counts["demonstrations"]
    assert len(server.seen) == sent


def test_a_crash_before_the_manifest_asks_again_only_for_what_was_never_answered(opener: Opener, serve: Serve) -> None:
    server = serve(FAULTY)
    settings = api_settings(server.url, PATIENT)
    first = opener(*settings)
    drive(first, 3, checkpoints=False)
    taken = [demonstrations_of(first, sourced(first, i)) for i in range(3)]
    first.__exit__()
    for phase in ("source", "rl_update", "sft_update"):
        shutil.rmtree(first.root / "iterations" / "00002" / phase, ignore_errors=True)
    paid = dict(server.answered)

    second = opener(*settings)
    drive(second, 3, checkpoints=False)
    assert {d.id: d.text for d in demonstrations_of(second, sourced(second, 2))} == {d.id: d.text for d in taken[2]}
    assert all(server.answered[key] == count == 1 for key, count in paid.items())


def test_questions_that_are_owed_an_answer_survive_a_checkpoint_and_a_crash(opener: Opener, serve: Serve) -> None:
    server = serve(Script(slow=1))  # reachable, and never answers
    settings = api_settings(server.url, "teacher.api.attempts=1", "teacher.api.concurrency=64")
    first = opener(*settings)
    drive(first, 3)
    owed = first.interleaving.asked
    assert owed
    first.__exit__()
    server.script = Script()
    second = opener(*settings, PATIENT, "teacher.api.attempts=8")  # a busy machine may miss the short deadline
    drive(second, 4)
    assert set(owed) <= {d.question_id for d in demonstrations_of(second, sourced(second, 3)) if d.is_admitted}


def test_with_the_teacher_down_all_the_time_the_run_is_plain_grpo_and_says_so(
    opener: Opener, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    grpo = drive(opener("sft=off", name="grpo"), 4)
    url = "http://127.0.0.1:9/v1"
    run = opener(*api_settings(url, PATIENT, "teacher.api.required=false"), name="down")
    assert [v.checksum for v in drive(run, 4)] == [v.checksum for v in grpo]
    assert describe_teacher(run).startswith(
        "no demonstration was taught, so this run was plain GRPO: the teacher is down"
    )
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("the teacher is down")]
    assert len(told) == 1  # once, not in every iteration
    assert any("The run begins without it" in r.getMessage() for r in caplog.records)


def test_a_teacher_that_refuses_our_key_in_the_middle_is_said_and_its_questions_are_asked_again(
    opener: Opener, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(Script())
    run = opener(*api_settings(server.url, PATIENT, "checkpoint.every=1", "checkpoint.keep=9"))
    drive(run, 1)
    server.refuse = lambda body: (401, "this key has expired")
    drive(run, 3)
    owed = run.interleaving.asked
    assert owed
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("the teacher is down: it refuses")]
    assert len(told) == 1
    assert "refused the key from OPENAI_API_KEY (HTTP 401)" in told[0]
    assert "the teacher is down: it refuses every request" in describe_teacher(run)
    server.refuse = lambda body: None
    deadline = time.monotonic() + 60
    while run.teachers.trouble and time.monotonic() < deadline:  # a pause, doubled as often as a busy machine was slow
        run.teachers.ask([run.questions.by_id[question] for question in owed])
        run.teachers.wait(60, in_trouble=True)
    drive(run, 4)
    assert set(owed) <= {d.question_id for d in demonstrations_of(run, sourced(run, 3)) if d.is_admitted}
    assert "the teacher answers again" in caplog.text


@pytest.mark.parametrize("status", [RunStatus.FINISHED, RunStatus.INTERRUPTED])
def test_what_was_sent_until_the_run_ended_is_counted_in_its_last_snapshot(
    tmp_path: Path, opener: Opener, serve: Serve, status: RunStatus
) -> None:
    server = serve(Script(delay_seconds=0.05))
    run = opener(*api_settings(server.url, "teacher.api.concurrency=1", "teacher.api.usd_per_million_output=10"))
    drive(run, 1)
    assert run.teachers.busy
    run.end(status)
    time.sleep(0.3)  # in which six others would have been sent
    run.__exit__()
    paid = "SELECT sum(attempts), sum(coalesce(cost_usd, 0) + unanswered_usd) FROM teacher_requests"
    assert query(tmp_path / "runs", paid).rows[0][0] == len(server.seen) + len(server.checks)
    assert query(tmp_path / "runs", paid).rows[0][1] == pytest.approx(spent_usd_in(run.ledger.path))


def test_what_is_asked_at_each_start_is_the_first_question_and_its_cost_is_the_runs(
    opener: Opener, serve: Serve
) -> None:
    server = serve(Script())
    settings = api_settings(server.url, "teacher.api.usd_per_million_output=10", "teacher.api.budget_usd=0.00101")
    for start in (1, 2):
        run = opener(*settings)
        assert server.checks[-1]["messages"][-1]["content"] == run.questions.training[0].text
        assert server.checks[-1]["max_tokens"] == run.config.teacher.max_tokens
        assert run.ledger.requests.spent_usd() == pytest.approx(start * 10 / 1e6)
        totals = run.ledger.requests.totals()
        assert (totals.questions, totals.requests, totals.answered) == (0, 0, 0)
        assert totals.cost_usd == pytest.approx(start * 10 / 1e6)
        path = run.ledger.path
        run.__exit__()
        assert [c.name for c in check(path) if c.wrong] == []
    # What is left of the budget has no room for a third one.
    opener(*settings, "teacher.api.budget_usd=0.00002")
    assert len(server.checks) == 2


def test_a_harvest_gives_up_where_the_teacher_asks_for_too_long_a_pause(
    tmp_path: Path, opener: Opener, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(Script())
    untaught = opener(*api_settings("http://127.0.0.1:9/v1", "teacher.api.required=false"), name="untaught")
    drive(untaught, 2)
    untaught.complete()
    server.script = Script(too_many=1, retry_after="86400")
    with open_harvest(small_config(tmp_path / "runs", *api_settings(server.url)), "harvest") as harvest:
        harvest.patience_seconds = 0.5
        asked = harvest.ask(limit=10)
        began = time.monotonic()
        while harvest.collect(0.1):
            assert time.monotonic() - began < 10
        assert time.monotonic() - began > 0.5
        report = harvest.report()
    assert (report.solved, report.owed) == (0, asked)
    assert report.trouble.startswith("the teacher is down: it asked for a pause of 86400 s")
    assert [r.getMessage() for r in caplog.records if "pause of 86400 s" in r.getMessage()] == [report.trouble]


def test_a_harvest_solves_what_is_open_and_the_next_run_finds_it_for_free(
    tmp_path: Path, opener: Opener, serve: Serve
) -> None:
    server = serve(FAULTY)
    down = "teacher.api.base_url=http://127.0.0.1:9/v1"
    more = ["teacher.api.required=false", "teacher.api.attempts=8", "teacher.api.candidates=2"]
    untaught = opener(*api_settings(server.url, *more, down), name="untaught")
    drive(untaught, 3)
    untaught.complete()
    untaught.__exit__()
    states = untaught_states(tmp_path)
    open_count = states["open"] + states.get("sourcing", 0)  # some were being asked when the run ended

    config = small_config(tmp_path / "runs", *api_settings(server.url, *more))
    reports, sent = [], 0
    for name in ("harvest-1", "harvest-2"):
        with open_harvest(config, name) as harvest:
            harvest.ask(limit=10_000)
            while harvest.collect(10.0):
                pass
            reports.append(harvest.report())
            harvest.complete()
        sent = sent or len(server.seen)
    first, second = reports
    assert (first.open, first.owed, first.trouble) == (open_count, 0, "")
    assert first.solved > 0.9 * open_count
    # What one harvest solved the next one does not ask for, and of the rest it knows the answers.
    assert (second.open, second.bought) == (first.open - first.solved, 0)
    demonstrations = query(tmp_path / "runs", "SELECT text FROM demonstrations WHERE refusal IS NULL").rows
    assert {text for (text,) in demonstrations} <= set(server.solutions.values())

    taught = opener(*api_settings(server.url, *more, down, PATIENT), name="taught")
    assert drive(taught, 3)[-1].number > 3  # taught, although its teacher is down
    assert len(server.seen) == sent
    assert describe_teacher(taught).startswith("scripted was asked")


def untaught_states(folder: Path) -> dict[str, int]:
    return dict(query(folder / "runs", "SELECT state, count(*) FROM hard_examples GROUP BY ALL").rows)


def test_a_harvest_of_a_project_without_ledgers_asks_nobody(tmp_path: Path, serve: Serve) -> None:
    server = serve(Script())
    with open_harvest(small_config(tmp_path / "runs", *api_settings(server.url)), "harvest") as harvest:
        assert harvest.ask(limit=10) == 0
        assert harvest.collect(1.0) == 0
    assert server.seen == []


def test_plain_grpo_needs_no_teacher_even_where_the_recipe_names_one(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    run = opener(*api_settings("http://127.0.0.1:9/v1"), "sft=off")
    drive(run, 1)
    assert describe_teacher(run) == ""


def test_an_evaluation_needs_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    config = small_config(tmp_path / "runs", *api_settings("http://127.0.0.1:9/v1"))
    with open_run(config, "evaluated", teaches=False) as run:
        assert evaluate(run, 0, run.base, full=False).counts["questions"] > 0


@pytest.mark.parametrize("settings", [["teacher.api.model=absent"], ["teacher.api.base_url=http://127.0.0.1:9/v1"]])
def test_a_teacher_that_cannot_be_used_is_said_before_the_run_exists(
    tmp_path: Path, opener: Opener, serve: Serve, settings: list[str]
) -> None:
    with pytest.raises(TeacherError):
        opener(*api_settings(serve(Script()).url, *settings))
    assert not (tmp_path / "runs" / "small").exists()


def test_a_source_that_is_asked_for_twice_takes_nothing_twice(opener: Opener, serve: Serve) -> None:
    run = opener(*api_settings(serve(Script()).url, PATIENT))
    drive(run, 1)
    counts = run.ledger.counts()
    recorded = PhaseRef(key="iterations/00000/gate", sha256=run.store.manifest_sha256("iterations/00000/gate"))
    assert source(run, 0, recorded).reused
    assert run.ledger.counts() == counts


def test_the_key_is_in_no_file_and_no_log_of_a_run(
    opener: Opener, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    run = opener(*api_settings(serve(FAULTY).url, PATIENT))
    drive(run, 2)
    run.publish()
    run.__exit__()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in caplog.text


def test_a_warm_start_asks_the_api_until_enough_are_admitted_and_teaches_what_the_dataset_would(
    opener: Opener, serve: Serve
) -> None:
    warm = ("warm_start={demonstrations=12, epochs=2, minibatch=4}", "teach.control_share=0.2")
    by_dataset = opener(*warm, name="dataset")
    expected = warm_start(by_dataset, by_dataset.base)
    server = serve(Script(broken=0.2))
    run = opener(*api_settings(server.url), *warm, name="api")
    assert warm_start(run, run.base).checksum == expected.checksum != run.base.checksum
    asked = [question for (question,) in run.ledger.execute("SELECT DISTINCT question_id FROM teacher_requests")]
    assert 12 < len(asked) < 40, "controls are bought too, and nothing beyond what the warm start wants"
    sent, counts = len(server.seen), run.ledger.counts()
    run.__exit__()
    again = opener(*api_settings(server.url), *warm, name="api")
    assert warm_start(again, again.base).checksum == expected.checksum
    assert (len(server.seen), again.ledger.counts()) == (sent, counts), "it is asked again for what was recorded"


def test_a_warm_start_whose_teacher_is_down_says_so_and_goes_on_with_what_was_answered(
    opener: Opener, serve: Serve
) -> None:
    server = serve(Script(slow=1))
    settings = (*api_settings(server.url, "teacher.api.attempts=1"), "warm_start={demonstrations=12, minibatch=4}")
    run = opener(*settings)
    with pytest.raises(TeacherError, match=r"the warm start waits for (\d+) of \1 solutions"):
        warm_start(run, run.base)
    run.__exit__()
    server.script = Script()
    again = opener(*settings)
    assert warm_start(again, again.base).number == 1 and again.spent.demonstrations == 12
