"""The model that is trained, the engine that samples from it, and its versions.

policy.py               the weights and their version    engine.py            what an engine is (a protocol)
transformers_engine.py  sampling on any machine          vllm_engine.py       sampling with vLLM
sampling_request.py     what an engine is asked for      weight_check.py      weights that went to an engine
model.py                loading and writing              supported.py         which models are computed
student.py              prompts, solutions as tokens     chat.py, wording.py  templates; text to tokens and back
rehearsal.py            templates tried in a child       lora.py              adapters
"""
