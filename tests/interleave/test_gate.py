from interleave_groups import group

from relift.config import GateConfig
from relift.interleave import Gate, is_control
from relift.records import Status

OURS = Gate(GateConfig())
PRESETS = Gate(GateConfig(counts=(Status.WRONG, Status.NO_ANSWER, Status.MALFORMED, Status.TRUNCATED)))


def test_one_correct_rollout_in_eight_keeps_a_question_from_being_hardest():
    assert OURS.is_hardest(group("q", [Status.WRONG] * 8))
    assert not OURS.is_hardest(group("q", [Status.WRONG] * 7 + [Status.CORRECT]))


def test_half_of_the_group_must_be_wrong():
    assert OURS.is_hardest(group("q", [Status.WRONG] * 4 + [Status.TRUNCATED] * 4))
    assert not OURS.is_hardest(group("q", [Status.WRONG] * 3 + [Status.TRUNCATED] * 5))


def test_eight_truncated_rollouts_are_hardest_under_the_presets_only():
    cut = group("q", [Status.TRUNCATED] * 8)
    assert not OURS.is_hardest(cut)
    assert PRESETS.is_hardest(cut)


def test_every_unanswered_status_counts_under_the_presets():
    mixed = [Status.WRONG, Status.NO_ANSWER, Status.MALFORMED, Status.TRUNCATED]
    assert PRESETS.is_hardest(group("q", mixed))
    assert not OURS.is_hardest(group("q", mixed))


def test_our_own_failures_never_make_a_question_hardest():
    for status in (Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD):
        failed = group("q", [status] * 8, rewards=[None] * 8)
        assert not PRESETS.is_hardest(failed)
        assert not Gate(GateConfig(min_share=0.0)).is_hardest(failed)
    assert not PRESETS.is_hardest(group("q", [Status.ERROR] * 5 + [Status.WRONG] * 3))


def test_shaped_rewards_do_not_change_which_questions_are_hardest():
    groups = {
        "unsolved": [Status.WRONG] * 8,
        "solved once": [Status.WRONG] * 7 + [Status.CORRECT],
        "solved": [Status.CORRECT] * 8,
    }
    for rewards in ([-1.0] * 8, [0.3] * 8, [0.0] * 8, [1.0, -1.0] * 4):
        hardest = [name for name, s in groups.items() if OURS.is_hardest(group(name, s, rewards=rewards))]
        assert hardest == ["unsolved"]


def test_the_control_group_is_the_asked_share_of_ids_and_always_the_same():
    ids = [f"question-{i}" for i in range(20_000)]
    controls = [i for i in ids if is_control(i, 0.1)]
    # 2000 expected, standard deviation sqrt(20000 * 0.1 * 0.9) = 42.4
    assert abs(len(controls) - 2000) < 4 * 42.4
    assert controls == [i for i in ids if is_control(i, 0.1)]
    assert set(controls) < {i for i in ids if is_control(i, 0.2)}
    assert not any(is_control(i, 0.0) for i in ids)
    assert all(is_control(i, 1.0) for i in ids)


def test_the_control_group_stays_the_same_across_versions():
    assert [i for i in range(60) if is_control(f"question-{i}", 0.1)] == [4, 9, 13, 30, 33, 37]
