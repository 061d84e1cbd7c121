"""When to fine-tune, on what, and whether it worked: gate, demonstration buffer, own solutions, rule and probes.
``Interleaving`` holds them all.

Plain Python without draws or clocks, so that a resumed run rebuilds all of it by calling the same functions over the
recorded phases.
"""

from relift.interleave.buffer import BufferSnapshot, DemonstrationBuffer, Entry, LeavingEvent, LeavingReason
from relift.interleave.gate import Gate, is_control
from relift.interleave.own_correct import OwnCorrect, OwnCorrectPool
from relift.interleave.probes import ProbeSchedule, ProbeSnapshot
from relift.interleave.rule import ReliftRule
from relift.interleave.state import Interleaving

__all__ = [
    "BufferSnapshot",
    "DemonstrationBuffer",
    "Entry",
    "Gate",
    "Interleaving",
    "LeavingEvent",
    "LeavingReason",
    "OwnCorrect",
    "OwnCorrectPool",
    "ProbeSchedule",
    "ProbeSnapshot",
    "ReliftRule",
    "is_control",
]
