"""The phases of an iteration: each finds its own finished output or makes it (contract 2).

rollout -> probe -> verify -> gate -> source -> rl_update -> sft_update -> checkpoint, evaluate, report
"""
