"""What each rank of test_sharding does, started by torchrun:

    python -m torch.distributed.run --standalone --nproc-per-node 4 ranks.py FOLDER

The first 2, 3 and 4 ranks make the same updates one after the other; each leaves what it found in FOLDER. The test
makes them with ``ALONE`` and compares.
"""

import copy
import dataclasses
import sys
from datetime import timedelta
from pathlib import Path

import torch
from learning_helpers import UNEVEN, adam, families_of, rl, sequences, sft, tiny_model
from torch.distributed.device_mesh import DeviceMesh
from transformers import Qwen2ForCausalLM

from relift.config import (
    AdamConfig,
    CispoConfig,
    ClipConfig,
    CorrectionConfig,
    GspoConfig,
    KlConfig,
    LoraConfig,
    PpoConfig,
)
from relift.errors import ReliftError
from relift.learning import load_optimizer_tensors, optimizer_tensors
from relift.learning.sharding import ALONE, Ranks, full_tensors, shard, shares_of, torchrun_ranks, whole
from relift.policy.lora import add_adapters
from relift.policy.recompute import recompute_layers
from relift.policy.weights import resume_tensors
from relift.records import Distillation, Supervision
from relift.run.checkpoint import put_weights

WORLD = 4
UNEVEN_SHARES = 3
"""Divides neither the vocabulary nor a width, and is no power of two."""
BUDGET = 60
"""Tokens of a micro-batch: alone, the seven sequences take three of them, which 2 and 4 do not divide."""
SEQUENCE_RATIO = {"loss": GspoConfig(clip=ClipConfig().model_dump()), "correction": CorrectionConfig(level="sequence")}
RL = {
    "rl": {},
    "rl seq-mean": {"aggregation": "seq-mean"},
    "rl constant": {"aggregation": "constant"},
    "rl entropy": {"entropy_weight": 0.3, "temperature": 0.7, "chunk": 5},
    "rl sequence ratio": SEQUENCE_RATIO,
    "rl cispo": {"loss": CispoConfig()},
    "rl kl": {"kl": KlConfig(weight=0.1)},
    "rl clipped": {"adamw": AdamConfig(grad_clip=0.5)},
}
SFT = {
    "sft": {"entropy_weight": 0.0},
    "sft entropy": {"entropy_weight": 0.05},
    "sft weights": {"entropy_weight": 0.0, "token_weights": "p(1-p)"},
}
KINDS = ("untied", "every layer recomputed", "one layer recomputed", "adapters", "bfloat16")
"""Of models, beside the plain one with tied embeddings."""
ON_ANY_NUMBER = ("rl", "rl entropy", "sft entropy", "rl of one", "sft of one")
"""Made on 3 and 4 ranks too."""


class Recorded(torch.optim.SGD):
    """Takes no step, but keeps the whole gradient that each step would have used, after clipping."""

    def __init__(self, model):
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.names = [name for name, _ in named]
        self.steps = []
        super().__init__([parameter for _, parameter in named], lr=0.0)

    def step(self, closure=None):
        gradients = [whole(parameter.grad.detach()).clone() for parameter in self.param_groups[0]["params"]]
        self.steps.append(dict(zip(self.names, gradients, strict=True)))


def made_model(kind, ranks, seed=0):
    model = tiny_model(seed)
    if kind == "untied":
        config = copy.deepcopy(model.config)
        config.tie_word_embeddings = False
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = Qwen2ForCausalLM(config).eval()
    if kind == "adapters":
        add_adapters(model, LoraConfig(rank=3, alpha=6.0), seed=seed)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero at the start, and with it the gradient of the other factor
                parameter.data += torch.linspace(-0.1, 0.1, parameter.numel()).reshape(parameter.shape)
    if "recomputed" in kind:
        recompute_layers(model, 1 if kind.startswith("every") else 2)
    shard(model, ranks, dtype="bfloat16" if kind == "bfloat16" else "float32")
    return model


