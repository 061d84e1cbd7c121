"""A run while it is open, and a harvest. Empty but for this map: `relift --help` comes by here and loads no torch.

session.py     the life cycle of both             run.py        what the phases of an open run need
identity.py    its folder, what makes it it       lock.py       one writer
machine.py     what is resolved once              checkpoint.py what resuming needs
recorded.py    what phases say in their manifests decoded.py    an iteration's rollouts, decoded once
progress.py    metrics.jsonl and the views        publisher.py  snapshots of the ledger, beside training
summary.py     what it came to                    harvest.py    teachers asked without training
"""
