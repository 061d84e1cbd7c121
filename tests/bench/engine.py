"""The transformers engine against the library's own generate(), on the demo's model: 64 questions x 8 rollouts."""

from __future__ import annotations

import torch

from relift.arithmetic import arithmetic_questions
from relift.config import PolicyConfig
from relift.policy.kv_cache import left_padded
from relift.policy.model import load_model
from relift.policy.sampling_request import SamplingRequest
from relift.policy.transformers_engine import TransformersEngine
from relift.records import Purpose
from tests.bench.figures import paired, write

FAMILIES = {"add3": 1.0, "add5": 1.0, "prod2": 1.0, "mul2": 1.0}
SAMPLES, MAX_TOKENS = 8, 48


def main() -> None:
    torch.set_num_threads(1)
    model, student = load_model(PolicyConfig(model="arithmetic"), seed=0)
    engine = TransformersEngine(
        model,
        pad_id=student.pad_id,
        stop_ids=student.stop_ids,
        vocabulary=student.vocabulary,
        decode=student.decode,
        max_rows=512,
    )
    prompts = [student.prompt(q) for q in arithmetic_questions(FAMILIES, 64, 0)]
    request = SamplingRequest(
        samples=SAMPLES,
        max_tokens=MAX_TOKENS,
        temperature=1.0,
        seed=0,
        iteration=0,
        purpose=Purpose.TRAIN,
        version=0,
    )
    ids_BT, mask_BT = left_padded([p.token_ids for p in prompts], student.pad_id, model.device)

    def ours() -> object:
        return engine.sample(prompts, request)

    def library() -> object:
        with torch.inference_mode():
            return model.generate(
                ids_BT,
                attention_mask=mask_BT.long(),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                num_return_sequences=SAMPLES,
                max_new_tokens=MAX_TOKENS,
                return_dict_in_generate=True,
                output_logits=True,
                suppress_tokens=list(range(student.vocabulary, model.config.vocab_size)),
            )

    engine_s, generate_s, ratio = paired(ours, library)
    write("engine", {"engine_s": engine_s, "generate_s": generate_s, "engine_ratio_generate": ratio})
