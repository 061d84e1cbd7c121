import pytest
from ledger_histories import demonstration, group, question, update, version

from relift.errors import LedgerError
from relift.ledger import LeavingRecord, Ledger, Use, question_history
from relift.records import Purpose

HARD, OTHER = question("Tom has 47 boxes of 6. How many?"), question("Tom has 3 boxes. How many?", "3")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    for run in ("a", "b"):
        with Ledger.open(folder / run / "ledger.duckdb", run) as ledger:
            ledger.record_questions("questions", [HARD, OTHER], "train")
            groups = [group(HARD, "-t--"), group(OTHER, "++++")]
            ledger.record_attempts("0/record", 0, groups, purpose=Purpose.TRAIN, hardest=[HARD.id])
            if run == "b":
                offered = [demonstration(HARD), demonstration(HARD, text="=281", refusal="wrong: 281 is not 282")]
                ledger.record_demonstrations("0/source", 0, offered)
                use = Use(demonstration_id=offered[0].id, question_id=HARD.id, nll_before=2.0, nll_after=0.5)
                ledger.record_update("0/sft", 0, update(), version(1), [use])
                ledger.record_attempts("1/record", 1, [group(HARD, "-+++", version=1)], purpose=Purpose.TRAIN)
                ledger.record_attempts("1/evaluate", 1, [group(HARD, "+", version=1)], purpose=Purpose.EVALUATION)
                ledger.record_attempts("1/confirm", 1, [group(HARD, "-", version=1)], purpose=Purpose.CONFIRM)
                ledger.record_attempts("1/probe", 1, [group(HARD, "-+", version=1)], purpose=Purpose.PROBE)
                left = LeavingRecord(question_id=HARD.id, demonstration_id=offered[0].id, reason="retired")
                ledger.record_leavings("0/leavings", 0, [left])
            ledger.publish(ledger.path.with_name("hard_examples.duckdb"))
    return folder


def test_a_question_is_told_through_all_phases_and_runs(store):
    history = question_history(store, HARD.id[:6])
    assert (history.id, history.text, history.gold) == (HARD.id, HARD.text, "282")
    assert [(s.run, s.split, s.state) for s in history.states] == [("a", "train", "open"), ("b", "train", "learned")]
    assert [(g.run, g.iteration, g.purpose, g.accuracy, g.is_hardest, g.statuses) for g in history.groups] == [
        ("a", 0, "train", 0.0, True, (("wrong", 3), ("truncated", 1))),
        ("b", 0, "train", 0.0, True, (("wrong", 3), ("truncated", 1))),
        ("b", 1, "confirm", 0.0, None, (("wrong", 1),)),
        ("b", 1, "evaluation", 1.0, None, (("correct", 1),)),
        ("b", 1, "probe", 0.5, None, (("correct", 1), ("wrong", 1))),
        ("b", 1, "train", 0.75, False, (("correct", 3), ("wrong", 1))),
    ]
    assert [(s.sample, s.status, s.text) for s in history.groups[0].samples] == [
        (0, "wrong", "-0"),
        (1, "truncated", "t1"),
    ]
    assert [(g.distance, g.is_taught) for g in history.groups] == [(None, None)] * 4 + [(1, True), (None, None)]
    assert history.groups[3].samples[0].text is None
    assert sorted((d.run, d.text, d.refusal) for d in history.demonstrations if d.refusal) == [
        ("b", "=281", "wrong: 281 is not 282")
    ]
    assert [(u.run, u.iteration, u.nll_before, u.nll_after) for u in history.uses] == [("b", 0, 2.0, 0.5)]
    assert [(one.run, one.iteration, one.reason) for one in history.leavings] == [("b", 0, "retired")]


def test_a_question_is_found_by_id_by_text_and_by_part_of_its_text(store):
    for asked in (HARD.id, HARD.id.upper(), HARD.text, " Tom has  47 boxes of 6.\nHow many? ", "47 boxes"):
        assert question_history(store, asked).id == HARD.id


def test_a_question_that_was_never_hard_has_a_history_without_a_state(store):
    history = question_history(store, OTHER.id)
    assert [s.state for s in history.states] == [None, None]
    assert history.uses == history.demonstrations == ()


def test_several_that_fit_are_listed(store):
    with pytest.raises(LedgerError) as error:
        question_history(store, "Tom has")
    assert "fits 2 questions" in str(error.value)
    assert HARD.id in str(error.value) and OTHER.id in str(error.value)


def test_an_unknown_question_gets_the_nearest_ones(store):
    typo = HARD.id[:7] + "z"
    with pytest.raises(LedgerError) as error:
        question_history(store, typo)
    nearest = str(error.value).splitlines()[1]
    assert HARD.id in nearest and "Tom has 47" in nearest
    with pytest.raises(LedgerError, match="nearest"):
        question_history(store, "  ")
