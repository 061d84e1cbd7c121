"""Sampling with a transformers model, on any machine.

    prompts --prefill once each--> cache --repeat for the group--> decode step by step --> completions
                                                                   rows that ended are dropped as they pile up

Letters: B sequences decoded together, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from relift.learning.attention import use_packed_attention
from relift.policy.kv_cache import left_padded, sampling_cache
from relift.policy.sampling_request import Prompt, SamplingRequest, by_max_tokens
from relift.records import Completion, FinishReason

if TYPE_CHECKING:
    from relift.policy.policy import Policy

# Compacting the batch copies the cache; below this share of ended rows the copy costs more than it saves.
DROP_SHARE = 0.2
CHOSEN_AT_ONCE = 1 << 21
"""Logits whose tokens are chosen together on a CPU: 16 MiB in float64."""


@dataclass(slots=True)
class _Decoding:
    """The rows of one batch while they are being written."""

    rows: list[tuple[int, int]]
    """(prompt index, sample) of each row still in the batch."""
    token_ids: list[list[int]]
    logprobs: list[list[float]]
    ended: list[bool] = field(default_factory=list)


class TransformersEngine:
    """Samples completions; each prompt is computed once for its whole group.

    ``vocabulary`` is the number of real tokens: ids beyond it pad the embedding and are never sampled. A rollout's
    draws depend only on (seed, iteration, purpose, question, sample), whatever else is in the batch. Raises ModelError
    for a model whose attention neither it nor the trainer computes.
    """

    def __init__(
        self,
        model: Any,
        *,
        pad_id: int,
        stop_ids: Sequence[int],
        vocabulary: int,
        decode: Callable[..., str],
        max_rows: int,
    ) -> None:
        self.model = model
        self.pad_id = pad_id
        self.stop_ids = frozenset(stop_ids)
        self.vocabulary = vocabulary
        self.decode = decode
        self.max_rows = max_rows
        use_packed_attention(model)  # which keeps each layer to its window, or refuses the model

    def serve(self, policy: Policy) -> None:
        """Nothing to do: it samples from the trainer's own weights."""

    def sample(
        self,
        prompts: Sequence[Prompt],
        request: SamplingRequest,
        *,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int], None] = lambda tokens: None,
    ) -> list[list[Completion]]:
        """``request.samples`` completions for each prompt, in the order of the prompts.

        ``check`` is called between decode steps and may raise; ``progress`` hears the tokens of each finished batch.
        """
        per_batch = max(1, self.max_rows // request.samples)
        result: list[list[Completion]] = [[] for _ in prompts]
        self.model.eval()
        for indices, alike in by_max_tokens(prompts, request):
            # Prompts of like length side by side, so that little is padded; ties keep their order.
            order = sorted(indices, key=lambda i: len(prompts[i].token_ids))
            for start in range(0, len(order), per_batch):
                chosen = order[start : start + per_batch]
                with _weights_cast_once(self.model.device):
                    groups = self._sample_batch([prompts[i] for i in chosen], alike, check)
                for index, group in zip(chosen, groups, strict=True):
                    result[index] = group
                progress(sum(len(c.token_ids) for group in groups for c in group))
        return result

    def close(self) -> None:
        """Nothing to give back: the model is the trainer's."""

    @torch.inference_mode()
    def _sample_batch(
        self, prompts: list[Prompt], request: SamplingRequest, check: Callable[[], None]
    ) -> list[list[Completion]]:
        device = self.model.device
        prompt_ids_BT, mask_BT = left_padded([p.token_ids for p in prompts], self.pad_id, device)
        width = prompt_ids_BT.shape[1]
        cache = sampling_cache(self.model.config.num_hidden_layers, width + min(request.max_tokens, 512))
        logits_BV = self._prefill(prompt_ids_BT, mask_BT, cache)

        n = request.samples
        cache.batch_repeat_interleave(n)
        logits_BV = logits_BV.repeat_interleave(n, dim=0)
        mask_BT = mask_BT.repeat_interleave(n, dim=0)
        rows = [(p, s) for p in range(len(prompts)) for s in range(n)]
        state = _Decoding(rows, [[] for _ in rows], [[] for _ in rows])
        draws_BT = self._draws(prompts, request, device)
        live = torch.arange(len(rows), device=device)
        position_B1 = mask_BT.sum(dim=1, keepdim=True)
        alive = list(range(len(rows)))

        for step in range(request.max_tokens):
            check()
            uniform_B1 = None if draws_BT is None else draws_BT[live, step : step + 1]
            next_B1, logprob_B1 = choose(logits_BV[:, : self.vocabulary], uniform_B1, request.temperature)
            kept = self._write(state, alive, next_B1[:, 0].tolist(), logprob_B1[:, 0].tolist())
            if not kept or step + 1 == request.max_tokens:
                break
            if len(kept) < (1 - DROP_SHARE) * len(alive):
                where = torch.tensor(kept, device=device)
                cache.batch_select_indices(where)
                next_B1, mask_BT, position_B1, live = next_B1[where], mask_BT[where], position_B1[where], live[where]
                alive = [alive[i] for i in kept]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones((len(alive), 1))], dim=1)
            logits_BV = self._forward(next_B1, mask_BT[:, None, None, :], position_B1, cache)
            position_B1 = position_B1 + 1
        return self._completions(state, len(prompts), request)

    def _prefill(self, prompt_ids_BT: Tensor, mask_BT: Tensor, cache: Any) -> Tensor:
        """(B, V) logits after the last prompt token."""
        width = prompt_ids_BT.shape[1]
        causal_TT = torch.ones((width, width), dtype=torch.bool, device=prompt_ids_BT.device).tril()
        # Padding rows attend to themselves: a row without any key would turn into NaN.
        own_TT = torch.eye(width, dtype=torch.bool, device=prompt_ids_BT.device)
        allowed_B1TT = ((causal_TT & mask_BT[:, None, :]) | own_TT)[:, None]
        position_BT = (mask_BT.cumsum(dim=1) - 1).clamp(min=0)
        return self._forward(prompt_ids_BT, allowed_B1TT, position_BT, cache)

    def _forward(self, token_ids_BT: Tensor, allowed: Tensor, position_BT: Tensor, cache: Any) -> Tensor:
        output = self.model(
            input_ids=token_ids_BT,
            attention_mask=allowed,
            position_ids=position_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV: Tensor = output.logits[:, -1].float()
        return logits_BV

    def _draws(self, prompts: list[Prompt], request: SamplingRequest, device: torch.device) -> Tensor | None:
        if request.temperature == 0:
            return None
        draws = [request.draws(p.question, s) for p in prompts for s in range(request.samples)]
        return torch.from_numpy(np.stack(draws)).to(device)

    def _write(self, state: _Decoding, alive: list[int], token_ids: list[int], logprobs: list[float]) -> list[int]:
        """Positions in the batch of the rows that go on. A row that ended stays until enough of them can be dropped."""
        if not state.ended:
            state.ended = [False] * len(state.rows)
        kept = []
        for position, (row, token, logprob) in enumerate(zip(alive, token_ids, logprobs, strict=True)):
            if state.ended[row]:
                continue
            state.token_ids[row].append(token)
            state.logprobs[row].append(logprob)
            if token in self.stop_ids:
                state.ended[row] = True
            else:
                kept.append(position)
        return kept

    def _completions(self, state: _Decoding, count: int, request: SamplingRequest) -> list[list[Completion]]:
        groups: list[list[Completion]] = [[] for _ in range(count)]
        for (prompt, _), ids, logprobs, ended in zip(
            state.rows, state.token_ids, state.logprobs, state.ended, strict=True
        ):
            completion = Completion(
                token_ids=tuple(ids),
                logprobs=tuple(logprobs),
                text=self.decode(ids),
                finish_reason=FinishReason.STOP if ended else FinishReason.LENGTH,
                policy_version=request.version,
            )
            groups[prompt].append(completion)
        return groups


@contextmanager
def _weights_cast_once(device: torch.device) -> Iterator[None]:
    """Under autocast on a CPU: each weight is converted once for all steps of a batch, none of which changes it.

    At every step that takes half of the time. Not on a GPU, where memory is dearer than a conversion.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        yield
        return
    torch.clear_autocast_cache()
    try:
        with torch.autocast("cpu", dtype=torch.get_autocast_dtype("cpu"), cache_enabled=True):
            yield
    finally:
        torch.clear_autocast_cache()


def choose(logits_BV: Tensor, uniform_B1: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """(B, 1) chosen token and (B, 1) its log-probability at the temperature, in nats.

    Inverse of the cumulative distribution at the uniform number, in float64, so that one number per token decides;
    greedy, with the log-probability at temperature 1, where ``uniform_B1`` is None. Of large vocabularies a few rows at
    a time: what is larger than ``CHOSEN_AT_ONCE`` the system hands out anew at every step, page by page.
    """
    rows = max(1, CHOSEN_AT_ONCE // logits_BV.shape[-1])
    if logits_BV.device.type == "cpu" and len(logits_BV) > rows:
        cuts = [slice(start, start + rows) for start in range(0, len(logits_BV), rows)]
        parts = [choose(logits_BV[c], None if uniform_B1 is None else uniform_B1[c], temperature) for c in cuts]
        return torch.cat([token for token, _ in parts]), torch.cat([logprob for _, logprob in parts])
    if uniform_B1 is None:
        logprobs_BV = logits_BV.log_softmax(dim=-1)
        token_B1 = logits_BV.argmax(dim=-1, keepdim=True)
    else:
        logprobs_BV = (logits_BV / temperature).log_softmax(dim=-1)
        probabilities_BV = logprobs_BV.double().exp()
        if torch.are_deterministic_algorithms_enabled():  # a GPU has no deterministic cumulative sum
            cumulative_BV = probabilities_BV.cpu().cumsum(dim=-1).to(logits_BV.device)
        else:
            cumulative_BV = probabilities_BV.cumsum(dim=-1)
        # The last entry is 1 less rounding: scaling by it keeps a draw near 1 inside the vocabulary.
        token_B1 = torch.searchsorted(cumulative_BV, uniform_B1 * cumulative_BV[:, -1:], right=True)
        token_B1 = token_B1.clamp(max=logits_BV.shape[-1] - 1)
    return token_B1, logprobs_BV.gather(-1, token_B1)
