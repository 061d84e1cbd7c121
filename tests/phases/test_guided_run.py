"""The rule guided in a run: what it asks, what is trained on and counted, and that a kill changes nothing of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relift.errors import ConfigError
from relift.interleave import is_control
from relift.interleave.rules.guided import GuidedRule
from relift.interleave.steps import steps_of
from relift.ledger import Ledger
from relift.ledger.check import check
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.phases.batch import batch_of, guided_groups
from relift.phases.prompts import continuations, request_of
from relift.phases.rounds import recorded_rounds
from relift.phases.sampling import trials_of
from relift.policy.own_engine import EngineInputs
from relift.policy.sampling_request import Prompt
from relift.rebuild.rebuild import rebuild
from relift.records import Completion, PhaseRef, Prefix, Purpose
from relift.run.recorded import GateRecord, RolloutRecord, TrialRecord, UpdateRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive, driven_run
from tests.phases.test_killed_after_each_phase import OF_A_RULE, Outcome, drive_and_keep, keep_copy, require_same_end

SHARE = 0.2
SETTINGS = (
    "teach.rule.kind=guided",
    "teach.rule.questions=3",
    "teach.rule.batch_size=2",
    "questions.count=40",
    "questions.families.mul2=100000",
    "questions.batch_size=8",
    "rl.questions_per_update=4",
    "rollout.max_tokens=48",
    f"teach.control_share={SHARE}",
    "checkpoint.every=2",
    "evaluation=off",
)
KILLED_IN, END = 3, 6


class Own:
    """An engine of one's own, which knows nothing of a limit of a prompt's."""

    def __init__(self, inputs: EngineInputs) -> None:
        self.engine = inputs.transformers()

    def serve(self, policy: object) -> None:
        """It has the trainer's weights."""

    def sample(self, prompts: Any, request: Any, **calls: Any) -> list[list[Completion]]:
        return self.engine.sample([Prompt(one.question, one.token_ids) for one in prompts], request, **calls)

    def close(self) -> None:
        """It holds nothing."""


def ref(run: Run, iteration: int, phase: str) -> PhaseRef:
    key = phase_key(iteration, phase)
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key))


def prefixes(run: Run, iteration: int) -> tuple[Prefix, ...]:
    return read(run.store, phase_key(iteration, "rollout"), RolloutRecord).guided


@pytest.mark.slow
def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(opener: Opener, tmp_path: Path) -> None:
    run = opener(*SETTINGS)
    purposes = set[str]()

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            purposes.update(prefix.purpose for prefix in prefixes(run, iteration))
            keep_copy(run, tmp_path / f"after {phase}")

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    recorded = tmp_path / "after trial" / phase_key(KILLED_IN, "trial") / "manifest.json"
    assert recorded.exists() and purposes == {"guided", "unguided"}, "too little happens to show anything"
    run.__exit__()
    kept = {phase: tmp_path / f"after {phase}" for phase in OF_A_RULE}
    require_same_end(opener, SETTINGS, run.root, kept, expected, END)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    yield from driven_run(tmp_path_factory.mktemp("driven"), SETTINGS, END)


