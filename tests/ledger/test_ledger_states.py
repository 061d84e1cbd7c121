"""The life of a question by hand-made histories: iteration i samples with version 2i, teaching makes version 2i + 2."""

import pytest
from ledger_histories import demonstration, group, question, update, version

from relift.ledger import EntryRecord, LeavingRecord, Ledger, Use
from relift.records import FinishReason, Purpose, TeacherAnswer, TeacherRequest

LEAVINGS = {"e": "expired", "v": "evicted", "s": "solved_meanwhile", "R": "retired"}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    with Ledger.open(tmp_path_factory.mktemp("states") / "ledger.duckdb", "a") as opened:
        yield opened


def live(ledger: Ledger, history: str) -> str:
    """Id of a question with that history, a word an iteration.

    Marks, then ``!`` hardest, ``c`` control, ``a`` asked of a teacher, ``A`` answered, ``f`` failed, ``d`` an admitted
    demonstration, ``r`` a refused one, ``T`` taught at the iteration's end, or why it left the buffer; ``n`` hardest,
    but its rule did not ask for it; ``.`` is not sampled.
    """
    asked = question(history)
    ledger.record_questions(f"{history}/q", [asked], "train")
    for i, word in enumerate(history.split()):
        if marks := "".join(mark for mark in word if mark in "+-t"):
            ledger.record_attempts(
                f"{history}/{i}/record",
                i,
                [group(asked, marks, version=2 * i)],
                purpose=Purpose.TRAIN,
                hardest=[asked.id] if "!" in word else [],
                control=[asked.id] if "c" in word else [],
            )
        if "d" in word:
            ledger.record_demonstrations(f"{history}/{i}/source", i, [demonstration(asked)])
        if "r" in word:
            refused = demonstration(asked, text="=281", refusal="wrong")
            ledger.record_demonstrations(f"{history}/{i}/refused", i, [refused])
        if "T" in word:
            use = Use(demonstration_id=demonstration(asked).id, question_id=asked.id, nll_before=4.0 - i, nll_after=0.5)
            ledger.record_update(f"{history}/{i}/sft", i, update(), version(2 * i + 2), [use])
        ask(ledger, TeacherRequest(key=history, question_id=asked.id, model="m", prompt="", parameters=""), word)
        before = "".join(history.split()[:i])
        if "d" in before + word and "R" not in before and {*word} & {*"d!"} and not {*word} & {*"cnevs"}:
            entry = EntryRecord(question_id=asked.id, demonstration_id=demonstration(asked).id)
            ledger.record_entries(f"{history}/{i}/entries", i, [entry])
        left = [
            LeavingRecord(question_id=asked.id, demonstration_id=demonstration(asked).id, reason=reason)
            for mark, reason in LEAVINGS.items()
            if mark in word
        ]
        ledger.record_leavings(f"{history}/{i}/leavings", i, left)
    return asked.id


def ask(ledger: Ledger, request: TeacherRequest, word: str) -> None:
    if "a" in word:
        ledger.requests.sent(request, 0.02)
    if "A" in word:
        answer = TeacherAnswer(text="x", finish_reason=FinishReason.STOP, input_tokens=1, output_tokens=1)
        ledger.requests.answered(request, answer, 0.02)
    if "f" in word:
        ledger.requests.failed(request, "no answer", 0.02)


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ("--!", "open"),
        ("+-  --!", "open"),
        ("--!a", "sourcing"),
        ("--!a  .A", "no_teacher_solves_it"),
        ("--!af", "open"),
        ("--!afr", "open"),
        ("--!aAr", "no_teacher_solves_it"),
        ("--!r", "no_teacher_solves_it"),
        ("--!r  -+", "solved"),
        ("--!a  -+", "solved"),
        ("--!a  .d", "queued"),
        ("--!  tt", "open"),
        ("--!  -+", "solved"),
        ("--!  -+  --!", "open"),
        ("--!d", "queued"),
        ("--!d  .  -+", "queued"),
        ("--!d  -+s", "solved"),
        ("--!d  -+s  --!", "queued"),
        ("--!d  .  .e", "open"),
        ("--!d  .  .e  -+", "solved"),
        ("--!dv", "open"),
        ("--!d  .e  --!", "queued"),
        ("--!d  -+s  --!n", "open"),
        ("--!dT", "taught"),
        ("--!dT  .  --!", "taught"),
        ("-+  --!dT  --", "taught"),
        ("--!dT  -+", "learned"),
        ("--!dT  --!  +-", "learned"),
        ("--!dT  -+  --", "regressed"),
        ("--!dT  -+  --!  ++", "learned"),
        ("--!dT  -+  --!T", "taught"),
        ("--!dT  -+  --!T  --!", "regressed"),
        ("--!dTR", "retired"),
        ("--!dTR  --!", "retired"),
        ("--!dTR  -+", "learned"),
        ("--!dTR  -+  --!", "regressed"),
        ("--!dT  -+  --!TR  --", "retired"),
        ("--!c", "control"),
        ("--!c  -+", "control"),
    ],
)
def test_what_became_of_a_question(ledger, history, state):
    asked = live(ledger, history)
    assert ledger.execute("SELECT state, text FROM hard_examples WHERE question_id = ?", [asked]) == [(state, history)]


