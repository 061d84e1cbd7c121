"""One update on several ranks, each holding a share of every weight, gradient and moment (FSDP2).

    torchrun --nproc-per-node 8 train.py

    with torchrun_ranks("cuda") as ranks:                    ALONE where torchrun did not start the process
        model, student = load_model(...)                     the same on every rank
        shard(model, ranks, dtype="bfloat16")
        optimizer = build_optimizer(model, ...)              after sharding: it holds moments of the shares
        rl_update(model, optimizer, steps, ..., ranks=ranks) the same steps, so the same report, on every rank
        tensors = full_tensors(resume_tensors(model), ranks) whole on rank 0: what a checkpoint holds

Every rank is given the whole step and computes every N-th micro-batch of it; all have the same number, since layers are
gathered by all ranks together. Denominators therefore need no exchange: each rank counts them over the whole step. So
the losses of the ranks add up to that of the step, and gradients are summed over ranks, never averaged.

Self-checks, checksums and exports are of a whole model: before ``shard``, or after loading a checkpoint on one rank.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor, distributed

from relift.errors import ConfigError, DataError, Interrupted, ModelError
from relift.learning.attention import use_packed_attention
from relift.records import TrainingSequence

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PreTrainedModel

    from relift.learning.batching import MicroBatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes that make one update together, seen from one of them, e.g. rank 1 of size 2."""

    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None
    """All of them in one dimension; None for a process alone."""

    def share(self, batches: list[MicroBatch]) -> list[MicroBatch]:
        """This rank's of micro-batches whose number is a multiple of ``size``."""
        return batches[self.rank :: self.size]

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value's sum over the ranks."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def largest(self, values: Sequence[float]) -> list[float]:
        """Each value's largest over the ranks."""
        return self._reduced(values, distributed.ReduceOp.MAX)

    def together(self, check: Callable[[], None]) -> Callable[[], None]:
        """``check`` that raises on all ranks when it raises on one: the others would wait for it in vain.

        Those where it did not raise get ``Interrupted``. All ranks must call it equally often.
        """
        return check if self.mesh is None else partial(self._checked, check)

    def _checked(self, check: Callable[[], None]) -> None:
        problem = None
        try:
            check()
        except Exception as raised:
            problem = raised
        (stopped,) = self.largest([problem is not None])
        if problem is not None:
            raise problem
        if stopped:
            raise Interrupted("another rank of the update stopped")

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        if self.mesh is None:
            return list(values)
        reduced = torch.tensor(values, dtype=torch.float64, device=self.mesh.device_type)
        distributed.all_reduce(reduced, operation, group=self.mesh.get_group())
        return [float(value) for value in reduced.tolist()]


ALONE = Ranks()


