"""A small project of two runs in which each named query and each recipe of docs/ledger.md finds something.

Run ``small-0`` goes through four iterations, sampled with the policy versions 0, 2, 4, 6; run ``large-0`` through one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from relift.ledger import EntryRecord, GoldStatus, LeavingRecord, Ledger, Use
from relift.records import (
    Demonstration,
    FinishReason,
    Purpose,
    Question,
    RolloutGroup,
    TeacherAnswer,
    TeacherRequest,
    UpdateKind,
)
from tests.ledger.ledger_histories import demonstration, evaluation, group, iteration, question, update, version

LEARNED, REGRESSED, IN_VAIN = question("47*6?"), question("58*3?", "174"), question("91*7?", "637")
CONTROL, OTHER_CONTROL = question("64*9?", "576"), question("77*8?", "616")
OPEN, REFUSED, SOURCING = question("13*13?", "169"), question("17*19?", "323"), question("23*29?", "667")
QUEUED, SOLVED = question("31*37?", "1147"), question("41*43?", "1763")
WRONG_GOLD, CUT, UNREADABLE = question("5+3?", "7"), question("2+2?", "4"), question("0/0?", "x?")
TRAINING = [
    LEARNED,
    REGRESSED,
    IN_VAIN,
    CONTROL,
    OTHER_CONTROL,
    OPEN,
    REFUSED,
    SOURCING,
    QUEUED,
    SOLVED,
    WRONG_GOLD,
    CUT,
]
HELD_OUT = [question(f"{n}+{n}?", str(2 * n)) for n in range(100, 104)] + [question("What is 5 + 3 ?", "8")]
TWIN = question("what is 5+3 ?", "9")
WRONG, HALF, RIGHT = "--------", "-+-+-+-+", "++++++++"


def write_small_project(folder: Path) -> Path:
    """The folder, with the published ledgers of both runs."""
    with Ledger.open(folder / "small-0" / "ledger.duckdb", "small-0") as ledger:
        _begin(ledger, "small-1.5b")
        _sample(ledger)
        _offer(ledger)
        _ask(ledger)
        _teach(ledger)
        _evaluate(ledger)
        _close(ledger)
    with Ledger.open(folder / "large-0" / "ledger.duckdb", "large-0") as ledger:
        _begin(ledger, "large-7b")
        groups = [group(OPEN, RIGHT), group(SOURCING, WRONG)]
        ledger.record_attempts("0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[SOURCING.id])
        ledger.record_attempts("0/trial", 0, [group(SOURCING, "-+--")], purpose=Purpose.PREFIX_SEARCH)
        ledger.publish(ledger.path.with_name("hard_examples.duckdb"))
    return folder


def _begin(ledger: Ledger, base_model: str) -> None:
    ledger.record_run("run", "{}", base_model, "0.1")
    ledger.record_questions("train", [*TRAINING, TWIN], "train")
    ledger.record_questions("held_out", HELD_OUT, "held_out")
    ledger.record_questions("unreadable", [UNREADABLE], "train", GoldStatus.QUARANTINED)


def _sample(ledger: Ledger) -> None:
    marks = {
        LEARNED: (WRONG, HALF, RIGHT),
        REGRESSED: (WRONG, RIGHT, WRONG),
        IN_VAIN: (WRONG, WRONG, WRONG, WRONG),
        CONTROL: (WRONG, WRONG),
        OTHER_CONTROL: (WRONG, HALF),
        OPEN: (WRONG,),
        REFUSED: (WRONG,),
        SOURCING: (WRONG,),
        QUEUED: (WRONG,),
        SOLVED: (WRONG, "", "", HALF),
        WRONG_GOLD: ("-------+",),
        CUT: ("tttttt--",),
    }
    for at in range(4):
        groups = [group(q, m[at], version=2 * at) for q, m in marks.items() if at < len(m) and m[at]]
        groups = [_agreeing(one) if one.question == WRONG_GOLD else one for one in groups]
        hardest = [one.question.id for one in groups if one.is_unsolved and one.question != CUT]
        control = [one.id for one in (CONTROL, OTHER_CONTROL) if one.id in hardest]
        ledger.record_attempts(f"{at}/record", at, groups, purpose=Purpose.TRAIN, hardest=hardest, control=control)
    taught, controls = (LEARNED, REGRESSED, IN_VAIN), (CONTROL, OTHER_CONTROL)
    drawn = (HALF, RIGHT, WRONG, WRONG, "-------+")
    probed = [group(q, m, version=2) for q, m in zip(taught + controls, drawn, strict=True)]
    ledger.record_attempts("1/probe", 1, probed, purpose=Purpose.PROBE)
    ledger.record_attempts("0/trial", 0, [group(QUEUED, "-+--")], purpose=Purpose.PREFIX_SEARCH)


def _agreeing(one: RolloutGroup) -> RolloutGroup:
    """Its wrong rollouts answer 8, and took their time."""
    rollouts = tuple(
        r if r.is_correct else dataclasses.replace(r, verdict=dataclasses.replace(r.verdict, answer="8", seconds=1.5))
        for r in one.rollouts
    )
    return dataclasses.replace(one, rollouts=rollouts)


def _offer(ledger: Ledger) -> None:
    ledger.record_demonstrations("0/source", 0, [demonstration(q) for q in (LEARNED, IN_VAIN)])
    ledger.record_demonstrations("0/api", 0, [_bought(REGRESSED), _bought(REFUSED, refusal="wrong: 3 is not 323")])
    ledger.record_demonstrations("0/controls", 0, [demonstration(q) for q in (CONTROL, OTHER_CONTROL)])
    ledger.record_demonstrations("1/source", 1, [demonstration(QUEUED), demonstration(OPEN)])
    for at, one in ((1, demonstration(QUEUED)), (2, _bought(REGRESSED))):
        entered = EntryRecord(question_id=one.question_id, demonstration_id=one.id)
        ledger.record_entries(f"{at}/entries", at, [entered])
    gone = [
        LeavingRecord(question_id=OPEN.id, demonstration_id=demonstration(OPEN).id, reason="expired"),
        LeavingRecord(question_id=IN_VAIN.id, demonstration_id=demonstration(IN_VAIN).id, reason="retired"),
    ]
    ledger.record_leavings("2/leavings", 2, gone)


def _bought(asked: Question, refusal: str | None = None) -> Demonstration:
    return dataclasses.replace(demonstration(asked, refusal=refusal), source="api/big", cost_usd=0.02)


def _ask(ledger: Ledger) -> None:
    for asked in (REGRESSED, REFUSED, SOURCING):
        request = TeacherRequest(key=asked.id, question_id=asked.id, model="big", prompt="[]", parameters="{}")
        ledger.requests.sent(request, 0.05)
        if asked != SOURCING:
            answer = TeacherAnswer(
                text="=", finish_reason=FinishReason.STOP, input_tokens=50, output_tokens=200, cost_usd=0.02
            )
            ledger.requests.answered(request, answer, 0.05)


def _teach(ledger: Ledger) -> None:
    taught = {0: (LEARNED, REGRESSED, IN_VAIN), 1: (IN_VAIN,), 2: (IN_VAIN,)}
    ids = {q: (_bought(q) if q == REGRESSED else demonstration(q)).id for q in taught[0]}
    for at in range(4):
        ledger.record_update(f"{at}/rl", at, update(UpdateKind.RL, seconds=2.0), version(2 * at + 1, UpdateKind.RL))
        if at in taught:
            before = 2.0 - at / 4
            uses = [
                Use(demonstration_id=ids[q], question_id=q.id, nll_before=before, nll_after=0.5) for q in taught[at]
            ]
            ledger.record_update(f"{at}/sft", at, update(seconds=1.0), version(2 * at + 2), uses)


def _evaluate(ledger: Ledger) -> None:
    marks = {0: (WRONG, WRONG, HALF, RIGHT, WRONG), 4: (HALF, WRONG, RIGHT, "++++++--", RIGHT)}
    again = {0: (WRONG, "-------+", HALF, RIGHT, WRONG), 4: (HALF, WRONG, RIGHT, RIGHT, RIGHT)}
    for at, number in ((0, 0), (4, 7)):
        for purpose, drawn in ((Purpose.EVALUATION, marks), (Purpose.CONFIRM, again)):
            groups = [group(q, m, version=number) for q, m in zip(HELD_OUT, drawn[at], strict=True)]
            ledger.record_attempts(f"{at}/{purpose}", at, groups, purpose=purpose)
        result = dataclasses.replace(evaluation(0.3 + at / 10, number=number), benchmark="arithmetic/mul2")
        ledger.record_evaluations(f"{at}/evaluations", at, [result])


def _close(ledger: Ledger) -> None:
    for at in range(4):
        ledger.record_iteration(f"{at}/close", dataclasses.replace(iteration(at, seconds=30.0), taught=1))
    ledger.publish(ledger.path.with_name("hard_examples.duckdb"))
