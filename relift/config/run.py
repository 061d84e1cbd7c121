"""The whole tree."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from relift.config.budget import BudgetConfig
from relift.config.interleave import BufferConfig, GateConfig, ProbeConfig
from relift.config.keeping import CheckpointConfig, ChecksConfig, EvaluationConfig, LedgerConfig
from relift.config.learning import RlConfig, SftConfig, WarmStartConfig
from relift.config.policy import PolicyConfig, RolloutConfig
from relift.config.questions import QuestionsConfig
from relift.config.sampling import SamplingConfig
from relift.config.section import MAY_CHANGE, Section, none_if_off
from relift.config.teach import (
    BatchRuleConfig,
    EveryKRuleConfig,
    GuidedRuleConfig,
    InsertRuleConfig,
    InterventionRuleConfig,
    InUpdateRuleConfig,
    SwitchRuleConfig,
    TeachConfig,
)
from relift.config.teacher import TeacherConfig
from relift.store.uris import require_uri


class RunConfig(Section):
    """Everything that decides what a run does; stored with it."""

    recipe: str = "paper-v2"
    """Name of the recipe that this tree came from."""
    seed: int = Field(0, ge=0)
    """All randomness is a function of it (contract 4)."""
    iterations: int | None = Field(None, ge=1, json_schema_extra=MAY_CHANGE)
    """Batches of questions at most; where empty, as many as the budget allows, and without one once through all
    questions."""
    budget: BudgetConfig = BudgetConfig()
    store: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder that holds the runs, or s3://bucket/prefix; endpoint and credentials come as AWS's tools take them."""
    scratch: str = Field("runs", json_schema_extra=MAY_CHANGE)
    """Folder with the working copies of runs whose store is s3://; unused where the store is a folder itself."""
    questions: QuestionsConfig
    sampling: SamplingConfig = SamplingConfig()
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    warm_start: WarmStartConfig | None = None
    """off: the iterations begin with the base. Alone, with rl and sft off, it is all that there is: no iterations."""
    rl: RlConfig | None = RlConfig()
    """off: no RL update; rollouts, verdicts, gate, teachers and supervised updates go on."""
    sft: SftConfig | None = SftConfig()
    """off: no supervised update; with the rule relift plain GRPO, nothing else changed."""
    teach: TeachConfig = TeachConfig()
    shared_optimizer: bool = False
    """One AdamW for both updates: moments, betas and weight decay are shared, rate, schedule, clip and skip rules each
    one's own. Halves the optimizer's memory. A departure from the paper."""
    gate: GateConfig = GateConfig()
    buffer: BufferConfig = BufferConfig()
    probe: ProbeConfig | None = ProbeConfig()
    """off: nothing is sampled to see what teaching did."""
    teacher: TeacherConfig = TeacherConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig | None = EvaluationConfig()
    """off: no held-out evaluation."""
    ledger: LedgerConfig = LedgerConfig()
    checks: ChecksConfig = ChecksConfig()
    allow_changed_plugins: bool = Field(False, json_schema_extra=MAY_CHANGE)
    """Go on with a run whose plug-ins (settings that are import paths) have another source than it was started with."""

    @property
    def teaches(self) -> bool:
        """Whether anything may come of a demonstration in an iteration."""
        return self._rule_has_its_update and self.budget.demonstrations != 0

    @property
    def needs_teachers(self) -> bool:
        """Whether anything may come of a demonstration in the whole run."""
        return self.teaches or (self.warm_start is not None and self.warm_start.updates > 0)

    @property
    def _rule_has_its_update(self) -> bool:
        """One's own rule may teach by either."""
        by = getattr(self.teach.rule, "teaches_by", frozenset({"sft", "rl"}))
        return ("sft" in by and self.sft is not None) or ("rl" in by and self.rl is not None)

    @property
    def has_iterations(self) -> bool:
        """Whether the run goes on after its warm start."""
        return self.rl is not None or self.sft is not None

    @property
    def rewards(self) -> RlConfig:
        """What says the reward of a verdict: the section rl, or its defaults where that is off."""
        return self.rl or RlConfig()

    @field_validator("warm_start", "rl", "sft", "evaluation", "probe", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        return require_uri(value)

    @model_validator(mode="before")
    @classmethod
    def _schedule_has_moved(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and "schedule" in tree:
            raise ValueError(
                "schedule is now a part of each update's optimizer, so that the rates can differ: write it as "
                "rl.optimizer.schedule and sft.optimizer.schedule, with the same keys"
            )
        return tree

    @model_validator(mode="after")
    def _updates_fit_the_run(self) -> RunConfig:
        completion = max(self.rollout.max_tokens, self.teacher.max_tokens if self.needs_teachers else 0)
        longest = self.policy.max_prompt_tokens + completion
        if self.policy.micro_batch_tokens is not None and self.policy.micro_batch_tokens < longest:
            raise ValueError(
                f"policy.micro_batch_tokens={self.policy.micro_batch_tokens} is smaller than the longest sequence, "
                f"{longest} tokens (policy.max_prompt_tokens and the larger of rollout.max_tokens and "
                f"teacher.max_tokens), which cannot be split: raise it, or leave it empty"
            )
        if self.rl is None and isinstance(self.teach.rule, GuidedRuleConfig):
            raise ValueError("teach.rule.kind='guided' teaches by the RL update: leave rl='off' out, or take another")
        if self.rl is None and not self._rule_has_its_update and (self.sft or self.warm_start is None):
            raise ValueError(
                f"rl='off' leaves nothing to train: with sft={'on' if self.sft else 'off'} the rule "
                f"teach.rule.kind={self.teach.rule.kind!r} teaches nothing. Leave rl=off out; for supervised "
                f"fine-tuning alone set sft=off and a section warm_start"
            )
        most, warm = self.budget.demonstrations, self.warm_start
        if most is not None and warm and (warm.demonstrations == "all" or warm.demonstrations > most):
            raise ValueError(
                f"warm_start.demonstrations={warm.demonstrations!r} is more than budget.demonstrations={most}, which "
                f"holds for all that is taught: set it to at most {most}, or raise the budget"
            )
        least = self.questions.batch_size * self.rollout.samples
        if self.budget.rollouts is not None and self.budget.rollouts < least:
            raise ValueError(
                f"budget.rollouts={self.budget.rollouts} is less than one iteration samples, {least} "
                f"(questions.batch_size * rollout.samples): raise it, or lower these"
            )
        if self.rl and self.rl.questions_per_update > self.questions.batch_size:
            raise ValueError(
                f"rl.questions_per_update={self.rl.questions_per_update} is larger than the batch of "
                f"questions.batch_size={self.questions.batch_size}: lower it to at most the batch"
            )
        if self.rl and self.rl.overlong and self.rl.overlong.buffer > self.rollout.max_tokens:
            raise ValueError(
                f"rl.overlong.buffer={self.rl.overlong.buffer} is longer than rollout.max_tokens="
                f"{self.rollout.max_tokens}, so every completion would be penalised: lower it (DAPO: a fifth)"
            )
        return self

    @model_validator(mode="after")
    def _what_teaches_in_the_rl_update_can(self) -> RunConfig:
        rule = self.teach.rule
        if not isinstance(rule, InUpdateRuleConfig):
            return self
        if self.sft is not None:
            raise ValueError(
                f"teach.rule.kind={rule.kind!r} teaches in the RL update and has no supervised one, so the section sft "
                f"would be ignored: set sft=off"
            )
        if isinstance(rule, InsertRuleConfig) and self.rewards.reward.kind != "correct":
            raise ValueError(
                f"teach.rule.kind='insert' gives a demonstration the reward 1, and on the scale of rl.reward="
                f"{self.rewards.reward.kind!r} that may be less than a wrong rollout's, so that it would be unlearned: "
                f"set rl.reward=correct, or take a rule that teaches beside the group, as mixed"
            )
        most = self.sampling.most_batches * self.questions.batch_size
        if rule.teaches_at_once and self.buffer.capacity is not None and self.buffer.capacity < most:
            raise ValueError(
                f"buffer.capacity={self.buffer.capacity} would evict demonstrations before the RL update of "
                f"teach.rule.kind={rule.kind!r} can teach them: up to {most} come in an iteration (questions.batch_size"
                f" and the rounds of sampling.refill). Raise it to that, or leave it empty"
            )
        late = [getattr(source, "kind", source) for source in self.teacher.sources if source != "dataset"]
        if rule.teaches_at_once and late and not self.teacher.wait_seconds:
            raise ValueError(
                f"teach.rule.kind={rule.kind!r} teaches a demonstration in the iteration that asks for it, and with "
                f"teacher.wait_seconds=0 no answer of {late[0]!r} would come in time: raise it"
            )
        return self

    @model_validator(mode="after")
    def _interventions_can_be_tried(self) -> RunConfig:
        if not isinstance(self.teach.rule, InterventionRuleConfig):
            return self
        if self.sft is None:
            raise ValueError(
                "teach.rule.kind=intervention teaches by the supervised update alone, which sft='off' switches off: "
                "leave sft=off out, or set teach.rule.kind=relift too for plain GRPO"
            )
        if self.sft.rehearse:
            raise ValueError(
                f"sft.rehearse={self.sft.rehearse} would be ignored: teach.rule.kind=intervention teaches parts of "
                f"solutions, which are never rehearsed. Set sft.rehearse=0"
            )
        if self.teach.rule.samples is None and "api" in self.teacher.sources:
            raise ValueError(
                "teach.rule.samples=off would teach the steps that the source api writes unverified: set it to the "
                "number of continuations of which one has to be right, or name no api in teacher.sources"
            )
        if self.teacher.max_tokens > self.rollout.max_tokens:
            raise ValueError(
                f"teacher.max_tokens={self.teacher.max_tokens} is more than rollout.max_tokens="
                f"{self.rollout.max_tokens}: what teach.rule.kind=intervention takes of a demonstration is continued "
                f"within that, and of a longer one nothing may be left to sample. Make them equal"
            )
        return self

    @model_validator(mode="after")
    def _refill_has_a_batch_to_fill(self) -> RunConfig:
        if self.rl is None and self.sampling.refill:
            raise ValueError(
                "sampling.refill asks questions until the RL batch is full, and rl is off: no update would train on "
                "what it samples. Set sampling.refill='off', or give rl a section"
            )
        return self

    @model_validator(mode="after")
    def _what_refill_counts_is_not_dropped(self) -> RunConfig:
        rule = self.teach.rule
        if self.sampling.refill and isinstance(rule, SwitchRuleConfig) and rule.gate:
            raise ValueError(
                f"teach.rule.gate={rule.gate} lets demonstrations take the places of groups with a correct rollout, "
                f"which sampling.refill counts until the RL batch is full: set teach.rule.gate=0 or sampling.refill=off"
            )
        return self

    @model_validator(mode="after")
    def _supervised_batch_can_fill(self) -> RunConfig:
        rule = self.teach.rule
        if self.sft is None and isinstance(rule, GuidedRuleConfig):
            names = ("batch_size", "max_updates_per_iteration")
            set_here = [name for name in names if getattr(rule, name) != GuidedRuleConfig.model_fields[name].default]
            if set_here:
                raise ValueError(
                    f"teach.rule.{set_here[0]} is of the supervised update of what guidance comes to nothing for, "
                    f"which sft=off switches off: remove it, or leave sft=off out"
                )
        if self.sft is None or not isinstance(rule, BatchRuleConfig | EveryKRuleConfig):
            return self
        if self.sft.minibatch is not None and self.sft.minibatch > rule.batch_size:
            raise ValueError(
                f"sft.minibatch={self.sft.minibatch} is larger than teach.rule.batch_size={rule.batch_size}"
            )
        if isinstance(rule, EveryKRuleConfig):
            return self  # it takes what there is
        limits = {"buffer.capacity": self.buffer.capacity, "questions.count": self.questions.count}
        if self.buffer.max_age is not None:
            # One that was last seen unsolved max_age iterations ago is still there.
            limits["buffer.max_age"] = (
                (self.buffer.max_age + 1) * self.sampling.most_batches * self.questions.batch_size
            )
        for key, limit in limits.items():
            if limit is not None and limit < rule.batch_size:
                raise ValueError(
                    f"teach.rule.batch_size={rule.batch_size} can never be reached: {key} lets at most {limit} "
                    f"demonstrations wait, so no supervised update would run. Raise {key} or lower that"
                )
        return self

    @model_validator(mode="after")
    def _evaluations_can_be_compared(self) -> RunConfig:
        if self.evaluation is None:
            return self
        kind, form = self.questions.answer_kind, self.evaluation.answer_form or self.questions.answer_form
        if kind != "math" and form == "equals":
            raise ValueError(
                f"questions.answer_kind '{kind}' does not go with evaluation.answer_form 'equals', whose answers are "
                f"plain numbers: leave one of them out"
            )
        rounded = [benchmark.name for benchmark in self.evaluation.benchmarks if benchmark.rounded_golds]
        if rounded and (kind != "math" or form == "equals"):
            what = f"questions.answer_kind '{kind}'" if kind != "math" else "the answer form 'equals' of evaluations"
            raise ValueError(f"rounded_golds of the benchmark {rounded[0]!r} would be ignored by {what}: remove it")
        return self

    @model_validator(mode="after")
    def _shared_optimizer_has_one_setting(self) -> RunConfig:
        if self.rl is None or self.sft is None or not self.shared_optimizer:
            return self
        for key in ("beta1", "beta2", "weight_decay"):
            rl, sft = getattr(self.rl.optimizer, key), getattr(self.sft.optimizer, key)
            if rl != sft:
                raise ValueError(
                    f"sft.optimizer.{key}={sft:g} would be ignored: with shared_optimizer there is one AdamW, and "
                    f"rl.optimizer.{key} is {rl:g}. Set both alike, or shared_optimizer=false"
                )
        return self
