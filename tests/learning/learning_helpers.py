"""A tiny random Qwen2, sequences of very unequal length, and a plain reference for the tests of this package."""

import copy
import dataclasses

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen2Config, Qwen2ForCausalLM

from relift.config import AdamConfig, RlConfig, SftConfig
from relift.learning import Conduct, Sizes, build_optimizer, rl_update, sft_update
from relift.learning.sharding import ALONE
from relift.records import TrainingSequence

VOCABULARY = 20
PAD = 0
UNEVEN = [40, 1, 3, 17, 2, 25, 9]
LONGEST = 46
"""A prompt of six tokens and forty after it."""
NO_CLIP = AdamConfig(grad_clip=1e9)


def tiny_model(seed=0):
    """Two layers, hidden 32, grouped queries, tied head padded from 20 to 24 ids; loud weights, so rates matter."""
    config = Qwen2Config(
        vocab_size=24,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        tie_word_embeddings=True,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def adam(model, **changes):
    return build_optimizer(model, AdamConfig(**changes))


def sequences(lengths, *, seed=0, advantages=None, demonstration=False):
    """One sequence per completion length, after prompts of 1 to 6 tokens; advantages cycle, logprobs are made up."""
    rng = np.random.default_rng(seed)
    made = []
    for i, length in enumerate(lengths):
        prompt = tuple(int(t) for t in rng.integers(3, VOCABULARY, rng.integers(1, 7)))
        completion = tuple(int(t) for t in rng.integers(3, VOCABULARY, length))
        cycle = advantages or [0.5, -1.5, 1.0]
        rewards = {} if demonstration else {"advantage": cycle[i % len(cycle)]}
        if not demonstration:
            rewards["sampling_logprobs"] = (0.0,) * len(prompt) + tuple(float(x) for x in -4 * rng.random(length))
        made.append(
            TrainingSequence(
                question_id=f"q{i}",
                token_ids=prompt + completion,
                loss_mask=(0,) * len(prompt) + (1,) * length,
                **rewards,
            )
        )
    return made


def families_of(*, seed=0):
    """Rollouts of three questions, mixed: prompts of 9, 22 and 1 tokens, completions from 1 to 23."""
    rng = np.random.default_rng(seed)
    prompts = [tuple(int(t) for t in rng.integers(3, VOCABULARY, length)) for length in (9, 22, 1)]
    drawn = [(0, 12), (1, 1), (0, 1), (2, 5), (1, 23), (0, 7), (1, 4), (0, 21), (2, 2), (1, 4), (0, 7)]
    made = sequences([length for _, length in drawn], seed=seed)
    return [
        dataclasses.replace(
            s,
            question_id=f"q{question}",
            token_ids=prompts[question] + s.token_ids[-length:],
            loss_mask=(0,) * len(prompts[question]) + (1,) * length,
            sampling_logprobs=(0.0,) * len(prompts[question]) + s.sampling_logprobs[-length:],
        )
        for s, (question, length) in zip(made, drawn, strict=True)
    ]


def plain_logprobs(model, sequence, temperature=1.0):
    """Log-probability and entropy of each token in the loss: one sequence, no padding, all logits."""
    ids = torch.tensor([sequence.token_ids])
    logits = model(input_ids=ids).logits[0, :-1, :VOCABULARY] / temperature
    logprobs = torch.log_softmax(logits.double(), dim=-1)
    chosen = logprobs.gather(1, ids[0, 1:, None])[:, 0]
    entropy = -(logprobs.exp() * logprobs).sum(dim=-1)
    in_loss = torch.tensor(sequence.loss_mask[1:], dtype=torch.bool)
    return chosen[in_loss], entropy[in_loss]


def padded_logprobs(model, made, temperature=1.0):
    """The same for many sequences, padded on the right to one batch, with a mask and the library's own attention."""
    longest = max(len(s.token_ids) for s in made)
    ids = torch.tensor([[*s.token_ids, *[PAD] * (longest - len(s.token_ids))] for s in made])
    real = torch.tensor([[1] * len(s.token_ids) + [0] * (longest - len(s.token_ids)) for s in made])
    logits = model(input_ids=ids, attention_mask=real).logits[:, :-1, :VOCABULARY] / temperature
    logprobs = torch.log_softmax(logits.double(), dim=-1)
    chosen = logprobs.gather(2, ids[:, 1:, None])[:, :, 0]
    entropy = -(logprobs.exp() * logprobs).sum(dim=-1)
    results = []
    for row, s in enumerate(made):
        in_loss = torch.tensor([*s.loss_mask[1:], *[0] * (longest - len(s.token_ids))], dtype=torch.bool)
        results.append((chosen[row][in_loss], entropy[row][in_loss]))
    return results


def by_sequence(values_C, batch):
    """What belongs to each sequence of a micro-batch, by its slot in the list that was split."""
    return {index: values_C[batch.sequence_C == slot] for slot, index in enumerate(batch.indices)}


def plain_gradient(model, loss_of):
    """Gradients of a loss computed in float64 on a copy, by parameter name."""
    reference = copy.deepcopy(model).double()
    loss_of(reference).backward()
    return {name: parameter.grad for name, parameter in reference.named_parameters()}


class RecordingOptimizer(torch.optim.SGD):
    """Takes no step, but keeps the gradients that each step would have used, after clipping."""

    def __init__(self, model):
        self.names = [name for name, _ in model.named_parameters()]
        self.steps = []
        super().__init__(model.parameters(), lr=0.0)

    def step(self, closure=None):
        gradients = [parameter.grad.detach().clone() for parameter in self.param_groups[0]["params"]]
        self.steps.append(dict(zip(self.names, gradients, strict=True)))


def relative_error(got, want):
    """L2 distance over L2 norm, over all tensors together."""
    difference = sum(float((got[name].double() - want[name].double()).square().sum()) for name in want)
    return (difference / sum(float(want[name].double().square().sum()) for name in want)) ** 0.5


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def without_rewards(made):
    return [dataclasses.replace(s, advantage=None, sampling_logprobs=None) for s in made]


def sizes(budget=10_000, chunk=10_000):
    return Sizes(vocabulary=VOCABULARY, micro_batch_tokens=budget, chunk_tokens=chunk)


def rl(
    model,
    optimizer,
    steps,
    *,
    budget=10_000,
    chunk=10_000,
    temperature=1.0,
    lr=0.0,
    check=lambda: None,
    adamw=NO_CLIP,
    reference=None,
    ranks=ALONE,
    rl_weight=1.0,
    **config,
):
    return rl_update(
        model,
        optimizer,
        steps,
        config=RlConfig(optimizer=adamw, **config),
        conduct=Conduct(sizes=sizes(budget, chunk), lr=lr, check=check, ranks=ranks, rl_weight=rl_weight),
        temperature=temperature,
        max_completion_tokens=50,
        reference=reference,
    )


def sft(
    model,
    optimizer,
    minibatches,
    *,
    budget=10_000,
    chunk=10_000,
    lr=0.0,
    demonstrations=(),
    check=lambda: None,
    adamw=NO_CLIP,
    ranks=ALONE,
    **config,
):
    return sft_update(
        model,
        optimizer,
        minibatches,
        demonstrations=demonstrations,
        config=SftConfig(optimizer=adamw, **config),
        conduct=Conduct(sizes=sizes(budget, chunk), lr=lr, check=check, ranks=ranks),
    )


def rl_gradient(made, model=None, **settings):
    model = model or tiny_model()
    optimizer = RecordingOptimizer(model)
    rl(model, optimizer, [made], **settings)
    (gradient,) = optimizer.steps
    return gradient


def sft_gradient(made, **settings):
    model = tiny_model()
    optimizer = RecordingOptimizer(model)
    sft(model, optimizer, [made], **settings)
    (gradient,) = optimizer.steps
    return gradient
