import copy
import dataclasses

import numpy as np
import pytest

from relift.config import GateConfig, OverlongConfig, RlConfig, SftConfig
from relift.interleave import Gate
from relift.learning import demonstration_sequence, rollout_sequence, sft_minibatches
from relift.learning import rl_sequences as sequences_of
from relift.phases.verify import reward
from relift.records import Completion, FinishReason, Question, Rollout, RolloutGroup, Status, Verdict

C, W, T, E = Status.CORRECT, Status.WRONG, Status.TRUNCATED, Status.ERROR
REWARDS = {C: 1.0, W: 0.0, T: 0.0, E: None}


def completion(sample, tokens=2):
    return Completion(
        token_ids=(10 + sample,) + (1,) * (tokens - 1),
        logprobs=(-0.5,) + (-0.25,) * (tokens - 1),
        text="",
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )


def group(name, *statuses):
    rollouts = tuple(
        Rollout(sample=j, completion=completion(j), verdict=Verdict(status=s), reward=REWARDS[s])
        for j, s in enumerate(statuses)
    )
    return RolloutGroup(question=Question(id=name, text=name, answer="1", source="test"), rollouts=rollouts)


def rewarded(made, config):
    """The group with the rewards that it is recorded with."""
    rollouts = (dataclasses.replace(r, reward=reward(r.verdict, config)) for r in made.rollouts)
    return dataclasses.replace(made, rollouts=tuple(rollouts))


PROMPTS = dict.fromkeys("abcde", (3, 4, 5))


def rl_sequences(groups, prompts, *, config):
    return sequences_of(groups, prompts, config=config, max_completion_tokens=20)


def test_token_ids_mask_and_sampler_logprobs_pass_through_after_the_prompt():
    ((first, second),) = rl_sequences([group("a", C, W)], PROMPTS, config=RlConfig())
    assert first.token_ids == (3, 4, 5, 10, 1)
    assert first.loss_mask == (0, 0, 0, 1, 1)
    assert first.sampling_logprobs == (0.0, 0.0, 0.0, -0.5, -0.25)
    assert (first.advantage, second.advantage) == (0.5, -0.5)
    assert first.question_id == "a"


def test_each_optimizer_step_holds_its_share_of_the_groups_in_order():
    groups = [group(name, C, W) for name in "abcde"]
    steps = rl_sequences(groups, PROMPTS, config=RlConfig(questions_per_update=2))
    assert [[s.question_id for s in step] for step in steps] == [list("aabb"), list("ccdd"), list("ee")]


def test_ungraded_rollouts_leave_statistics_and_loss():
    ((*sequences,),) = rl_sequences([group("a", E, C, W, W)], PROMPTS, config=RlConfig())
    assert [s.token_ids[3] for s in sequences] == [11, 12, 13]
    assert [s.advantage for s in sequences] == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_truncated_rollouts_count_as_zero_or_are_masked():
    cut = group("a", C, T, T, T)
    for truncated, advantages in ("zero", [0.75, -0.25, -0.25, -0.25]), ("mask", [0.0]):
        config = RlConfig(truncated=truncated)
        ((*found,),) = rl_sequences([rewarded(cut, config)], PROMPTS, config=config)
        assert [s.advantage for s in found] == advantages


def test_a_group_without_any_graded_rollout_makes_no_sequences():
    assert rl_sequences([group("a", E, E)], PROMPTS, config=RlConfig()) == [[]]
    assert rl_sequences([], PROMPTS, config=RlConfig()) == []


def long_group(name, *attempts):
    """Attempts of (status, tokens)."""
    plain = group(name, *(status for status, _ in attempts))
    rollouts = tuple(
        dataclasses.replace(r, completion=completion(r.sample, tokens))
        for r, (_, tokens) in zip(plain.rollouts, attempts, strict=True)
    )
    return dataclasses.replace(plain, rollouts=rollouts)


OVERLONG = RlConfig(overlong=OverlongConfig(buffer=4, penalty=1.0))


def test_overlong_completions_lose_reward_in_the_statistics_of_advantages():
    # Penalties 0, 0.5, 1: rewards 1, 0.5, -1, 0, so the mean is 1/8.
    mixed = long_group("a", (C, 16), (C, 18), (T, 20), (W, 3))
    ((*sequences,),) = rl_sequences([mixed], PROMPTS, config=OVERLONG)
    assert [s.advantage for s in sequences] == [0.875, 0.375, -1.125, -0.125]
    masked = OVERLONG.model_copy(update={"truncated": "mask"})
    ((*sequences,),) = rl_sequences([rewarded(mixed, masked)], PROMPTS, config=masked)
    assert [s.advantage for s in sequences] == [0.5, 0.0, -0.5]


