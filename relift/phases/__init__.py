"""The phases of an iteration: each finds its own finished output or makes it (contract 2).

rollout -> probe -> verify -> gate -> source -> rl_update -> sft_update -> checkpoint, evaluate, report

phase.py     what all share                             iteration_report.py  the end of an iteration
updates.py   what both updates share                    replay.py            a recorded version made again
sampling.py  rollouts that are only looked at           tables.py            what is recorded, as Parquet
"""
