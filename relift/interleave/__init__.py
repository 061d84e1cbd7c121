"""When to fine-tune, and on what: the gate, the demonstration buffer, the pool of own solutions and the rule.

Plain Python without draws or clocks, so that a resumed run rebuilds all of it by calling the same functions over the
recorded phases.
"""

from relift.interleave.buffer import BufferSnapshot, DemonstrationBuffer, Entry, Leaving
from relift.interleave.gate import Gate, is_control
from relift.interleave.own_correct import OwnCorrect, OwnCorrectPool
from relift.interleave.rule import ReliftRule

__all__ = [
    "BufferSnapshot",
    "DemonstrationBuffer",
    "Entry",
    "Gate",
    "Leaving",
    "OwnCorrect",
    "OwnCorrectPool",
    "ReliftRule",
    "is_control",
]
