"""Several ranks make the update that one process makes: gradients, reports, decisions, checkpoints."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ranks as on_ranks
import torch
from learning_helpers import adam, relative_error, rl, sequences, tiny_model

from relift.learning.sharding import ALONE, full_tensors, shard, shares_of, torchrun_ranks
from relift.policy.weights import resume_tensors

ROOT = Path(__file__).parents[2]
SECONDS = 150
"""For four processes on two busy cores; a rank that waits for another gives up after 40."""
TOLERANCE = 1e-6
PROCESS = ("seconds", "peak_memory_bytes")
"""Figures that are no function of the update."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each rank found, what one process found, and the checkpoint that the ranks wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    alone = {"training": on_ranks.training(ALONE)}
    torch.save(alone["training"]["half"], folder / "alone.pt")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(on_ranks.WORLD)]
    process = subprocess.Popen(
        [sys.executable, *command, str(Path(on_ranks.__file__)), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        alone["gradients"] = on_ranks.gradients(ALONE)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # it ends the ranks, which are in sessions of their own
            process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said[-4000:]
    ranks = [torch.load(folder / f"rank{rank}.pt") for rank in range(on_ranks.WORLD)]
    return {"alone": alone, "ranks": ranks, "checkpoint": torch.load(folder / "half.pt")}


def updates_made():
    names = [*on_ranks.RL, *on_ranks.SFT, *(f"{u} {kind}" for kind in on_ranks.KINDS for u in ("rl", "sft"))]
    names += ["rl of one", "sft of one", "rl shared prompts", "rl and demonstrations", "rl of demonstrations alone"]
    return [(2, name) for name in names] + [(n, name) for n in (3, 4) for name in on_ranks.ON_ANY_NUMBER]


def same(one, other):
    return all(
        left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
        for left, right in zip(one, other, strict=True)
    )


# ---------------------------------------------------------------- gradients and reports


@pytest.mark.parametrize(("size", "name"), [made for made in updates_made() if "bfloat16" not in made[1]])
def test_the_gradient_and_the_report_do_not_depend_on_the_number_of_ranks(found, size, name):
    want, got = found["alone"]["gradients"][name], found["ranks"][0][size][name]
    assert got["gradient"].keys() == want["gradient"].keys()
    assert relative_error(got["gradient"], want["gradient"]) < TOLERANCE
    for figure in want["report"].keys() - set(PROCESS):
        assert got["report"][figure] == pytest.approx(want["report"][figure], rel=1e-5, abs=1e-6), figure


@pytest.mark.parametrize(("size", "name"), updates_made())
def test_every_rank_has_the_same_gradient_and_reports_the_same(found, size, name):
    first, *others = [found["ranks"][rank][size][name] for rank in range(size)]
    for other in others:
        assert other["report"] == first["report"]
        assert same([other["gradient"]], [first["gradient"]])


@pytest.mark.parametrize("update", ["rl", "sft"])
def test_in_bfloat16_a_sharded_gradient_is_as_near_to_float32_as_that_of_one_process(found, update):
    alone = found["alone"]["gradients"]
    exact = relative_error_to(alone, update, alone[f"{update} bfloat16"]["gradient"])
    assert 1e-4 < exact < 0.03
    assert relative_error_to(alone, update, found["ranks"][0][2][f"{update} bfloat16"]["gradient"]) < 1.5 * exact


def relative_error_to(alone, update, gradient):
    return relative_error(gradient, alone[f"{update} one layer recomputed"]["gradient"])


def test_whole_updates_lead_to_the_same_weights_moments_and_reports(found):
    want, got = found["alone"]["training"], found["ranks"][0]["training"]
    for stage in ("half", "end"):
        for left, right in zip(got[stage], want[stage], strict=True):
            assert left.keys() == right.keys()
            assert relative_error(left, right) < 1e-5
    for left, right in zip(got["reports"], want["reports"], strict=True):
        for figure in right.keys() - set(PROCESS):
            assert left[figure] == pytest.approx(right[figure], rel=1e-4, abs=1e-5), figure
    assert want["reports"][0]["clip_fraction"] > 0, "the second step was to meet the clip"


# ---------------------------------------------------------------- what a rank holds


@pytest.mark.parametrize("size", [2, 3])
def test_a_rank_holds_its_share_of_weights_and_moments_alone(found, size):
    held = [found["ranks"][rank]["held", size] for rank in range(size)]
    whole = held[0]["whole"]
    assert sum(share["weights"] for share in held) == whole
    assert all(share["weights"] == pytest.approx(whole / size, rel=0.1) for share in held)
    assert [share["moments"] for share in held] == [2 * share["weights"] for share in held]


# ---------------------------------------------------------------- decisions


def test_all_ranks_refuse_a_step_whose_gradient_is_bad_on_one_of_them(found):
    for rank in (0, 1):
        told = found["ranks"][rank]["refusals"]
        for fault in ("not finite", "above"):
            assert (told[fault]["refused"], told[fault]["steps"]) == (1, 0)
    told = found["ranks"][0]["refusals"]
    assert same([told["before"]], [told["after"]]) and told["before"]


def test_a_stop_on_one_rank_stops_them_all(found):
    first, last = [found["ranks"][rank]["refusals"]["stopped"] for rank in (0, 1)]
    assert first == "Interrupted: another rank of the update stopped"
    assert last == "Stopped: asked to stop"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("different", "DataError: the 2 ranks of an update were given different sequences"),
        ("different views", "DataError: the 2 ranks of an update were given different sequences"),
        ("without ranks", "ConfigError: the model is sharded, but the update was not given the ranks"),
        ("not sharded", "ConfigError: the update runs on 2 ranks, but its model is not sharded over them"),
        ("early optimizer", "ConfigError: the optimizer holds parameters that the sharded model no longer has"),
    ],
)
def test_what_would_train_something_else_is_refused_on_every_rank(found, mistake, message):
    for rank in (0, 1):
        assert found["ranks"][rank]["refusals"][mistake].startswith(message)


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_two_ranks_is_whole_and_on_rank_0_alone(found):
    first, second = [found["ranks"][rank]["training"] for rank in (0, 1)]
    assert same(first["half"], found["checkpoint"])
    names = [part.keys() for part in found["alone"]["training"]["half"]]
    assert [part.keys() for part in first["half"]] == names
    assert not any(second["half"])


