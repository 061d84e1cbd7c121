"""The configuration tree of a run, with the published method (preset ``paper-v2``) as its defaults.

Departures from the published method, that is from its paper (arXiv 2506.07527) and the second release of its code:

Settings, which the preset sets back (those marked with * differ in it too):
1. ``gate.counts`` holds ``wrong`` alone, so a group that merely ran out of tokens is not called hardest.
2. ``buffer.leave_when_solved``: a question that is solved while it waits is not taught.
3. ``questions.thinking`` demands ``</think>``; the second release grades the last box of the whole text.
4. ``iterations`` ends after one pass over the questions; the code schedules 3 epochs, later 5.
5. ``policy``: float32, and the model's own context and rotary base.
6. ``evaluation`` is greedy, at the start and the end.
7. * ``probe`` samples taught questions again, to see what teaching did; no update trains on them.
8. * ``questions.held_out_share``: 2 % of the dataset are kept for evaluation. The code trains on all.

Of the method itself, whatever the settings:
9. A question waits once, the first that failed is taught first, and a kill loses nothing. The code adds it again each
   epoch, its first release takes the newest first, and a restart loses the buffer.
10. Divisors: every loss divides by counts of the whole optimizer step. The code's supervised loss is a mean of
    micro-batches' means, over the number of ranks once too often, its entropy bonus depends on how micro-batches are
    packed, and its ``constant`` aggregation divides by the response limit alone, not by sequences as well.
11. Answers are compared by a verifier of its own (docs/verifier.md). What it cannot decide in time is masked: it
    leaves advantages, loss and gate, where the code gives it 0. Rows whose gold cannot be compared are set aside.
12. Demonstrations are admitted before they are used: the answer is right, the reasoning closes, and it fits with its
    end of sequence. A long one is refused, where the code cuts it and writes the end over its last token.
13. Prompts: a question's own messages are rendered by the model's chat template; what is too long is set aside, never
    cut.
14. Hardest is who has no correct rollout. The code asks whether the shaped reward is 0.
15. A supervised update leaves the schedule of the RL update where it was.
16. Batches go on over the end of an epoch and never hold a question twice; the code drops what does not fill a batch.
17. Advantages are not divided by the standard deviation (``rl.scale``): so does the code, where the paper's formula
    divides.
18. The log-ratio and the k3 estimate are bounded at 20 nats and 10, as in verl, on which the code stands.

A section that may be absent is switched off by ``None`` (``sft = "off"`` in a recipe), never by a second flag. Fields
marked with ``may_change`` may differ when a run is resumed; any other difference is refused and shown.
"""

from relift.config.interleave import BufferConfig, GateConfig, ProbeConfig
from relift.config.keeping import CheckpointConfig, ChecksConfig, EvaluationConfig, LedgerConfig
from relift.config.learning import AdamConfig, RlConfig, ScheduleConfig, SftConfig
from relift.config.losses import (
    Aggregation,
    CispoClipConfig,
    CispoConfig,
    ClipConfig,
    CorrectionConfig,
    GspoClipConfig,
    GspoConfig,
    KlConfig,
    KlEstimator,
    Level,
    Loss,
    OverlongConfig,
    PpoConfig,
    TokenWeights,
)
from relift.config.plugin import PluginConfig
from relift.config.policy import LoraConfig, PolicyConfig, RolloutConfig, VllmConfig
from relift.config.questions import BenchmarkConfig, QuestionsConfig
from relift.config.run import RunConfig
from relift.config.section import MAY_CHANGE, Section, Share
from relift.config.teacher import ApiTeacherConfig, TeacherConfig

__all__ = [
    "MAY_CHANGE",
    "AdamConfig",
    "Aggregation",
    "ApiTeacherConfig",
    "BenchmarkConfig",
    "BufferConfig",
    "CheckpointConfig",
    "ChecksConfig",
    "CispoClipConfig",
    "CispoConfig",
    "ClipConfig",
    "CorrectionConfig",
    "EvaluationConfig",
    "GateConfig",
    "GspoClipConfig",
    "GspoConfig",
    "KlConfig",
    "KlEstimator",
    "LedgerConfig",
    "Level",
    "LoraConfig",
    "Loss",
    "OverlongConfig",
    "PluginConfig",
    "PolicyConfig",
    "PpoConfig",
    "ProbeConfig",
    "QuestionsConfig",
    "RlConfig",
    "RolloutConfig",
    "RunConfig",
    "ScheduleConfig",
    "Section",
    "SftConfig",
    "Share",
    "TeacherConfig",
    "TokenWeights",
    "VllmConfig",
]
