"""When to fine-tune, on what, and whether it worked: gate, demonstration buffer, own solutions, rule and probes.
``Interleaving`` holds them all.

Plain Python without draws or clocks (a rule of one's own may draw by the run's seed), so that a resumed run rebuilds
all of it by calling the same functions over the recorded phases.
"""

from relift.interleave.batch import Batch, Decision, Taught
from relift.interleave.buffer import BufferSnapshot, DemonstrationBuffer, Entry, LeavingEvent, LeavingReason
from relift.interleave.fates import ALL_KEPT, Fates
from relift.interleave.gate import Gate, is_control
from relift.interleave.own_correct import OwnCorrect, OwnCorrectPool
from relift.interleave.probes import ProbeSchedule, ProbeSnapshot
from relift.interleave.rule import Distil, Drop, GuidedPrompt, Join, Lesson, Moment, Partial, Rule, Supervise
from relift.interleave.rules.make import make_rule, require_rule
from relift.interleave.rules.relift import ReliftRule
from relift.interleave.state import Interleaving

__all__ = [
    "ALL_KEPT",
    "Batch",
    "BufferSnapshot",
    "Decision",
    "DemonstrationBuffer",
    "Distil",
    "Drop",
    "Entry",
    "Fates",
    "Gate",
    "GuidedPrompt",
    "Interleaving",
    "Join",
    "LeavingEvent",
    "LeavingReason",
    "Lesson",
    "Moment",
    "OwnCorrect",
    "OwnCorrectPool",
    "Partial",
    "ProbeSchedule",
    "ProbeSnapshot",
    "ReliftRule",
    "Rule",
    "Supervise",
    "Taught",
    "is_control",
    "make_rule",
    "require_rule",
]