def test_a_question_that_was_never_hardest_is_no_hard_example(ledger):
    asked = live(ledger, "--  tt  -+")
    assert ledger.execute("FROM hard_examples WHERE question_id = ?", [asked]) == []


def test_counts_of_a_life(ledger):
    asked = live(ledger, "--!dr  --!T  -+  tt  --!T  +++-")
    columns = {
        "times_sampled": 6,
        "times_hardest": 3,
        "times_unsolved": 4,
        "first_hardest": 0,
        "last_hardest": 4,
        "last_sampled": 5,
        "last_accuracy": 0.75,
        "admitted": 1,
        "refused": 1,
        "times_taught": 2,
        "last_taught": 4,
        "nll_before": 0.0,
        "nll_after": 0.5,
        "sampled_since_taught": 4,
        "solved_since_taught": 2,
        "gold": "282",
    }
    found = ledger.execute(f"SELECT {', '.join(columns)} FROM hard_examples WHERE question_id = ?", [asked])
    assert [dict(zip(columns, row, strict=True)) for row in found] == [columns]


@pytest.mark.parametrize(
    ("history", "is_waiting"),
    [
        ("--!d", True),
        ("--!d   --!", True),
        ("--!dT   ", False),
        ("--!dT   --!", True),
        ("--!dT   --!n", False),
        ("--!dT   --!T", False),
        ("--!dTR   --!", False),
        ("--!d   .e", False),
        ("--!r   ", False),
        ("--!cd", False),
    ],
)
def test_a_demonstration_waits_until_it_is_used_or_leaves_and_again_when_its_question_fails(
    ledger, history, is_waiting
):
    asked = live(ledger, history)
    assert ledger.execute("SELECT is_waiting FROM hard_examples WHERE question_id = ?", [asked]) == [(is_waiting,)]


def test_of_two_groups_of_one_policy_the_training_group_is_the_latest(ledger):
    asked = live(ledger, "--!dT    --")
    ledger.record_attempts("p", 1, [group(question("--!dT    --"), "++", version=2)], purpose=Purpose.PROBE)
    assert ledger.execute("SELECT state FROM hard_examples WHERE question_id = ?", [asked]) == [("regressed",)]


def test_a_probe_after_teaching_counts_and_the_group_that_led_to_it_does_not(ledger):
    asked = live(ledger, "--!dT   .")
    probed = group(question("--!dT   ."), "-+", version=2)
    ledger.record_attempts("probe", 0, [probed], purpose=Purpose.PROBE)
    assert ledger.execute(
        "SELECT state, times_sampled, sampled_since_taught FROM hard_examples WHERE question_id = ?", [asked]
    ) == [("learned", 2, 1)]
    assert ledger.execute(
        "SELECT purpose, accuracy, is_hardest FROM group_results WHERE question_id = ? ORDER BY purpose", [asked]
    ) == [("probe", 0.5, None), ("train", 0.0, True)]
