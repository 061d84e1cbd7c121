import pytest
import safetensors.torch
import torch
from learning_helpers import adam, tiny_model, weights

from relift.config import ScheduleConfig
from relift.errors import StoreError
from relift.learning import load_optimizer_tensors, optimizer_tensors, schedule_factor
from relift.learning.optimizers import StepHistory, history_of


def step(model, optimizer, seed):
    """One step on a loss that depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad(set_to_none=True)
    sum((p * torch.randn(p.shape, generator=generator)).sum() for p in model.parameters()).backward()
    optimizer.step()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_state_survives_a_safetensors_file_bit_for_bit(tmp_path):
    straight, optimizer = tiny_model(), None
    optimizer = adam(straight, lr=0.01)
    for seed in range(3):
        step(straight, optimizer, seed)
    safetensors.torch.save_file(optimizer_tensors(optimizer), tmp_path / "state.safetensors")

    resumed = tiny_model(seed=1)
    resumed.load_state_dict(weights(straight))
    fresh = adam(resumed, lr=0.01)
    load_optimizer_tensors(fresh, safetensors.torch.load_file(tmp_path / "state.safetensors"))
    assert same(optimizer_tensors(fresh), optimizer_tensors(optimizer))
    for seed in (3, 4):
        step(straight, optimizer, seed)
        step(resumed, fresh, seed)
    assert same(weights(resumed), weights(straight))
    assert same(optimizer_tensors(fresh), optimizer_tensors(optimizer))
    assert all(value.item() == 5 for name, value in optimizer_tensors(fresh).items() if name.endswith(".step"))


def test_before_the_first_step_there_is_nothing_to_keep_and_loading_it_resets():
    model = tiny_model()
    optimizer = adam(model)
    assert optimizer_tensors(optimizer) == {}
    step(model, optimizer, 0)
    assert optimizer_tensors(optimizer)
    load_optimizer_tensors(optimizer, {})
    assert optimizer_tensors(optimizer) == {}
    step(model, optimizer, 1)


def test_names_are_the_models_parameters_and_loading_copies():
    model = tiny_model()
    optimizer = adam(model)
    step(model, optimizer, 0)
    tensors = optimizer_tensors(optimizer)
    names = {name for name, _ in model.named_parameters()}
    assert tensors.keys() == {f"{n}.{s}" for n in names for s in ("step", "exp_avg", "exp_avg_sq")}
    other = adam(tiny_model())
    load_optimizer_tensors(other, tensors)
    kept = optimizer_tensors(other)["model.norm.weight.exp_avg"].clone()
    step(model, optimizer, 1)
    assert torch.equal(optimizer_tensors(other)["model.norm.weight.exp_avg"], kept)


def test_the_history_of_steps_survives_a_safetensors_file(tmp_path):
    model = tiny_model()
    optimizer = adam(model)
    step(model, optimizer, 0)
    history = history_of(optimizer)
    for norm in (0.1, 1 / 3):  # float64: neither is exact in float32
        history.take(norm)
    history.skipped, history.refused = 5, 7
    safetensors.torch.save_file(optimizer_tensors(optimizer), tmp_path / "state.safetensors")
    fresh = adam(tiny_model())
    load_optimizer_tensors(fresh, safetensors.torch.load_file(tmp_path / "state.safetensors"))
    assert history_of(fresh) == StepHistory(taken=2, skipped=5, refused=7, norms=(0.1, 1 / 3))
    assert same(optimizer_tensors(fresh), optimizer_tensors(optimizer))


def test_steps_that_were_all_refused_are_kept_though_there_are_no_moments(tmp_path):
    optimizer = adam(tiny_model())
    history_of(optimizer).refused = 3
    safetensors.torch.save_file(optimizer_tensors(optimizer), tmp_path / "state.safetensors")
    fresh = adam(tiny_model())
    load_optimizer_tensors(fresh, safetensors.torch.load_file(tmp_path / "state.safetensors"))
    assert history_of(fresh) == StepHistory(refused=3)
    assert not any(torch.is_tensor(key) for key in fresh.state)


def test_a_state_without_history_loads_and_begins_a_new_one():
    model = tiny_model()
    optimizer = adam(model)
    step(model, optimizer, 0)
    older = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    assert not any(name.startswith("history") for name in older)
    history_of(optimizer).take(1.0)
    load_optimizer_tensors(optimizer, older)
    assert history_of(optimizer) == StepHistory()
    assert same(optimizer_tensors(optimizer), older)


def test_clearing_the_state_forgets_the_history_too():
    optimizer = adam(tiny_model())
    history_of(optimizer).take(1.0)
    optimizer.state.clear()
    assert history_of(optimizer) == StepHistory()


def test_the_library_still_copies_the_optimizers_state():
    model = tiny_model()
    optimizer = adam(model)
    step(model, optimizer, 0)
    history_of(optimizer).take(2.0)
    other = adam(model)
    other.load_state_dict(optimizer.state_dict())
    assert same(optimizer_tensors(other), optimizer_tensors(optimizer))


def test_a_state_of_another_model_is_refused_and_changes_nothing():
    model = tiny_model()
    optimizer = adam(model)
    step(model, optimizer, 0)
    good = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    key = "model.norm.weight.exp_avg"
    with pytest.raises(StoreError, match="unknown to the model"):
        load_optimizer_tensors(optimizer, {**good, "model.other.weight.step": torch.tensor(1.0)})
    with pytest.raises(StoreError, match="missing or unexpected"):
        load_optimizer_tensors(optimizer, {name: t for name, t in good.items() if name != key})
    with pytest.raises(StoreError, match=r"another shape.*model\.norm\.weight\.exp_avg"):
        load_optimizer_tensors(optimizer, {**good, key: torch.zeros(3)})
    counts, norms = torch.tensor([1, 0, 0]), torch.tensor([0.5], dtype=torch.float64)
    with pytest.raises(StoreError, match=r"missing or unexpected.*history\.norms"):
        load_optimizer_tensors(optimizer, {**good, "history.counts": counts})
    with pytest.raises(StoreError, match="other counts"):
        load_optimizer_tensors(optimizer, {**good, "history.counts": counts[:2], "history.norms": norms})
    assert same(optimizer_tensors(optimizer), good)


def test_frozen_parameters_are_not_the_optimizers():
    model = tiny_model()
    model.model.embed_tokens.weight.requires_grad_(False)
    (group,) = adam(model).param_groups
    assert "model.embed_tokens.weight" not in group["param_names"]


def factors(iterations, **schedule):
    return [schedule_factor(ScheduleConfig(**schedule), i, iterations) for i in range(iterations)]


def test_the_default_schedule_is_constant():
    assert factors(7) == [1.0] * 7


def test_warm_up_hold_and_decay_worked_by_hand():
    # 11 iterations: warm-up over 2, hold until iteration 4.4, then from there down to 0.2 in iteration 10.
    got = factors(11, warmup_iterations=2, hold_share=0.4, final_share=0.2)
    decay = [1 - 0.8 * (i - 4.4) / (10 - 4.4) for i in range(5, 11)]
    assert got == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, *decay])
    assert got[-1] == pytest.approx(0.2)


def test_a_long_warm_up_delays_the_decay_and_tiny_runs_are_defined():
    got = factors(6, warmup_iterations=4, hold_share=0.0, final_share=0.0)
    assert got == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.0])
    assert factors(1, warmup_iterations=0, hold_share=0.5, final_share=0.1) == [1.0]
    assert factors(2, hold_share=0.5, final_share=0.1) == pytest.approx([1.0, 0.1])


def test_decay_from_the_first_iteration_on():
    assert factors(5, hold_share=0.0, final_share=0.0) == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])


def test_with_a_budget_hold_and_decay_go_by_what_is_used_of_it_and_warm_up_by_iterations():
    schedule = ScheduleConfig(warmup_iterations=4, hold_share=0.5, final_share=0.1)

    def factor(iteration, used):
        return schedule_factor(schedule, iteration, 0, used=used)

    assert [factor(i, 0.0) for i in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [factor(9, used) for used in (0.3, 0.5)] == [1.0, 1.0]
    assert [factor(9, used) for used in (0.75, 1.0)] == pytest.approx([0.55, 0.1])
    assert schedule_factor(ScheduleConfig(), 9, 0, used=0.9) == 1.0
