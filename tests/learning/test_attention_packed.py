import copy
import json

import pytest
import torch
from learning_helpers import (
    PAD,
    UNEVEN,
    VOCABULARY,
    LargestTensor,
    by_sequence,
    families_of,
    padded_logprobs,
    plain_gradient,
    relative_error,
    sequences,
    tiny_model,
)
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3NextConfig,
    Qwen3NextForCausalLM,
)

from relift.errors import ModelError
from relift.learning import attention
from relift.learning.attention import packed_attention
from relift.learning.batching import micro_batches
from relift.learning.branches import Span
from relift.learning.forward import packing_error, token_logprobs
from relift.learning.packing import Packing
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.policy.transformers_engine import TransformersEngine
from relift.records import Purpose, Question


def gpu(test):
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")(test))


LENGTHS = [5, 1, 12, 3]
SPANS = [Span(start=0, stop=5), Span(start=5, stop=6), Span(start=6, stop=18), Span(start=18, stop=21)]
SHAPE = {
    "vocab_size": 24,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
LATENT = SHAPE | {
    "num_key_value_heads": 4,
    "first_k_dense_replace": 2,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
}
"""Latent attention in dense layers."""


def randomly(model_class, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_class(config).eval()


def loss_of(parts):
    return sum((1 + slot) * logprobs.sum() for slot, (logprobs, _) in enumerate(parts))


def packed_loss(model, made, budget=60, share_prompts=False):
    total = 0.0
    for batch in micro_batches(made, max_tokens=budget, share_prompts=share_prompts):
        logprobs, _ = token_logprobs(model, batch, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000)
        total = total + sum((1 + index) * values.sum() for index, values in by_sequence(logprobs, batch).items())
    return total


def packed_gradient(model, made, **settings):
    model.zero_grad(set_to_none=True)
    packed_loss(model, made, **settings).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def heads(*, grouped=True, dtype=torch.float64, device="cpu", width=8):
    """Queries, keys and values of a packed batch, as the library's layers hand them over: a transposed view."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(1, sum(LENGTHS), count, width) for count in ((4, 2, 2) if grouped else (4, 4, 4))]
    made = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    return [t.to(device, dtype).requires_grad_() for t in made]


def attend(function, tensors, *, window=None):
    packing = Packing(SPANS, tensors[0].device)
    return function(*(t.transpose(1, 2) for t in tensors), packing, 0.3, window)


def densely(tensors, *, window=None):
    """One (P, P) matrix of scores, what a sequence may not see set to minus infinity."""
    query, key, value = (t[0].transpose(0, 1) for t in tensors)
    key, value = (t.repeat_interleave(query.shape[0] // t.shape[0], dim=0) for t in (key, value))
    position = torch.arange(sum(LENGTHS))
    sequence = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
    allowed = (sequence[:, None] == sequence) & (position <= position[:, None])
    if window is not None:
        allowed &= position > position[:, None] - window
    scores = (0.3 * query @ key.transpose(1, 2)).masked_fill(~allowed, -torch.inf)
    return (scores.softmax(dim=-1) @ value).transpose(0, 1)[None]


# ---------------------------------------------------------------- the functions


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("window", [None, 4, 1])
def test_attention_by_span_equals_the_dense_matrix(grouped, window):
    tensors = heads(grouped=grouped)
    got, expected = attend(attention._by_span, tensors, window=window), densely(tensors, window=window)
    torch.testing.assert_close(got, expected)
    slope = torch.linspace(-1, 1, got.numel()).view(got.shape)
    for a, b in zip(*(torch.autograd.grad((x * slope).sum(), tensors) for x in (got, expected)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("heads_of", [(4, 4), (4, 2), (9, 3)])
def test_one_token_attends_with_the_librarys_bits(heads_of):
    """The newest token of rows padded on their left, over storage ahead of need as the engine's cache hands it out."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    asking, grouped = heads_of
    draws = torch.Generator().manual_seed(0)
    query = torch.randn(5, asking, 1, 16, generator=draws)
    key, value = (torch.randn(5, grouped, 40, 16, generator=draws)[:, :, :23] for _ in range(2))
    mask = torch.ones(5, 1, 1, 23, dtype=torch.bool)
    mask[1, ..., :6] = False
    module = torch.nn.Module()
    module.num_key_value_groups = asking // grouped
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    got, _ = packed_attention(module, query, key, value, mask, scaling=0.3)
    assert torch.equal(got, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(packed_attention(module, query, key, value, mask, scaling=0.3)[0], expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("window", [None, 4])
def test_flex_attention_equals_the_dense_matrix(grouped, window):
    tensors = [tensor.detach() for tensor in heads(grouped=grouped)]  # it has no backward pass on a CPU
    got, expected = attend(attention._flex, tensors, window=window), densely(tensors, window=window)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@gpu
@pytest.mark.parametrize("function", [attention._variable_length, attention._flex])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("window", [None, 4])
def test_gpu_attention_equals_the_dense_matrix(function, grouped, window):
    exact = heads(grouped=grouped, width=64)
    tensors = heads(grouped=grouped, width=64, dtype=torch.bfloat16, device="cuda")
    got, expected = attend(function, tensors, window=window), densely(exact, window=window)
    torch.testing.assert_close(got.cpu().double(), expected, rtol=0.02, atol=0.02)
    slope = torch.linspace(-1, 1, got.numel()).view(got.shape)
    got_slopes = torch.autograd.grad((got * slope.to("cuda", torch.bfloat16)).sum(), tensors)
    for a, b in zip(got_slopes, torch.autograd.grad((expected * slope).sum(), exact), strict=True):
        assert relative_error({0: a.cpu()}, {0: b}) < 0.02


@gpu
def test_a_gpu_model_packs_in_half_precision():
    model, made = tiny_model().to("cuda"), sequences(UNEVEN)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        error = packing_error(model, made, temperature=1.0, vocabulary=VOCABULARY, chunk_tokens=1000, max_tokens=1000)
    assert error < 0.1


def test_bounds_are_where_sequences_begin():
    packing = Packing(SPANS, torch.device("cpu"))
    assert packing.bounds().tolist() == [0, 5, 6, 18, 21]
    assert packing.bounds().dtype == torch.int32
    assert packing.longest == 12


# ---------------------------------------------------------------- whole models


@pytest.mark.parametrize(
    "make",
    [
        lambda: randomly(LlamaForCausalLM, LlamaConfig(**SHAPE)),
        lambda: randomly(Qwen3ForCausalLM, Qwen3Config(**SHAPE, head_dim=8)),
        lambda: randomly(Qwen2ForCausalLM, Qwen2Config(**{**SHAPE, "num_key_value_heads": 4})),
        lambda: randomly(MistralForCausalLM, MistralConfig(**SHAPE, sliding_window=8)),
        lambda: randomly(DeepseekV3ForCausalLM, DeepseekV3Config(**LATENT)),
    ],
    ids=["llama", "qwen3", "without groups", "sliding window", "values narrower than keys"],
)
@pytest.mark.parametrize("share_prompts", [False, True])
def test_models_of_several_kinds_have_the_gradient_of_the_padded_reference(make, share_prompts):
    model, made = make(), families_of() if share_prompts else sequences(UNEVEN)
    expected = plain_gradient(model, lambda reference: loss_of(padded_logprobs(reference, made)))
    assert relative_error(packed_gradient(model, made, share_prompts=share_prompts), expected) < 1e-5


def test_recomputing_layers_in_the_backward_pass_changes_nothing():
    model, made = tiny_model(), sequences(UNEVEN)
    expected = packed_gradient(model, made)
    checkpointed = tiny_model().train()  # the library recomputes in training mode alone; there is no dropout here
    checkpointed.gradient_checkpointing_enable()
    got = packed_gradient(checkpointed, made)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_products_under_autocast_stay_near_those_in_float32():
    model, made = tiny_model(), sequences(UNEVEN)
    expected = packed_gradient(model, made)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = packed_gradient(model, made)
    assert all(gradient.dtype == torch.float32 for gradient in got.values())
    assert 1e-4 < relative_error(got, expected) < 0.03


def test_nothing_grows_with_the_square_of_the_pack():
    model, made = tiny_model(), sequences([10] * 30)
    packed_gradient(model, made, budget=1000)
    with LargestTensor() as seen:
        packed_gradient(model, made, budget=1000)
    total = sum(len(s.token_ids) for s in made)
    assert seen.largest <= total * 48 < total**2, "the widest layer has 48 states"


# ---------------------------------------------------------------- what else uses the model


def sample(model, *, seed=0):
    engine = TransformersEngine(
        model, pad_id=PAD, stop_ids=(2,), vocabulary=VOCABULARY, decode=lambda ids: "", max_rows=16
    )
    prompts = [
        Prompt(Question(id=f"q{length}", text="?", answer="1", source="test"), tuple(range(3, 3 + length)))
        for length in (1, 4, 9)
    ]
    request = SamplingRequest(
        samples=4, max_tokens=20, temperature=1.0, seed=seed, iteration=0, purpose=Purpose.TRAIN, version=0
    )
    return [(c.token_ids, c.logprobs) for group in engine.sample(prompts, request) for c in group]


def test_the_engine_samples_the_same_before_and_after_a_training_pass():
    model = tiny_model()
    before = sample(model)
    packed_gradient(model, sequences(UNEVEN))
    assert sample(model) == before


def test_the_library_masks_as_before_after_a_training_pass():
    untouched, model = tiny_model(), tiny_model()
    packed_gradient(model, sequences([3]))
    left_padded = {"input_ids": torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]]), "attention_mask": torch.ones(2, 4)}
    left_padded["attention_mask"][0, :2] = 0
    with torch.no_grad():
        got, expected = (m(**left_padded).logits[:, -1] for m in (model, untouched))
        unmasked = untouched(input_ids=left_padded["input_ids"]).logits[:, -1]
    assert torch.equal(got, expected)
    assert not torch.equal(unmasked, expected)


def test_an_exported_model_knows_nothing_of_it(tmp_path):
    model = tiny_model()
    packed_gradient(model, sequences([3]))
    model.save_pretrained(tmp_path)
    assert "relift" not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "qwen2"
    loaded = Qwen2ForCausalLM.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == "sdpa"


def test_a_failed_forward_leaves_no_trace():
    model = tiny_model()
    wrong = copy.deepcopy(model)
    wrong.model.layers[1] = torch.nn.Identity()
    with pytest.raises(TypeError):
        packed_loss(wrong, sequences([3]))
    assert sample(model) == sample(tiny_model())


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: randomly(BloomForCausalLM, BloomConfig(vocab_size=24, hidden_size=32, n_layer=1, n_head=4)),
            "outside",
        ),
        (
            lambda: randomly(
                Qwen3NextForCausalLM, Qwen3NextConfig(**SHAPE, head_dim=8, num_experts=2, moe_intermediate_size=16)
            ),
            "layers of the kind linear_attention",
        ),
        (lambda: Qwen2ForCausalLM._from_config(Qwen2Config(**SHAPE), attn_implementation="eager"), "'eager'"),
    ],
)
def test_a_model_that_cannot_keep_sequences_apart_is_refused(make, reason):
    with pytest.raises(ModelError, match=f"cannot be trained on packed sequences: .*{reason}"):
        packed_loss(make(), sequences([3]))


def test_a_model_that_drops_the_packing_on_the_way_is_refused(monkeypatch):
    model = tiny_model()
    layer = model.model.layers[1].self_attn
    whole = layer.forward

    def forgetful(*args, packed, **others):
        return whole(*args, **others)

    monkeypatch.setattr(layer, "forward", forgetful)
    with pytest.raises(ModelError, match=r"Qwen2Attention .* does not hand on"):
        packed_loss(model, sequences([3]))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"softcap": 50.0}, "needs softcap"),
        ({"s_aux": torch.zeros(4)}, "needs s_aux"),
        ({"dropout": 0.1}, "drops 0.1"),
        ({"is_causal": False}, "later tokens"),
    ],
)
def test_attention_of_another_kind_is_refused(extra, reason):
    tensors = heads()
    packing = Packing(SPANS, torch.device("cpu"))
    with pytest.raises(ModelError, match=reason):
        packed_attention(torch.nn.Identity(), *(t.transpose(1, 2) for t in tensors), None, packed=packing, **extra)
