"""When to teach, and what: the rule, and what no rule ever teaches."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Tag, field_validator, model_validator

from relift.config.plugin import BY_IMPORT, PluginConfig, by_kind
from relift.config.section import Section, Share, none_if_off


class BatchRuleConfig(Section):
    """What teaches M demonstrations at a time."""

    teaches_by: ClassVar[frozenset[str]] = frozenset({"sft"})
    """The updates, sft and rl, that bring its demonstrations to the policy: where they are off it teaches nothing."""

    batch_size: int = Field(64, ge=1)
    """M: the update waits until the buffer holds this many demonstrations."""
    max_updates_per_iteration: int = Field(1, ge=1)
    """The paper's cap: a supervised update after every RL step collapsed."""


class GuidedRuleConfig(BatchRuleConfig):
    """Hard questions are asked with as little of a demonstration given as helps (POPE, arXiv 2601.18779). Where nothing
    that may be given helps, demonstrations are taught as by the rule relift, unless sft is off."""

    teaches_by: ClassVar[frozenset[str]] = frozenset({"rl"})

    kind: Literal["guided"] = "guided"
    """As in the rule relift."""
    questions: int = Field(16, ge=1)
    """C: guided prompts of an iteration, beside its batch; each is asked as it is too."""
    capacity: int = Field(64, ge=1)
    """Questions that are guided at the same time, in turns; no more are searched for."""
    cuts: int = Field(8, ge=2, le=8)
    """K: parts that a demonstration is cut into, at the ends of steps; fewer where it has fewer steps."""
    longest: float = Field(0.75, gt=0, lt=1)
    """Share of these parts that may be given; never the last step, nor what holds the answer."""
    cut_at: Literal["steps", "characters"] = "steps"
    """steps: at the end of a line; after = with answer_form equals; at both with hashes. characters: anywhere, evenly.
    What is given is never a target, so the first step is learned only where its own beginning can be given. For
    demonstrations of few steps and tokens of few characters."""
    search_samples: int = Field(4, ge=1)
    """Continuations of each beginning that is tried; it leads where one of them is right."""
    in_question: bool = False
    """The beginning stands in the question's turn, not at the beginning of the completion. Needs a tokenizer that can
    write the words around it."""


class ReliftRuleConfig(BatchRuleConfig):
    """A supervised update whenever M demonstrations of the hardest questions wait (ReLIFT, arXiv 2506.07527)."""

    kind: Literal["relift"] = "relift"
    """relift, every-k, random, intervention, switch, insert, mixed, guided, zppo, self-distil or the import path of
    one's own, package.module:Name."""


class RandomRuleConfig(BatchRuleConfig):
    """As relift, but as many questions of the batch as the gate called hardest are drawn at random: what the gate is
    worth."""

    kind: Literal["random"] = "random"
    """As in the rule relift."""


