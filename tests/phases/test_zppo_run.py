"""The rule zppo in a run of a model that can write its prompts: what is shown, what counts, and that a kill changes
nothing of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.interleave import is_control
from relift.interleave.rules.zppo import COMPARED, MISTAKEN
from relift.ledger.check import check
from relift.phases.batch import guided_groups
from relift.records import Prefix, Purpose
from relift.run.recorded import GateRecord, RolloutRecord, UpdateRecord, phase_key, read
from relift.run.run import Run
from tests.phases.conftest import Opener, drive
from tests.phases.test_killed_after_each_phase import PHASES, Outcome, drive_and_keep, keep_copy, require_same_end
from tests.phases.test_own_rules import ref

RULE = "teach.rule=zppo"
KILLED_IN, END = 3, 5
WORDS = {kind: words.partition("\n")[0] for kind, words in (("compared", COMPARED), ("mistaken", MISTAKEN))}


def shown(run: Run, iteration: int) -> list[tuple[Prefix, str]]:
    found = read(run.store, phase_key(iteration, "rollout"), RolloutRecord).guided
    return [(prefix, run.student.decode(prefix.prompt_ids)) for prefix in found if prefix.purpose is Purpose.GUIDED]


@pytest.mark.slow
def test_killed_after_any_phase_and_resumed_it_ends_as_the_uninterrupted_run(guesser: Opener, tmp_path: Path) -> None:
    run = guesser(RULE)

    def keep(iteration: int, phase: str) -> None:
        if iteration == KILLED_IN:
            keep_copy(run, tmp_path / f"after {phase}")

    expected = Outcome.of(run, drive_and_keep(run, keep, END))
    texts = [text for _, text in shown(run, KILLED_IN)]
    assert all(any(words in text for text in texts) for words in WORDS.values()), "too little happens to show anything"
    run.__exit__()
    kept = {phase: tmp_path / f"after {phase}" for phase in PHASES if (tmp_path / f"after {phase}").exists()}
    assert len(kept) >= 7
    require_same_end(guesser, (RULE,), run.root, kept, expected, END)


def test_what_is_shown_is_a_use_each_and_counts_for_nothing_but_the_budget(guesser: Opener) -> None:
    run = guesser(RULE)
    drive(run, END, checkpoints=False)
    texts = dict(run.ledger.execute("SELECT demonstration_id, text FROM demonstrations"))
    uses = Counter[tuple[int, str]]()
    moved = 0
    for iteration in range(END):
        groups = guided_groups(run, ref(run, iteration, "rollout"), ref(run, iteration, "verify"))
        silent = {found.prefix for found in groups if not found.group.has_signal}
        for prefix, text in shown(run, iteration):
            assert (WORDS["compared"] in text) is bool(prefix.demonstration_id)
            assert prefix.demonstration_id or WORDS["mistaken"] in text
            if prefix.demonstration_id:
                assert texts[prefix.demonstration_id] in text
                if prefix not in silent:
                    uses[iteration, prefix.demonstration_id] += 1
        moved += sum(r.steps for r in read(run.store, phase_key(iteration, "rl_update"), UpdateRecord).reports)
    assert moved and uses
    assert Counter(run.ledger.execute("SELECT iteration, demonstration_id FROM uses")) == uses
    ((train,),) = run.ledger.execute("SELECT sum(rollouts) FROM groups WHERE purpose = 'train'")
    ((all_of_them,),) = run.ledger.execute("SELECT sum(rollouts) FROM groups WHERE purpose <> 'probe'")
    assert run.spent.rollouts == all_of_them > train
    assert run.spent.demonstrations == len({demonstration for _, demonstration in uses})
    correct = "SELECT sum(correct) FROM groups WHERE purpose = 'train'"
    assert run.ledger.execute("SELECT sum(statuses['correct']) FROM iterations") == run.ledger.execute(correct)
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]


def test_no_control_is_asked_again_or_shown_anything(guesser: Opener) -> None:
    run = guesser(RULE, "teach.control_share=0.5")
    drive(run, END, checkpoints=False)
    asked = [p for i in range(END) for p in read(run.store, phase_key(i, "rollout"), RolloutRecord).guided]
    controls = sum(len(read(run.store, phase_key(i, "gate"), GateRecord).decision.control) for i in range(END))
    assert controls and asked and not any(is_control(prefix.question_id, 0.5) for prefix in asked)
    assert not any(is_control(q, 0.5) for (q,) in run.ledger.execute("SELECT question_id FROM uses"))


def test_a_budget_of_demonstrations_holds_for_those_shown_and_for_no_mistakes(guesser: Opener) -> None:
    run = guesser(RULE, "budget.demonstrations=1")
    drive(run, END, checkpoints=False)
    ids = [prefix.demonstration_id for iteration in range(END) for prefix, _ in shown(run, iteration)]
    ((used,),) = run.ledger.execute("SELECT count(DISTINCT demonstration_id) FROM uses")
    assert any(ids) and ids.count("") > 2, "one whose group moved nothing is no use, and another may be shown"
    assert run.spent.demonstrations == used <= 1


def test_a_tokenizer_that_cannot_write_its_words_is_refused_before_work_starts(opener: Opener, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teach.rule.kind='zppo' puts words into the prompt.*cannot write"):
        opener(RULE, "sft=off")
    assert not list((tmp_path / "runs").glob("*/iterations"))


def test_prompts_that_no_solution_fits_into_are_refused_before_work_starts(guesser: Opener) -> None:
    with pytest.raises(ConfigError, match=r"policy.max_prompt_tokens=60; the shortest is \d+ tokens") as refused:
        guesser(RULE, "policy.max_prompt_tokens=60")
    shortest = int(str(refused.value).partition("the shortest is ")[2].partition(" ")[0])
    with pytest.raises(ConfigError, match=f"the shortest is {shortest} tokens"):
        guesser(RULE, f"policy.max_prompt_tokens={shortest - 1}")
    run = guesser(RULE, f"policy.max_prompt_tokens={shortest}", "teach.rule.mistaken=0", name="enough")
    drive(run, END, checkpoints=False)
    assert any(prefix.demonstration_id for iteration in range(END) for prefix, _ in shown(run, iteration))
    assert guesser(RULE, "policy.max_prompt_tokens=60", "teach.rule.compared=0", name="shows none")


def test_what_was_asked_beside_the_batch_and_then_refilled_is_counted_as_it_was_spent(guesser: Opener) -> None:
    run = guesser("teach.rule={ kind = 'zppo', below = 0.75 }", "sampling.refill.cap=3")
    drive(run, END, checkpoints=False)
    asked = "SELECT iteration, question_id FROM groups WHERE purpose = '{}'"
    twice = run.ledger.execute(f"{asked.format('unguided')} INTERSECT {asked.format('train')}")
    assert twice, "too little happens to show anything"
    ((counted,),) = run.ledger.execute("SELECT sum(rollouts) FROM groups WHERE purpose <> 'probe'")
    assert run.spent.rollouts == counted
    run.publish()
    assert not [found for found in check(run.snapshot_path) if found.wrong]