def test_what_is_guided_is_asked_as_it_is_too_and_is_a_use_of_the_rl_update_and_no_more(driven: Run) -> None:
    run = driven
    uses = Counter[tuple[int, str, int]]()
    texts = dict(run.ledger.execute("SELECT demonstration_id, text FROM demonstrations"))
    first: dict[str, int] = {}
    steps = silent = 0
    for iteration in range(END):
        batch = {question.id for question in run.order.batch(iteration)}
        guided = [prefix for prefix in prefixes(run, iteration) if prefix.token_ids]
        plain = {prefix.question_id for prefix in prefixes(run, iteration) if not prefix.token_ids}
        assert len(guided) <= 3 and {prefix.question_id for prefix in guided} <= plain | batch and not plain & batch
        for prefix in guided:
            assert prefix.demonstration_id
            given, text = run.student.decode(prefix.token_ids), texts[prefix.demonstration_id]
            assert (
                text.startswith(given) and given.endswith("=") and len(steps_of(given, "=")) < len(steps_of(text, "="))
            )
        update = read(run.store, phase_key(iteration, "rl_update"), UpdateRecord)
        steps += sum(report.steps for report in update.reports)
        for found in guided_groups(run, ref(run, iteration, "rollout"), ref(run, iteration, "verify")):
            silent += found.is_guided and not found.group.has_signal
            if found.is_guided and found.group.has_signal and update.moved:
                uses[iteration, found.prefix.demonstration_id or "", len(found.prefix_ids)] += 1
                first.setdefault(found.prefix.question_id, iteration)
    told = "SELECT iteration, demonstration_id, prefix_tokens FROM uses WHERE kind = 'rl'"
    assert Counter(run.ledger.execute(told)) == uses
    assert silent, "a group that moves nothing shows that it is no use"
    assert steps, "an update without a step shows nothing"
    anchors = run.interleaving.probes.snapshot().taught
    assert all(anchors[question] <= iteration for question, iteration in first.items())
    by_sft = {q for (q,) in run.ledger.execute("SELECT question_id FROM uses WHERE kind = 'sft'")}
    assert all(anchors[question] == iteration for question, iteration in first.items() if question not in by_sft)
    waiting = {q for (q,) in run.ledger.execute("SELECT question_id FROM hard_examples WHERE is_waiting")}
    assert waiting == {entry.question_id for entry in run.interleaving.buffer.waiting}
    ((reported,), (trained_on,)) = run.ledger.execute(
        "SELECT sum(taught) FROM iterations UNION ALL SELECT count(*) FROM uses WHERE prefix_tokens IS NULL"
    )
    assert reported == trained_on
    used = {demonstration for _, demonstration, _ in uses}
    assert used <= set(run.interleaving.taught)
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_what_was_solved_with_its_beginning_alone_is_not_learned(opener: Opener) -> None:
    run = opener(*SETTINGS, "sft=off", "teach.rule.batch_size=64")
    drive(run, END, checkpoints=False)
    solved = "SELECT DISTINCT question_id FROM groups WHERE correct > 0 AND purpose"
    with_it = {q for (q,) in run.ledger.execute(f"{solved} IN ('guided', 'prefix_search', 'unguided')")}
    alone = {q for (q,) in run.ledger.execute(f"{solved} IN ('train', 'probe')")}
    states = dict(run.ledger.execute("SELECT question_id, state FROM hard_examples"))
    assert with_it - alone, "too little happens to show anything"
    assert all(states[question] not in ("learned", "solved", "regressed") for question in with_it - alone)
    (train,) = run.ledger.execute("SELECT sum(correct) FROM groups WHERE purpose = 'train'")
    assert run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations") == [train]
    own = {entry.question_id for entry in run.interleaving.own_correct.entries}
    assert own <= alone


def test_no_control_is_guided_searched_for_or_shown(opener: Opener) -> None:
    run = opener(*SETTINGS, "teach.control_share=0.5")
    drive(run, END, checkpoints=False)
    controls = shown = 0
    for iteration in range(END):
        controls += len(read(run.store, phase_key(iteration, "gate"), GateRecord).decision.control)
        asked = list(prefixes(run, iteration))
        if run.store.manifest(phase_key(iteration, "trial")):
            rounds = read(run.store, phase_key(iteration, "trial"), TrialRecord).rounds
            asked += [prefix for prefixes_ in rounds for prefix in prefixes_]
        shown += len(asked)
        assert not any(is_control(prefix.question_id, 0.5) for prefix in asked)
    assert controls and shown
    assert not any(is_control(q, 0.5) for (q,) in run.ledger.execute("SELECT question_id FROM uses"))


def test_what_a_later_round_asks_is_not_trained_on_twice(opener: Opener) -> None:
    run = opener(*SETTINGS, "sampling.refill.cap=3")
    drive(run, END, checkpoints=False)
    twice = set[str]()
    for iteration in range(END):
        rounds = read(run.store, phase_key(iteration, "gate"), GateRecord).rounds
        refs = [recorded_rounds(run.store, phase_key(iteration, phase), rounds) for phase in ("rollout", "verify")]
        batch = batch_of(run, iteration, *refs)
        asked = {group.question.id for group in batch.groups}
        twice |= asked & {prefix.question_id for prefix in prefixes(run, iteration) if not prefix.token_ids}
        assert not asked & {found.group.question.id for found in batch.guided if not found.is_guided}
    assert twice, "too little happens to show anything"