def gradients(ranks, names=None):
    """By name, the gradient of a step and what was reported; of all or of some of the updates above."""
    made, demonstrations = sequences(UNEVEN), sequences(UNEVEN, demonstration=True)
    found = {}

    def keep(name, update, given, kind="tied", **settings):
        if names is not None and name not in names:
            return
        model = made_model(kind, ranks)
        optimizer = Recorded(model)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16", cache_enabled=False):
            outcome = update(model, optimizer, [given], budget=BUDGET, ranks=ranks, **settings)
        (gradient,) = optimizer.steps
        found[name] = {"gradient": gradient, "report": figures(getattr(outcome, "report", outcome))}

    for name, settings in RL.items():
        extra = {"reference": tiny_model(seed=1)} if "kl" in settings else {}
        keep(name, rl, made, **settings, **extra)
    keep("rl shared prompts", rl, families_of(), entropy_weight=0.1)
    taught = [
        dataclasses.replace(s, supervision=Supervision(weight=0.5, token_weights="p(1-p)")) for s in demonstrations
    ]
    keep("rl and demonstrations", rl, [*made, *taught], rl_weight=0.5)
    keep("rl of demonstrations alone", rl, taught[:1])
    for name, settings in SFT.items():
        keep(name, sft, demonstrations, demonstrations=demonstrations, **settings)
    for kind in KINDS:
        keep(f"rl {kind}", rl, made, kind=kind, entropy_weight=0.1)
        keep(f"sft {kind}", sft, demonstrations, kind=kind, entropy_weight=0.05)
    keep("rl of one", rl, made[:1], **SEQUENCE_RATIO)  # whoever is not first has an empty micro-batch
    keep("sft of one", sft, demonstrations[:1], demonstrations=demonstrations[:1])
    return found


def figures(report):
    tree = {**dataclasses.asdict(report), **report.metrics}
    return {name: value for name, value in tree.items() if isinstance(value, int | float)}


def training(ranks, folder=None):
    """Weights, moments and reports half-way through and at the end; and from each checkpoint that there is."""
    model = made_model("tied", ranks)
    optimizers = adam(model), adam(model)
    reports = updates(model, optimizers, ranks, seed=0)
    half = tensors(model, optimizers, ranks)
    reports += updates(model, optimizers, ranks, seed=1)
    found = {"reports": reports, "half": half, "end": tensors(model, optimizers, ranks)}
    if folder is not None:
        if ranks.rank == 0:
            torch.save(half, folder / "half.pt")
        ranks.sums([0.0])  # nobody reads it before it is written
        other = made_model("tied", ranks, seed=2)
        fresh = adam(other), adam(other)
        load(torch.load(folder / "alone.pt"), other, fresh)
        found["loaded from alone"] = tensors(other, fresh, ranks)
        load(torch.load(folder / "half.pt"), other, fresh)
        found["loaded"] = tensors(other, fresh, ranks)
        updates(other, fresh, ranks, seed=1)
        found["resumed"] = tensors(other, fresh, ranks)
        found["adapters"] = exchanged_adapters(ranks)
    return found


def updates(model, optimizers, ranks, seed):
    """A supervised and an RL update of two steps each: old log-probabilities, clipping and likelihoods included."""
    for_rl, for_sft = optimizers
    steps = [sequences(UNEVEN, seed=10 * seed + part) for part in (0, 1)]
    demonstrations = sequences(UNEVEN, seed=10 * seed + 2, demonstration=True)
    settings = {"budget": BUDGET, "ranks": ranks, "lr": 0.003, "adamw": AdamConfig(grad_clip=0.5)}
    taught = [demonstrations[:3], demonstrations[3:]]
    # It ends with a pass without gradient, which must leave nothing gathered for the update after it.
    outcome = sft(model, for_sft, taught, demonstrations=demonstrations, **settings)
    report = rl(model, for_rl, steps, loss=PpoConfig(clip=ClipConfig(low=0.05, high=0.05)), **settings)
    each = dict(enumerate([*outcome.nll_before, *outcome.nll_after]))
    return [figures(report), figures(outcome.report), each]