class InterventionRuleConfig(BatchRuleConfig):
    """A supervised update whenever M interventions are admitted: what a wrong rollout has right, and its first wrong
    step set right (InT, arXiv 2601.14209). A step is a line; with answer_form equals what stands between two =."""

    kind: Literal["intervention"] = "intervention"
    """As in the rule relift."""
    samples: int | None = Field(4, ge=1)
    """Continuations of an intervention; it is admitted where one at least is right. off: nothing is continued and every
    one is admitted; the paper has no such check."""
    longest_step: int = Field(400, ge=1)
    """Characters of the step that is set right; where it is longer nothing is taught."""

    @field_validator("samples", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return none_if_off(value)


class EveryKRuleConfig(Section):
    """A supervised update every k iterations, of the newest hard questions that wait; none where none waits."""

    teaches_by: ClassVar[frozenset[str]] = frozenset({"sft"})

    kind: Literal["every-k"] = "every-k"
    """As in the rule relift."""
    every: int = Field(8, ge=1)
    """k: iterations from one supervised update to the next."""
    batch_size: int = Field(64, ge=1)
    """Demonstrations of an update, at most."""


class InUpdateRuleConfig(Section):
    """Of rules that teach in the RL update, and so have no supervised one: they need sft='off'."""

    teaches_by: ClassVar[frozenset[str]] = frozenset({"rl"})
    """As of relift."""
    teaches_at_once: ClassVar[bool] = True
    """A demonstration is taught in the iteration that asks for it, or not at all."""


class SwitchRuleConfig(InUpdateRuleConfig):
    """Each question by one of two losses: its rollouts' or its demonstration's (HPT, arXiv 2509.04419)."""

    kind: Literal["switch"] = "switch"
    """As in the rule relift."""
    gate: int = Field(0, ge=0)
    """Where at most this many rollouts are correct, the demonstration takes their place; without any, it does where the
    gate calls the question hardest."""
    weight: float = Field(1.0, gt=0)
    """Of the demonstrations' mean negative log-likelihood. Published: 1.0, and 0.3 for a model of 1.5 billion."""


class InsertRuleConfig(InUpdateRuleConfig):
    """The demonstration is one more completion of its question's group, with reward 1 (LUFFY, arXiv 2504.14945)."""

    kind: Literal["insert"] = "insert"
    """As in the rule relift."""
    on: Literal["hardest", "all"] = "hardest"
    """Of which questions: those that the gate calls hardest, or, as published, all of which not all is right."""


class MixedRuleConfig(InUpdateRuleConfig):
    """(1 - mu) of the RL loss and mu of a supervised one in each step (CHORD, arXiv 2508.11408). The defaults are
    CHORD-mu; CHORD-phi is mu and final_mu 0.1 with token_weights p(1-p)."""

    kind: Literal["mixed"] = "mixed"
    """As in the rule relift."""
    on: Literal["hardest", "all"] = "hardest"
    """Whose demonstrations: of the questions that the gate calls hardest, or, nearer to what is published, of all."""
    mu: Share = 0.9
    """At the start of the run."""
    final_mu: Share = 0.05
    """From the end of its fall on; at 0 nothing is taught any more."""
    decay_share: float = Field(0.5, gt=0, le=1)
    """Share of the run over which it falls, linearly."""
    token_weights: Literal["none", "p(1-p)"] = "none"
    """Weight of a token's likelihood: 1, or p (1 - p) by its probability p."""


class ZppoRuleConfig(InUpdateRuleConfig):
    """Hard questions are asked again, with a right and a wrong solution to choose from, and with wrong ones to avoid
    (ZPPO, arXiv 2606.18216). What is shown is never a target. The shares are of all prompts of an iteration, of which
    the batch is the rest; what does not fit policy.max_prompt_tokens is not asked."""

    teaches_at_once: ClassVar[bool] = False

    kind: Literal["zppo"] = "zppo"
    """As in the rule relift."""
    below: float = Field(0.5, gt=0, le=1)
    """Hard is a question of which less than this share of rollouts is correct; with none, where the gate calls it
    hardest."""
    capacity: int = Field(128, ge=1)
    """Hard questions that are kept, until enough of their rollouts are correct; the first that came makes way."""
    again: Share = 0.25
    """Share of the prompts: a hard question as it is."""
    compared: Share = 0.125
    """With two candidates in random order: its demonstration and a wrong rollout."""
    mistaken: Share = 0.125
    """With wrong rollouts alone."""
    mistakes: int = Field(3, ge=2)
    """Wrong rollouts that are shown at most, the newest; at least two are."""

    @model_validator(mode="after")
    def _shares_leave_a_batch(self) -> ZppoRuleConfig:
        total = self.again + self.compared + self.mistaken
        if not 0 < total < 1 or self.compared + self.mistaken == 0:
            raise ValueError(
                f"again={self.again:g}, compared={self.compared:g} and mistaken={self.mistaken:g} are shares of an "
                f"iteration's prompts beside its batch: together they have to be less than 1, and compared or mistaken "
                f"more than 0, without which nothing is shown"
            )
        return self


class SelfDistilRuleConfig(InUpdateRuleConfig):
    """Rollouts are drawn, token by token, towards what the start model writes with the demonstration in view (SDFT,
    arXiv 2601.19897; OPSD, 2601.18734). Harms models that think; what it may gain is measured before it teaches."""

    kind: Literal["self-distil"] = "self-distil"
    """As in the rule relift."""
    on: Literal["hardest", "all"] = "hardest"
    """Whose rollouts: of the questions that the gate calls hardest, or of all."""
    weight: float = Field(1.0, gt=0)
    """Of the divergence, mean over these rollouts' tokens, beside the RL loss."""
    gap_questions: int = Field(64, ge=1)
    """Hardest questions, the first with a demonstration, of which the gap is measured: accuracy with the demonstration
    in view less accuracy without."""
    gap_samples: int = Field(4, ge=1)
    """Rollouts of each, with it and without."""
    least_gap: float = Field(0.1, ge=-1, le=1)
    """Nothing is taught while the gap of those measured so far, at first of a single question, is smaller, and nothing
    more once that is so of all these questions."""
    thinks: bool = False
    """Teach although the prompt opens the reasoning, which was measured to cost up to 40 % elsewhere (arXiv
    2603.24472)."""


RuleConfig = Annotated[
    Annotated[ReliftRuleConfig, Tag("relift")]
    | Annotated[RandomRuleConfig, Tag("random")]
    | Annotated[EveryKRuleConfig, Tag("every-k")]
    | Annotated[InterventionRuleConfig, Tag("intervention")]
    | Annotated[SwitchRuleConfig, Tag("switch")]
    | Annotated[InsertRuleConfig, Tag("insert")]
    | Annotated[MixedRuleConfig, Tag("mixed")]
    | Annotated[GuidedRuleConfig, Tag("guided")]
    | Annotated[ZppoRuleConfig, Tag("zppo")]
    | Annotated[SelfDistilRuleConfig, Tag("self-distil")]
    | Annotated[PluginConfig, Tag(BY_IMPORT)],
    by_kind(
        "relift", "random", "every-k", "intervention", "switch", "insert", "mixed", "guided", "zppo", "self-distil"
    ),
]


class TeachConfig(Section):
    """Which questions are taught, when and by what."""

    rule: RuleConfig = ReliftRuleConfig()
    """relift, every-k, random, intervention, switch, insert, mixed, guided, zppo, self-distil or one's own, each with
    its own settings. What it teaches by the supervised update needs the section sft, what it teaches in the RL update
    the section rl."""
    control_share: Share = 0.0
    """Share of questions, chosen by a hash of the id, that no rule ever teaches, guides or joins with a demonstration,
    to measure what teaching does. Where something is probed, teachers are asked for them as for the others, and an API
    is paid for it."""

    @field_validator("rule", mode="before")
    @classmethod
    def _by_its_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("control_share")
    @classmethod
    def _something_is_taught(cls, value: float) -> float:
        if value == 1:
            raise ValueError("a control_share of 1 leaves no question to teach; use sft='off' for plain GRPO")
        return value
