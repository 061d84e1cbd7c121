"""The configuration tree of a run, with the published method (preset ``paper-v2``) as its defaults.

What departs from that method is numbered above the algorithm, in flows/train.py.

A section that may be absent is switched off by ``None`` (``sft = "off"`` in a recipe), never by a second flag. Fields
marked with ``may_change`` may differ when a run is resumed; any other difference is refused and shown.
"""

from relift.config.budget import BudgetConfig
from relift.config.interleave import BufferConfig, GateConfig, ProbeConfig
from relift.config.keeping import CheckpointConfig, ChecksConfig, EvaluationConfig, LedgerConfig
from relift.config.learning import AdamConfig, RlConfig, ScheduleConfig, SftConfig, WarmStartConfig
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
from relift.config.rewards import CorrectConfig, OwnRewardConfig, RewardConfig
from relift.config.run import RunConfig
from relift.config.sampling import PoolsConfig, RefillConfig, RetireConfig, SamplingConfig
from relift.config.section import MAY_CHANGE, Section, Share
from relift.config.teach import (
    BatchRuleConfig,
    EveryKRuleConfig,
    GuidedRuleConfig,
    InsertRuleConfig,
    InterventionRuleConfig,
    InUpdateRuleConfig,
    MixedRuleConfig,
    RandomRuleConfig,
    ReliftRuleConfig,
    RuleConfig,
    SelfDistilRuleConfig,
    SwitchRuleConfig,
    TeachConfig,
    ZppoRuleConfig,
)
from relift.config.teacher import ApiTeacherConfig, TeacherConfig

__all__ = [
    "MAY_CHANGE",
    "AdamConfig",
    "Aggregation",
    "ApiTeacherConfig",
    "BatchRuleConfig",
    "BenchmarkConfig",
    "BudgetConfig",
    "BufferConfig",
    "CheckpointConfig",
    "ChecksConfig",
    "CispoClipConfig",
    "CispoConfig",
    "ClipConfig",
    "CorrectConfig",
    "CorrectionConfig",
    "EvaluationConfig",
    "EveryKRuleConfig",
    "GateConfig",
    "GspoClipConfig",
    "GspoConfig",
    "GuidedRuleConfig",
    "InUpdateRuleConfig",
    "InsertRuleConfig",
    "InterventionRuleConfig",
    "KlConfig",
    "KlEstimator",
    "LedgerConfig",
    "Level",
    "LoraConfig",
    "Loss",
    "MixedRuleConfig",
    "OverlongConfig",
    "OwnRewardConfig",
    "PluginConfig",
    "PolicyConfig",
    "PoolsConfig",
    "PpoConfig",
    "ProbeConfig",
    "QuestionsConfig",
    "RandomRuleConfig",
    "RefillConfig",
    "ReliftRuleConfig",
    "RetireConfig",
    "RewardConfig",
    "RlConfig",
    "RolloutConfig",
    "RuleConfig",
    "RunConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "Section",
    "SelfDistilRuleConfig",
    "SftConfig",
    "Share",
    "SwitchRuleConfig",
    "TeachConfig",
    "TeacherConfig",
    "TokenWeights",
    "VllmConfig",
    "WarmStartConfig",
    "ZppoRuleConfig",
]