def test_a_group_of_correct_rollouts_has_a_signal_once_some_are_overlong():
    solved = long_group("a", (C, 3), (C, 20))
    assert [s.advantage for s in rl_sequences([solved], PROMPTS, config=RlConfig())[0]] == [0.0, 0.0]
    assert [s.advantage for s in rl_sequences([solved], PROMPTS, config=OVERLONG)[0]] == [0.5, -0.5]


def test_a_length_penalty_leaves_verdicts_rewards_and_the_hardest_questions_as_they_were():
    groups = [
        long_group("a", (W, 20), (W, 3)),
        long_group("b", (C, 20), (W, 3)),  # its correct rollout ends below the wrong one
        long_group("c", (C, 20), (C, 20)),
        long_group("d", (T, 20), (T, 20)),
    ]
    kept = copy.deepcopy(groups)
    harsh = RlConfig(overlong=OverlongConfig(buffer=20, penalty=5.0))
    ((*sequences,),) = rl_sequences(groups, PROMPTS, config=harsh)
    assert [s.advantage for s in sequences[2:4]] == pytest.approx([-1.625, 1.625])
    assert groups == kept
    for counts, hardest in ((Status.WRONG,), ["a"]), ((Status.WRONG, Status.TRUNCATED), ["a", "d"]):
        gate = Gate(GateConfig(counts=counts))
        assert [g.question.id for g in groups if gate.is_hardest(g)] == hardest
    assert [g.accuracy for g in groups] == [0.0, 0.5, 1.0, 0.0]


def test_a_demonstration_trains_on_the_solution_and_its_end_alone():
    sequence = demonstration_sequence("q", (3, 4), (7, 8, 1))
    in_loss = [t for t, m in zip(sequence.token_ids, sequence.loss_mask, strict=True) if m]
    assert in_loss == [7, 8, 1]
    assert (sequence.advantage, sequence.sampling_logprobs) == (None, None)
    assert sequence.loss_tokens == 3


def test_a_sequence_needs_a_prompt():
    with pytest.raises(AssertionError, match="nothing to be predicted from"):
        demonstration_sequence("q", (), (7, 1))
    with pytest.raises(AssertionError, match="nothing to be predicted from"):
        rollout_sequence((), "q", completion(0))


def ids(minibatches):
    return [[s.question_id for s in minibatch] for minibatch in minibatches]


def demonstrations(count, prefix):
    return [demonstration_sequence(f"{prefix}{i}", (3,), (7, 1)) for i in range(count)]


def test_each_epoch_is_its_own_shuffle_of_all_demonstrations():
    config = SftConfig(epochs=3, minibatch=4)
    made = ids(sft_minibatches(demonstrations(6, "d"), [], config=config, rng=np.random.default_rng(0)))
    assert [len(minibatch) for minibatch in made] == [4, 2] * 3
    epochs = [made[i] + made[i + 1] for i in (0, 2, 4)]
    assert all(sorted(epoch) == [f"d{i}" for i in range(6)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_without_a_minibatch_size_the_whole_batch_is_one_step():
    made = sft_minibatches(demonstrations(5, "d"), [], config=SftConfig(), rng=np.random.default_rng(0))
    assert [len(minibatch) for minibatch in made] == [5]


def test_every_minibatch_is_topped_up_with_distinct_own_rollouts():
    config = SftConfig(epochs=2, minibatch=2, own_correct=3)
    made = ids(
        sft_minibatches(demonstrations(4, "d"), demonstrations(9, "own"), config=config, rng=np.random.default_rng(0))
    )
    for minibatch in made:
        own = [name for name in minibatch if name.startswith("own")]
        assert len(minibatch) == 5
        assert len(set(own)) == len(own) == 3
    assert len({tuple(minibatch[2:]) for minibatch in made}) > 1, "each minibatch draws anew"
    few = ids(
        sft_minibatches(demonstrations(4, "d"), demonstrations(2, "own"), config=config, rng=np.random.default_rng(0))
    )
    assert all(sorted(minibatch[2:]) == ["own0", "own1"] for minibatch in few)


def test_the_minibatches_are_a_function_of_the_generator():
    config = SftConfig(epochs=2, minibatch=4, own_correct=2)
    made = [
        ids(
            sft_minibatches(demonstrations(8, "d"), demonstrations(9, "o"), config=config, rng=np.random.default_rng(s))
        )
        for s in (5, 5, 6)
    ]
    assert made[0] == made[1] != made[2]