def tensors(model, optimizers, ranks):
    """Whole and copied, on rank 0: of the model and of both optimizers."""
    parts = resume_tensors(model), *map(optimizer_tensors, optimizers)
    return [{name: tensor.clone() for name, tensor in full_tensors(part, ranks).items()} for part in parts]


def load(parts, model, optimizers):
    put_weights(model, shares_of(model, parts[0]))
    for optimizer, state in zip(optimizers, parts[1:], strict=True):
        load_optimizer_tensors(optimizer, shares_of(model, state))


def exchanged_adapters(ranks):
    """What a sharded model holds after it was given the adapters of another."""
    want, model = resume_tensors(made_model("adapters", ALONE)), made_model("adapters", ranks, seed=3)
    put_weights(model, shares_of(model, want))
    return full_tensors(resume_tensors(model), ranks)


def refusals(ranks):
    """What each rank is told where only the last one stops or differs, or where only some have a gradient too large."""
    made = sequences(UNEVEN)
    is_last = ranks.rank == ranks.size - 1
    model = made_model("tied", ranks)
    optimizer = adam(model)
    before = tensors(model, (), ranks)
    common = {"budget": BUDGET, "ranks": ranks, "lr": 0.1}
    # One sequence, so the micro-batch of one rank, has a loss that is not finite.
    endless = [dataclasses.replace(made[0], advantage=float("inf")), *made[1:]]
    found = {
        "not finite": figures(rl(model, optimizer, [endless], **common)),
        "above": figures(rl(model, optimizer, [made], adamw=AdamConfig(skip_above=1e-6), **common)),
        "stopped": told(lambda: rl(model, optimizer, [made], check=lambda: stop(is_last), **{**common, "lr": 0.0})),
    }
    (found["before"],), (found["after"],) = before, tensors(model, (), ranks)
    early = tiny_model()
    early_optimizer = adam(early)
    shard(early, ranks)
    return {
        **found,
        "different": told(lambda: rl(model, optimizer, [made[1:] if is_last else made], **common)),
        "different views": told(lambda: rl(model, optimizer, [in_view(5 if is_last else 6)], **common)),
        "without ranks": told(lambda: rl(model, optimizer, [made])),
        "not sharded": told(lambda: rl(tiny_model(), adam(tiny_model()), [made], **common)),
        "early optimizer": told(lambda: rl(early, early_optimizer, [made], **common)),
    }


def in_view(token):
    """Rollouts that the start model reads after this token."""
    view = Distillation(weight=0.5, prompt_ids=(token,))
    return [dataclasses.replace(s, distillation=view, advantage=None) for s in sequences(UNEVEN)]


class Stopped(ReliftError):
    """Asked to."""


def stop(is_last):
    if is_last:
        raise Stopped("asked to stop")


def told(call):
    try:
        call()
    except ReliftError as problem:
        return f"{type(problem).__name__}: {problem}"
    return "nothing"


def held(ranks):
    """Numbers that this rank holds of weights and of moments, and that the whole model has."""
    model = made_model("untied", ranks)
    optimizer = adam(model)
    rl(model, optimizer, [sequences(UNEVEN)], ranks=ranks, lr=0.1)
    moments = [tensor for name, tensor in optimizer_tensors(optimizer).items() if "exp_avg" in name]
    return {
        "weights": sum(parameter.to_local().numel() for parameter in model.parameters()),
        "moments": sum(tensor.to_local().numel() for tensor in moments),
        "whole": sum(parameter.numel() for parameter in model.parameters()),
    }


def main(folder):
    with torchrun_ranks("cpu", timeout=timedelta(seconds=40)) as world:
        found = {WORLD: gradients(world, ON_ANY_NUMBER)}
        for size in (2, UNEVEN_SHARES):
            mesh = DeviceMesh("cpu", list(range(size)))
            if world.rank < size:
                ranks = Ranks(rank=world.rank, size=size, mesh=mesh)
                found[size] = gradients(ranks, None if size == 2 else ON_ANY_NUMBER)
                found["held", size] = held(ranks)
                if size == 2:
                    found.update(training=training(ranks, folder), refusals=refusals(ranks))
            world.sums([0.0])  # the others wait here
        torch.save(found, folder / f"rank{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