def test_a_checkpoint_of_two_ranks_loads_on_one_and_back_bit_for_bit(found):
    model = tiny_model(seed=5)
    optimizers = adam(model), adam(model)
    on_ranks.load(found["checkpoint"], model, optimizers)
    assert same(on_ranks.tensors(model, optimizers, ALONE), found["checkpoint"])
    got = found["ranks"][0]["training"]
    assert same(got["loaded from alone"], found["alone"]["training"]["half"])
    assert same([got["adapters"]], [resume_tensors(on_ranks.made_model("adapters", ALONE))])


def test_two_ranks_resume_bit_for_bit(found):
    got = found["ranks"][0]["training"]
    assert same(got["loaded"], got["half"])
    assert same(got["resumed"], got["end"])


# ---------------------------------------------------------------- one process


def test_alone_nothing_is_sharded_exchanged_or_copied(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with torchrun_ranks("cpu") as ranks:
        assert ranks is ALONE
    model = tiny_model()
    kind, parameters = type(model), list(model.parameters())
    shard(model, ALONE)
    assert type(model) is kind and all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
    tensors = resume_tensors(model)
    assert all(full_tensors(tensors, ALONE)[name] is tensor for name, tensor in tensors.items())
    assert shares_of(model, tensors) == tensors

    def check():
        raise KeyError

    assert ALONE.together(check) is check
    with pytest.raises(KeyError):
        rl(model, adam(model), [sequences([3])], check=check)