def test_its_ledger_is_made_again_from_the_recordings_alone(driven: Run, tmp_path: Path) -> None:
    tables = ("groups", "attempts", "uses", "updates", "demonstrations")
    rows = lambda ledger: {t: ledger.execute(f"FROM {t} ORDER BY ALL") for t in tables}  # noqa: E731
    root, expected = tmp_path / "small", rows(driven.ledger)
    assert {"guided", "unguided", "prefix_search"} <= {purpose for _, _, purpose, *_ in expected["groups"]}
    shutil.copytree(driven.root, root, ignore=shutil.ignore_patterns(f"{LEDGER}*", f"{SNAPSHOT}*"))
    assert rebuild(root).is_changed
    with Ledger.open(root / LEDGER, root.name) as ledger:
        assert rows(ledger) == expected


def test_the_search_and_the_groups_come_back_as_the_rule_asked_for_them(driven: Run) -> None:
    run, found = driven, 0
    for iteration in range(END):
        groups = guided_groups(run, ref(run, iteration, "rollout"), ref(run, iteration, "verify"))
        assert [group.prefix for group in groups] == list(prefixes(run, iteration))
        if run.store.manifest(phase_key(iteration, "trial")):
            tried = trials_of(run, ref(run, iteration, "trial"))
            found += sum(not one.group.is_unsolved for one in tried)
            assert all(one.prefix.given >= 1 and len(one.group.rollouts) == 4 for one in tried)
    rule = run.interleaving.rule.rule
    assert isinstance(rule, GuidedRule) and found and (rule.guided or rule.failed)


@pytest.mark.parametrize("settings", [(), ("rollout.engine=tests.phases.test_guided_run:Own",)])
def test_prefixes_of_any_length_need_the_weights_once_and_are_sampled_as_each_alone(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    run = opener(*SETTINGS, *settings)
    served: list[object] = []
    monkeypatch.setattr(run.engine, "serve", served.append)
    questions = run.order.batch(0)[:3]
    prefixes = [
        Prefix(question_id=question.id, token_ids=run.student.opened("1" * length))
        for question, length in zip(questions, (40, 1, 46), strict=True)
    ]
    request = request_of(run, 0, Purpose.GUIDED, run.base, samples=2)
    found = continuations(run, prefixes, request, run.base)
    assert len(served) == 1
    assert [continuations(run, [prefix], request, run.base) for prefix in prefixes] == [[group] for group in found]
    assert all(len(one.token_ids) <= most for group, most in zip(found, (8, 47, 2), strict=True) for one in group)


def test_a_tokenizer_that_cannot_write_the_words_around_a_beginning_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"teach.rule.in_question.*cannot write"):
        opener(*SETTINGS, "teach.rule.in_question=true")


def test_guidance_without_an_rl_update_is_refused(opener: Opener) -> None:
    with pytest.raises(ConfigError, match="guided' teaches by the RL update"):
        opener(*SETTINGS, "rl=off")


def test_completions_that_no_beginning_leaves_a_token_of_are_refused_before_work_starts(opener: Opener) -> None:
    with pytest.raises(ConfigError, match=r"rollout.max_tokens=4 can give no beginning"):
        opener(*SETTINGS, "rollout.max_tokens=4")


def test_prompts_that_no_beginning_fits_into_are_refused_before_work_starts(guesser: Opener, tmp_path: Path) -> None:
    rows = [{"question": f"{n}+1?", "answer": f"{n + 1}", "solution": f"One.\n\\boxed{{{n + 1}}}"} for n in range(16)]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = f"questions.path={tmp_path / 'two.jsonl'}"
    settings = (path, "teach.rule=guided", "teach.rule.in_question=true", "rollout.max_tokens=2")
    guesser(*settings)
    with pytest.raises(ConfigError, match=r"policy.max_prompt_tokens=30 can give no beginning"):
        guesser(*settings, "policy.max_prompt_tokens=30", name="other")
