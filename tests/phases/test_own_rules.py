"""Rules of one's own in a run, those of docs/extending.md as they stand there: each does what it says, is held to
the controls, and goes on from a kill in any of its phases as if nothing had happened."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from relift.errors import ConfigError, RuleError
from relift.interleave import is_control
from relift.ledger import Ledger
from relift.ledger.check import check
from relift.ledger.schema import LEDGER, SNAPSHOT
from relift.phases.batch import guided_groups
from relift.phases.rl_update import recorded_fates, recorded_rows
from relift.phases.sampling import trials_of
from relift.rebuild.rebuild import rebuild
from relift.records import PhaseRef, Prefix, Purpose
from relift.run.recorded import GateRecord, RolloutRecord, TrialRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import OF_A_RULE, Outcome, drive_and_keep, keep_copy, require_same_end

ROOT = Path(__file__).parents[2]
SHARE = 0.2
SETTINGS = (
    "questions.count=24",
    "questions.families.mul2=100000",
    "questions.batch_size=8",
    "rl.questions_per_update=4",
    "rollout.max_tokens=48",
    f"teach.control_share={SHARE}",
    "checkpoint.every=2",
    "evaluation=off",
)
OWN = {
    "Twice": ("teach.rule.settings.batch_size=2",),
    "Guided": ("teach.rule.settings.count=3", "sft=off"),
    "Insert": ("sft=off",),
    "Lead": ("sft=off",),
}
KILLED_IN, END = 5, 7


@pytest.fixture(autouse=True)
def beside_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's rules, and others, as modules that are found in the working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    page = (ROOT / "docs" / "extending.md").read_text()
    for name, source in re.findall(r"^```python (\w+)\.py\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        (folder / f"{name}.py").write_text(source)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


def settings(name: str, module: str = "") -> tuple[str, ...]:
    return (*SETTINGS, f"teach.rule={module or name.lower()}:{name}", *OWN.get(name, ()))


def ref(run: Run, iteration: int, phase: str) -> PhaseRef:
    key = phase_key(iteration, phase)
    return PhaseRef(key=key, sha256=run.store.manifest_sha256(key))


def decided(run: Run, iteration: int) -> GateRecord:
    return read(run.store, phase_key(iteration, "gate"), GateRecord)


@pytest.mark.parametrize("name", OWN)
def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(
    name: str, opener: Opener, tmp_path: Path
) -> None:
    kept: Callable[[str], Path] = lambda phase: tmp_path / f"after {phase}"  # noqa: E731
    run = opener(*settings(name))

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            keep_copy(run, kept(phase))

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    run.__exit__()
    phases = {phase: kept(phase) for phase in OF_A_RULE if phase != "trial" or run.interleaving.has_trials}
    require_same_end(opener, settings(name), run.root, phases, expected, END)


def test_only_what_was_unsolved_twice_is_asked_for_and_taught(opener: Opener) -> None:
    run = opener(*settings("Twice"))
    drive(run, END, checkpoints=False)
    seen: dict[str, int] = {}
    asked = set[str]()
    for iteration in range(END):
        decision = decided(run, iteration).decision
        assert all(seen.get(q, 0) >= 1 for q in decision.wanted)
        asked |= set(decision.wanted)
        seen |= {q: seen.get(q, 0) + 1 for q in decision.hardest}
    taught = {q for (q,) in run.ledger.execute("SELECT question_id FROM uses WHERE kind = 'sft'")}
    assert taught and taught <= asked and not any(is_control(q, SHARE) for q in taught)


def test_guided_groups_are_trained_on_and_count_for_nothing_else(opener: Opener) -> None:
    run = opener(*settings("Guided"), "rollout.samples=8")
    drive(run, END, checkpoints=False)
    solved_with_a_prefix = 0
    for iteration in range(END):
        rollouts, verdicts = (ref(run, iteration, phase) for phase in ("rollout", "verify"))
        prefixes = read(run.store, rollouts.key, RolloutRecord).guided
        assert not any(is_control(prefix.question_id, SHARE) for prefix in prefixes)
        for found in guided_groups(run, rollouts, verdicts):
            given = run.student.decode(found.prefix_ids)
            assert given.endswith("=")
            for one in found.group.rollouts:
                assert one.completion.text.startswith(given)
                assert len(found.prefix_ids) + len(one.completion.token_ids) <= run.config.rollout.max_tokens
            solved_with_a_prefix += not found.group.is_unsolved
    assert run.ledger.execute("SELECT count(*) FROM groups WHERE purpose = 'guided'")[0][0] > 10
    assert solved_with_a_prefix, "too little happens to show anything"
    (own,) = run.ledger.execute("SELECT sum(correct) FROM groups WHERE purpose = 'train'")
    reported = run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations")
    assert [own] == reported
    assert run.ledger.execute("SELECT count(*) FROM uses") == [(0,)]
    assert not run.interleaving.own_correct.entries or own[0] > 0
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_trials_are_sampled_after_the_rl_update_round_by_round_and_count_for_nothing(opener: Opener) -> None:
    run = opener(*settings("Lead"))
    versions = [run.base, *drive(run, END, checkpoints=False)]
    rounds = 0
    for iteration in range(END):
        key = phase_key(iteration, "trial")
        if run.store.manifest(key) is None:
            continue
        recorded = read(run.store, key, TrialRecord)
        assert (recorded.purpose, recorded.samples) == (Purpose.PREFIX_SEARCH, 2)
        assert recorded.policy_version == versions[iteration + 1].number
        rounds = max(rounds, len(recorded.rounds))
        found = trials_of(run, ref(run, iteration, "trial"))
        assert [one.prefix_ids for one in found] == [p.token_ids for asked in recorded.rounds for p in asked]
        for one in found:
            assert len(one.group.rollouts) == 2 and not is_control(one.group.question.id, SHARE)
            given = run.student.decode(one.prefix_ids)
            assert all(rollout.completion.text.startswith(given) for rollout in one.group.rollouts)
        for question in {one.group.question.id for one in found}:
            tried = [one for one in found if one.group.question.id == question]
            assert all(one.group.is_unsolved for one in tried[:-1]), "asked again after it led to a correct end"
            assert [r.sample for one in tried for r in one.group.rollouts] == [*range(2 * len(tried))]
    assert rounds > 1 and run.interleaving.rule.rule.to_json(), "too little happens to show anything"
    sampled = "SELECT purpose, sum(rollouts) FROM groups GROUP BY purpose"
    assert dict(run.ledger.execute(sampled))["train"] == END * 8 * run.config.rollout.samples
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_a_ledger_with_guided_groups_and_trials_is_made_again_from_the_recordings(opener: Opener) -> None:
    run = opener(*settings("Lead"))
    drive(run, END, checkpoints=False)
    run.publish()
    root, digest = run.root, run.ledger.digest()
    assert {"train", "guided", "prefix_search"} <= {p for (p,) in run.ledger.execute("SELECT purpose FROM groups")}
    run.__exit__()
    for name in (LEDGER, SNAPSHOT):
        with duckdb.connect(root / name) as connection:
            for table in ("attempts", "groups"):
                connection.execute(f"DELETE FROM {table} WHERE purpose IN ('guided', 'prefix_search')")
    assert rebuild(root).is_changed
    with Ledger.open(root / LEDGER, root.name) as ledger:
        assert ledger.digest() == digest


def test_what_was_asked_beside_the_batch_of_a_run_of_relift_0_2_is_read() -> None:
    record = RolloutRecord.from_json({"policy_version": 3, "guided": [["q", [7, 3]]]})
    assert record.guided == (Prefix(question_id="q", token_ids=(7, 3)),)


def test_the_rl_update_trains_on_more_than_the_batch(opener: Opener) -> None:
    run = opener(*settings("Guided"), name="guided")
    drive(run, 4, checkpoints=False)
    plain = opener(*SETTINGS, "sft=off", name="plain")
    drive(plain, 4, checkpoints=False)
    counted = "SELECT iteration, sequences FROM updates WHERE kind = 'rl' ORDER BY iteration"
    more = [
        (i, a - b) for (i, a), (_, b) in zip(run.ledger.execute(counted), plain.ledger.execute(counted), strict=True)
    ]
    groups = "SELECT iteration, sum(graded) FROM groups WHERE purpose = ? GROUP BY iteration ORDER BY iteration"
    guided = run.ledger.execute(groups, [Purpose.GUIDED.value])
    assert guided and [(i, n) for i, n in more if n] == guided


def test_a_demonstration_in_its_group_is_a_use_of_the_rl_update_and_leaves_the_buffer(opener: Opener) -> None:
    run = opener(*settings("Insert"))
    drive(run, END, checkpoints=False)
    joined = {(i, q) for i in range(END) for q in recorded_fates(run, i).joined}
    uses = run.ledger.execute("SELECT iteration, question_id, kind, nll_before FROM uses")
    assert joined and {(i, q) for i, q, *_ in uses} == joined
    assert {(kind, nll) for *_, kind, nll in uses} == {("rl", None)}
    assert not any(is_control(question, SHARE) for _, question in joined)
    for iteration, question in joined:
        rows = {row["question_id"]: row for row in recorded_rows(run, phase_key(iteration, "rl_update"))}
        assert run.student.end_id == rows[question]["token_ids"][-1]
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


WRONG = '''
from relift.interleave import Drop, GuidedPrompt, Join, Partial, Rule

class Controls(Rule):
    """Whatever can be said of any question is said of all."""
    def requests(self, moment):
        return moment.questions
    def prompts(self, moment):
        return [GuidedPrompt(question, "1") for question in moment.questions]
    def groups(self, moment):
        return [Drop(question) for question in moment.questions]
    def trials(self, moment):
        return () if moment.trials else [GuidedPrompt(question, "1") for question in moment.questions]

class Unknown(Rule):
    def requests(self, moment):
        return ["nobody"]

class Long(Rule):
    def prompts(self, moment):
        return [GuidedPrompt(moment.questions[0], "1" * 60)]

class Unwritable(Rule):
    def prompts(self, moment):
        return [GuidedPrompt(moment.questions[0], "the answer")]

class Empty(Rule):
    def prompts(self, moment):
        return [GuidedPrompt(moment.questions[0], ())]

class Waiting(Rule):
    def groups(self, moment):
        return [Join(question) for question in moment.questions]

class Moves(Rule):
    seen = 0
    def requests(self, moment):
        self.seen += 1
        return ()
    def to_json(self):
        return self.seen

class Fails(Rule):
    def advance(self, moment):
        raise KeyError("lost")

class Numbers(Rule):
    def to_json(self):
        return {1: 2}

class LongPart(Rule):
    def requests(self, moment):
        return moment.hardest
    def batches(self, moment):
        return [[Partial(question, "1" * 60)] for question in moment.waiting]

class Ended(Rule):
    def requests(self, moment):
        return moment.hardest
    def batches(self, moment):
        return [[Partial(question, (3, 1))] for question in moment.waiting]

class NoRule:
    pass

class TrainsTrials(Rule):
    trial_purpose = "train"

def function():
    return Rule()

class Supervised(Rule):
    def batches(self, moment):
        return ()
'''


def test_a_rule_that_speaks_of_controls_is_not_heard(opener: Opener, beside_the_command: Path) -> None:
    (beside_the_command / "wrong_rules.py").write_text(WRONG)
    run = opener(*settings("Controls", "wrong_rules"))
    drive(run, 2, checkpoints=False)
    asked, controls = run.order.batch(1), {q.id for q in run.order.batch(1) if is_control(q.id, SHARE)}
    others = {question.id for question in asked} - controls
    decision = decided(run, 1).decision
    assert controls and set(recorded_fates(run, 1).dropped) == set(decision.wanted) == others
    prefixes = read(run.store, phase_key(1, "rollout"), RolloutRecord).guided
    assert {prefix.question_id for prefix in prefixes} == others
    (tried,) = read(run.store, phase_key(1, "trial"), TrialRecord).rounds
    assert {prefix.question_id for prefix in tried} == others


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Unknown", "requests names 'nobody', which is not a training question"),
        ("Long", "which is 60 tokens: give 1 to 47"),
        ("LongPart", "batches gives the beginning '1.*, which is 60 tokens: give 1 to 48, as teacher.max_tokens says"),
        ("Ended", r"batches gives the beginning \[3, 1\], which holds an end of sequence"),
        ("Unwritable", "prefix 'the answer'.*cannot write all of its characters"),
        ("Empty", "which is 0 tokens"),
        ("Waiting", "groups joins .* for which no admitted demonstration waits"),
        ("Moves", "requests changed the rule's state"),
        ("Fails", "advance failed in iteration 0: KeyError"),
    ],
)
def test_what_a_rule_cannot_answer_is_named(name: str, message: str, opener: Opener, beside_the_command: Path) -> None:
    (beside_the_command / "wrong_rules.py").write_text(WRONG)
    with pytest.raises(RuleError, match=rf"(?s)wrong_rules:{name}.*{message}"):
        drive(opener(*settings(name, "wrong_rules"), "teach.control_share=0"), 1, checkpoints=False)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (("teach.rule=nowhere:Rule",), "the module nowhere was not found"),
        (("teach.rule=twice:Twic",), "Did you mean 'Twice'"),
        (("teach.rule=twice:Twice", "teach.rule.settings.batch=3"), "did you mean teach.rule.settings.batch_size"),
        (("teach.rule=twice:Twice", "teach.rule.settings.batch_size=many"), "valid integer"),
        (("teach.rule=wrong_rules:NoRule",), "a rule is a subclass of relift.interleave.Rule"),
        (("teach.rule=wrong_rules:function",), "a rule is a subclass of relift.interleave.Rule"),
        (("teach.rule=wrong_rules:TrainsTrials",), "has trial_purpose='train'"),
        (("teach.rule=wrong_rules:Supervised", "sft=off"), "has batches for the supervised update"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_before_work_starts(
    settings_: tuple[str, ...], message: str, opener: Opener, beside_the_command: Path, tmp_path: Path
) -> None:
    (beside_the_command / "wrong_rules.py").write_text(WRONG)
    with pytest.raises(ConfigError, match=message):
        opener(*SETTINGS, *settings_)
    assert not (tmp_path / "runs" / "small").exists()


def test_a_state_that_json_changes_is_refused_before_work_starts(opener: Opener, beside_the_command: Path) -> None:
    (beside_the_command / "wrong_rules.py").write_text(WRONG)
    with pytest.raises(RuleError, match="JSON does not give back as it was"):
        opener(*settings("Numbers", "wrong_rules"))


def test_controls_exist_without_a_supervised_update(opener: Opener) -> None:
    run = opener(*SETTINGS, "sft=off")
    drive(run, 2, checkpoints=False)
    control = {q for i in range(2) for q in decided(run, i).decision.control}
    assert control and control == {
        q for i in range(2) for q in decided(run, i).decision.hardest if is_control(q, SHARE)
    }
    assert not any(decided(run, i).decision.wanted or decided(run, i).decision.followed for i in range(2))
