"""The rule intervention with an API that corrects rollouts: shown, tried, taught, and the same after a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relift.config import RunConfig
from relift.errors import ConfigError
from relift.interleave import is_control
from relift.phases.sampling import trials_of
from relift.phases.sft_update import recorded_rows
from relift.phases.updates import DEMONSTRATION
from relift.records import PhaseRef
from relift.run.recorded import GateRecord, phase_key, read
from tests.phases.conftest import Opener, drive
from tests.phases.test_intervention_run import END, SETTINGS, SHARE, kept_in_a_busy_iteration
from tests.phases.test_killed_after_each_phase import Outcome
from tests.small_run import small_config
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import KEY, FaultyServer, serving
from tests.teacher.test_teacher_intervention import corrects


@pytest.fixture
def server(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    plain = opener(*SETTINGS, name="plain")
    solutions = {q.text: q.solution or "" for q in plain.questions.training}
    plain.__exit__()
    with serving(FaultyServer(solutions=solutions)) as made:
        made.message = corrects(made)
        yield made


def patient(server: FaultyServer) -> list[str]:
    return api_settings(server.url, "teacher.api.timeout_seconds=20", "teacher.wait_seconds=60")


@pytest.mark.slow
def test_a_kill_changes_nothing_and_what_was_asked_is_not_paid_for_again(
    opener: Opener, server: FaultyServer, tmp_path: Path
) -> None:
    settings = (*SETTINGS, *patient(server))
    run = opener(*settings)
    expected, kept = kept_in_a_busy_iteration(run, tmp_path)
    asked = len(server.bodies)
    for phase in ("gate", "source", "trial"):
        shutil.rmtree(run.root)
        shutil.copytree(kept[phase], run.root)
        again = opener(*settings)
        found = Outcome.of(again, drive(again, END)[-1])
        again.__exit__()
        assert (found.weights, found.interleave) == (expected.weights, expected.interleave), phase
    assert len(server.bodies) == asked, "what another process asked is paid for a second time"


def test_what_is_shown_tried_and_taught_is_what_the_ledger_says(opener: Opener, server: FaultyServer) -> None:
    run = opener(*SETTINGS, *patient(server))
    drive(run, END, checkpoints=False)
    kinds = dict(run.ledger.execute("SELECT kind, count(*) FROM demonstrations WHERE refusal IS NULL GROUP BY kind"))
    assert set(kinds) == {"intervention"} and kinds["intervention"] > 4, "too little happens to show anything"
    text_of = dict(run.ledger.execute("SELECT demonstration_id, text FROM demonstrations"))
    uses = [d for (d,) in run.ledger.execute("SELECT demonstration_id FROM uses ORDER BY iteration, rowid")]
    taught, shown = [], 0
    for iteration in range(END):
        decision = read(run.store, phase_key(iteration, "gate"), GateRecord).decision
        texts = dict(decision.mistakes)
        assert set(texts) == {*decision.wanted, *decision.followed}
        shown += len(texts)
        key = phase_key(iteration, "trial")
        if run.store.manifest(key) is not None:
            for tried in trials_of(run, PhaseRef(key=key, sha256=run.store.manifest_sha256(key))):
                assert not is_control(tried.group.question.id, SHARE)
                assert run.student.decode(tried.prefix_ids) in text_of.values()
        key = phase_key(iteration, "sft_update")
        rows = recorded_rows(run, key) if run.store.manifest(key) is not None else []
        for row in (row for row in rows if row["role"] == DEMONSTRATION):
            prompt = run.student.prompt(run.questions.by_id[row["question_id"]]).token_ids
            assert run.student.decode(row["token_ids"][len(prompt) :]) == text_of[row["demonstration_id"]]
            assert row["token_ids"][-1] != run.student.end_id
            taught.append(row["demonstration_id"])
    assert shown and taught == uses and taught, "too little happens to show anything"


def test_a_step_that_a_teacher_wrote_is_never_taught_unverified(tmp_path: Path) -> None:
    settings = ("teach.rule.kind=intervention", "teach.rule.samples=off", "rollout.max_tokens=48")
    assert isinstance(small_config(tmp_path, *settings), RunConfig)
    with pytest.raises(ConfigError, match="would teach the steps that the source api writes unverified"):
        small_config(tmp_path, *settings, *api_settings("http://127.0.0.1:1/v1"))


def test_without_solutions_and_without_an_api_it_is_refused_before_work_starts(opener: Opener, tmp_path: Path) -> None:
    rows = "".join(f'{{"question": "{n}+{n}?", "answer": "{2 * n}"}}\n' for n in range(1, 60))
    (tmp_path / "rows.jsonl").write_text(rows)
    questions = f'{{format = "rows", path = "{tmp_path / "rows.jsonl"}", answer_form = "equals", batch_size = 8}}'
    with pytest.raises(ConfigError, match="needs solutions to compare wrong completions with, or an API"):
        opener("teach.rule.kind=intervention", "rollout.max_tokens=48", "evaluation=off", f"questions={questions}")