@contextmanager
def torchrun_ranks(device: Literal["cpu", "cuda"], *, timeout: timedelta | None = None) -> Iterator[Ranks]:
    """The ranks that torchrun started, by gloo on a CPU and by nccl on GPUs, one each; ``ALONE`` where it did not.

    ``timeout`` is what a rank waits for the others at most; when empty the library's.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=timeout)
    mesh = distributed.device_mesh.init_device_mesh(device, (distributed.get_world_size(),))
    yield Ranks(rank=mesh.get_local_rank(), size=mesh.size(), mesh=mesh)
    # Not after an exception: it could wait for ranks that are still in an exchange with this one.
    distributed.destroy_process_group()


def shard(model: PreTrainedModel, ranks: Ranks, *, dtype: Literal["float32", "bfloat16"] = "float32") -> None:
    """Leave this rank its share of every parameter, in place; nothing to do for ``ALONE``.

    Layers are whole only while they compute; embeddings, last norm and head from the start of a forward pass to the end
    of its backward pass. Weights and their gradients' sums stay float32; with ``dtype`` bfloat16, which needs autocast
    around the update as a single process does, layers are gathered rounded to what autocast would round them to (their
    norms too, which it would not).

    Adapters and recomputed layers are put on before. Raises ModelError for a model whose layers cannot be told or
    whose attention cannot keep packed sequences apart.
    """
    if ranks.mesh is None:
        return
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ModelError(
            f"this {model.config.model_type} model has no layers that transformers knows to be such, so it cannot be "
            f"gathered layer by layer on {ranks.size} ranks. Train it on one."
        )
    use_packed_attention(model)  # FSDP gives modules new classes, whose source the library could not read
    # Inputs stay as they are: autocast keeps the sum of the layers' outputs in float32.
    half = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for layer in reversed(layers):
        fully_shard(layer, mesh=ranks.mesh, mp_policy=half if dtype == "bfloat16" else exact)
    fully_shard(model, mesh=ranks.mesh, mp_policy=exact)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # A plain sum. The mean, times N again, would be rounded twice where N is no power of two.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    model.relift_forward = MethodType(_call, model)
    register_fsdp_forward_method(model, "relift_forward")


def is_sharded(model: PreTrainedModel) -> bool:
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def inside_forward(model: PreTrainedModel, compute: Callable[[], T]) -> T:
    """``compute()`` inside a forward pass of the model: where embeddings and head of a sharded one are whole.

    Their gradients are summed over ranks in the backward pass of what it returns: tensors, or tuples of them.
    """
    if not is_sharded(model):
        return compute()
    result: T = model.relift_forward(compute)
    if not torch.is_grad_enabled():
        model.reshard()  # kept for a backward pass that does not come, they would be stale after the next step
    return result


def _call(model: PreTrainedModel, compute: Callable[[], T]) -> T:
    """What FSDP takes for a forward pass; without arguments that hold tensors, which it would move and register."""
    return compute()


def require_together(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks,
    steps: Sequence[Sequence[TrainingSequence]],
) -> None:
    """Refuse what would train something else without a word.

    Raises ConfigError for a model or an optimizer that is not of these ranks' shares, DataError on all ranks when they
    were given different steps.
    """
    if ranks.mesh is None:
        if is_sharded(model):
            raise ConfigError(
                "the model is sharded, but the update was not given the ranks it is sharded over, so its gradient "
                "would be too large by their number. Hand it the ranks that shard() was given."
            )
        return
    if not is_sharded(model):
        raise ConfigError(
            f"the update runs on {ranks.size} ranks, but its model is not sharded over them, so each would train a "
            f"model of its own on a part of the step. Call shard(model, ranks) first."
        )
    own = set(map(id, model.parameters()))
    if any(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ConfigError(
            "the optimizer holds parameters that the sharded model no longer has, so its steps would move nothing. "
            "Build it after shard()."
        )
    # Of numbers alone, which every process hashes alike.
    numbers = tuple(tuple((s.token_ids, s.loss_mask, s.advantage or 0.0, *_beside(s)) for s in step) for step in steps)
    mine = float(hash(numbers) % (1 << 52))
    if ranks.largest([mine, -mine]) != [mine, -mine]:
        raise DataError(
            f"the {ranks.size} ranks of an update were given different sequences. Each takes its micro-batches from "
            f"the whole step, so all must be given the same sequences in the same order."
        )


def _beside(sequence: TrainingSequence) -> tuple[float, tuple[int, ...]]:
    """The weight of its term beside the RL term, and what the start model reads before it."""
    if distillation := sequence.distillation:
        return distillation.weight, distillation.prompt_ids
    return (sequence.supervision.weight if sequence.supervision else 0.0), ()


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, or, of a sharded one, all of it on every rank; all ranks must call it."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def full_tensors(tensors: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """What ``resume_tensors`` or ``optimizer_tensors`` gave, whole and on the CPU, on rank 0; elsewhere nothing.

    All ranks must call it. One tensor after the other is whole, so a rank needs room for the largest.
    """
    full = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if ranks.rank == 0:
            full[name] = gathered.cpu()
    return full


@torch.no_grad()
def shares_of(model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This rank's shares of whole ``resume_tensors`` or ``optimizer_tensors``: what loading takes for this model.

    Every rank must be given the same tensors; nothing is exchanged. What the model does not shard is passed on.
    """
    from torch.distributed.tensor import DTensor, distribute_tensor

    parameters = dict(model.named_parameters())
    shares = {}
    for name, tensor in tensors.items():
        like = parameters.get(name, parameters.get(name.rpartition(".")[0]))  # moments: <parameter>.<state>
        shares[name] = tensor
        if isinstance(like, DTensor) and like.shape == tensor.shape:
            share = distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
            shares[name] = share.clone()  # or it would hold on to the whole, on the device
    return shares
