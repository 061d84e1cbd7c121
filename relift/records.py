"""The frozen records that pass between the packages.

Everything here is plain Python: no torch, no pyarrow, no Prefect. A record is changed by ``dataclasses.replace``; what
can be derived is a property. Closed sets are enums whose values are the strings stored in DuckDB.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class Status(StrEnum):
    """What the verifier found. Only the first two are an answer; the others say what failed (contract 7)."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    ERROR = "error"
    BAD_GOLD = "bad_gold"


UNGRADED = frozenset({Status.TIMEOUT, Status.ERROR, Status.BAD_GOLD})
"""Failures of ours, not of the policy: neither rewarded nor counted in a group's statistics (contract 7)."""


class Band(StrEnum):
    """What the newest groups of a question say of its pass rate."""

    UNSEEN = "unseen"
    NEVER = "never"
    LOW = "low"
    MID = "mid"
    HIGH = "high"
    ALWAYS = "always"


class DecidedBy(StrEnum):
    """The path of the verifier that decided, cheapest first."""

    STRING = "string"
    RATIONAL = "rational"
    GUARD = "guard"
    SYMPY = "sympy"
    CALLABLE = "callable"


class RewardStatus(StrEnum):
    """What came of a reward of one's own. All but the first are failures: the rollout is masked, its verdict stays."""

    GIVEN = "given"
    TIMEOUT = "timeout"
    """It took longer than ``rl.reward.seconds``."""
    ERROR = "error"
    """It raised, filled its memory, or ended its process."""
    NOT_FINITE = "not_finite"
    """It gave NaN or an infinite number, alone, as a part or as the sum of the parts."""
    NOT_A_NUMBER = "not_a_number"
    """It gave something that is neither a number nor named numbers, such as a text or nothing."""


class FinishReason(StrEnum):
    """Why an engine stopped writing a completion."""

    STOP = "stop"
    LENGTH = "length"


class Purpose(StrEnum):
    """What a rollout was sampled for; part of the key of its random draws."""

    TRAIN = "train"
    PROBE = "probe"
    EVALUATION = "evaluation"
    CONFIRM = "confirm"
    GUIDED = "guided"
    """With the first part of a solution given, or with solutions shown, wrong ones too: it says nothing of what the
    policy can do alone."""
    UNGUIDED = "unguided"
    """A guided question as it is, asked beside the batch; trained on, and counted by its rule alone."""
    PREFIX_SEARCH = "prefix_search"
    """After a prefix, to find how much of a demonstration has to be given; trained on by nothing, like the next."""
    CONTINUATION = "continuation"
    """After a step that was put into a rollout, to see whether it leads to a correct end."""
    IN_VIEW = "in_view"
    """With a demonstration in view, and of the same question without, to see what the view is worth."""


BUDGETED = frozenset(Purpose) - {Purpose.PROBE, Purpose.EVALUATION, Purpose.CONFIRM}
"""Whose completions a budget counts: all but those that only measure."""


class UpdateKind(StrEnum):
    RL = "rl"
    SFT = "sft"


def question_id(text: str) -> str:
    """16 hex digits of the SHA-256 of the text, NFC-normalised and with runs of blanks folded to one.

    Two datasets that hold the same question give it the same id, and a rerun finds it again in the ledger.
    """
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a chat, e.g. role ``"system"``, text ``"Put the result into \\boxed{}."``."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A problem with its gold answer, e.g. text ``"47*6?"``, answer ``"282"``, source ``"arithmetic/mul2"``."""

    id: str
    """``question_id(text)``; where an earlier benchmark holds it too, of the benchmark's name and the text."""
    text: str
    answer: str
    source: str
    """Dataset and, after a slash, the part of it (family, benchmark)."""
    solution: str | None = None
    """The dataset's own worked solution, as it stands there; None where it has none."""
    repeats: int = 1
    """How often the dataset holds this question (AIME in the reference's file: 8)."""
    turns: tuple[Turn, ...] = ()
    """What its row says before it: a system message, worked examples. Not a part of the id: a benchmark's question is
    the same whatever stands before it."""

    @property
    def system(self) -> str | None:
        """The row's own system message."""
        return self.turns[0].text if self.turns and self.turns[0].role == "system" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the policy wrote for one prompt."""

    token_ids: tuple[int, ...]
    """Ends with the end-of-sequence token when ``finish_reason`` is stop."""
    logprobs: tuple[float, ...]
    """Of each token under the sampling policy at the sampling temperature, in nats; as long as ``token_ids``."""
    text: str
    """All that the policy wrote but end-of-turn, end-of-sequence and padding."""
    finish_reason: FinishReason
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verifier's finding, e.g. status wrong, answer ``"281"``, path rational."""

    status: Status
    answer: str | None = None
    """The final answer that was extracted; None when there was none."""
    path: DecidedBy = DecidedBy.STRING
    seconds: float = 0.0
    reason: str = ""
    """One phrase for a status that is neither correct nor wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedCompletion:
    """What a reward of one's own is given, e.g. question ``"47*6?"``, gold ``"282"``, completion
    ``"40*6+7*6=282"``, answer ``"282"``, status correct."""

    question: str
    """Its text."""
    gold: str
    completion: str
    """What the verifier read: all that the policy wrote, its reasoning too, and as far as it came."""
    answer: str | None
    """The final answer that the verifier found in it; None when there was none."""
    status: Status
    """The verdict: correct, wrong, no_answer, malformed or truncated. What could not be graded is not asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarded:
    """The reward of a rollout, e.g. value 0.7, parts ``(("right", 1.0), ("long", -0.3))``, status given."""

    value: float | None
    """None where it failed, or where the verdict leaves the rollout out."""
    parts: tuple[tuple[str, float], ...] = ()
    """(name, value) of what the value is the sum of; empty where it was given as one number."""
    status: RewardStatus | None = None
    """None where no reward of one's own was asked."""
    reason: str = ""
    """One phrase for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One completion and what the verifier made of it, e.g. status truncated with reward 0.0."""

    sample: int
    """Its number within the group, from 0."""
    completion: Completion
    verdict: Verdict
    reward: float | None
    """None when the completion could not be graded, or its reward failed; it then leaves the group statistics and the
    loss."""
    reward_parts: tuple[tuple[str, float], ...] = ()
    """As in ``Rewarded``, and so are the next two."""
    reward_status: RewardStatus | None = None
    reward_reason: str = ""

    @property
    def is_correct(self) -> bool:
        return self.verdict.status is Status.CORRECT


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutGroup:
    """All rollouts of one question under one policy version."""

    question: Question
    rollouts: tuple[Rollout, ...]

    @property
    def accuracy(self) -> float:
        """Share of correct rollouts among all of them, in [0, 1]."""
        return sum(r.is_correct for r in self.rollouts) / len(self.rollouts)

    @property
    def is_unsolved(self) -> bool:
        return not any(r.is_correct for r in self.rollouts)

    @property
    def has_signal(self) -> bool:
        """Whether the graded rewards differ, so that some advantage is not zero."""
        return len({r.reward for r in self.rollouts if r.reward is not None}) > 1

    def count(self, status: Status) -> int:
        return sum(r.verdict.status is status for r in self.rollouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What completions of a question were made to begin with, e.g. token_ids ``(7, 3, 14)``; empty for the question as
    it is."""

    question_id: str
    token_ids: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    """The whole prompt where what is given stands in it; else empty, and the prompt is the question's."""
    demonstration_id: str | None = None
    """Whose beginning it is; "" where it is nothing of a solution."""
    given: int = 0
    """How much of it that is, as its rule measures it."""

    @property
    def purpose(self) -> Purpose:
        """Of the rollouts that are trained on."""
        return Purpose.GUIDED if self.token_ids or self.prompt_ids else Purpose.UNGUIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedGroup:
    """Rollouts that all begin with the same tokens, which were given and not sampled."""

    prefix: Prefix
    group: RolloutGroup
    """Of its completions the token ids and log-probabilities are those after the prefix; the text is the whole."""

    @property
    def is_guided(self) -> bool:
        """Whether anything was given; else its question was asked as it is, beside the batch."""
        return self.prefix.purpose is Purpose.GUIDED

    @property
    def prefix_ids(self) -> tuple[int, ...]:
        return self.prefix.token_ids


class DemonstrationKind(StrEnum):
    """What a demonstration shows."""

    SOLUTION = "solution"
    INTERVENTION = "intervention"
    """The first steps of a wrong rollout and a teacher's step after them: no solution, and nothing follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A solution offered for a question; admitted when ``refusal`` is None.

    Example: source ``"dataset"``, text ``"40*6+7*6=240+42=282"``, tokens 20, refusal None.
    """

    id: str
    """``demonstration_id(question_id, text)``."""
    question_id: str
    text: str
    """In the student's answer form, without the prompt and without end-of-sequence."""
    source: str
    tokens: int
    """Under the student's tokenizer, end-of-sequence included; an intervention has none."""
    cost_usd: float = 0.0
    latency_seconds: float = 0.0
    refusal: str | None = None
    """Why it was not admitted, e.g. ``"wrong: 281 is not 282"``."""
    kind: DemonstrationKind = DemonstrationKind.SOLUTION

    @property
    def is_admitted(self) -> bool:
        return self.refusal is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A solution as the student would write it, e.g. text ``"40*6+7*6=240+42=282"``, tokens 20, fault None."""

    text: str
    tokens: int
    """Under the student's tokenizer, end-of-sequence included."""
    fault: str | None = None
    """Why the student cannot write it, e.g. characters that its tokenizer does not know."""


def demonstration_id(question: str, text: str) -> str:
    """16 hex digits; equal for the same text offered twice for the same question (id)."""
    return hashlib.sha256(f"{question}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRequest:
    """One candidate solution asked of a teacher, e.g. model ``"gpt-x"``, parameters ``{"candidate": 1, ...}``."""

    key: str
    """Hash of model, prompt and parameters: the same in every run, so that nobody pays for an answer twice."""
    question_id: str
    model: str
    prompt: str
    """The messages, as JSON."""
    parameters: str
    """JSON of what is sent beside them, and the number of the candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherAnswer:
    """What a teacher answered, e.g. text ``"... \\boxed{282}"``, output_tokens 120."""

    text: str
    """As it came; reasoning that came apart from it stands before it in <think> tags."""
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    cost_usd: float = 0.0
    """0 where another run has paid for it."""
    latency_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How a demonstration counts as a supervised term of an RL update, e.g. weight 1.0, token_weights none."""

    weight: float
    token_weights: Literal["none", "p(1-p)"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """How a rollout is drawn towards what the start model would write with more in view, e.g. weight 1.0."""

    weight: float
    prompt_ids: tuple[int, ...]
    """What the start model reads in place of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSequence:
    """What either loss trains on: a prompt and the tokens after it.

    ``loss_mask`` is 1 on tokens that count (completion or demonstration, end-of-sequence included), 0 on the prompt.
    """

    question_id: str
    token_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]
    sampling_logprobs: tuple[float, ...] | None = None
    """As long as ``token_ids``, 0.0 on the prompt; None for a demonstration."""
    advantage: float | None = None
    """One value for the whole sequence; None for a demonstration that is in no group."""
    supervision: Supervision | None = None
    """Of a demonstration beside the groups of an RL update."""
    distillation: Distillation | None = None
    """Of a rollout beside them; it then has neither advantage nor log-probabilities."""

    @property
    def loss_tokens(self) -> int:
        return sum(self.loss_mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What one update did. Losses in nats per token; ``grad_norm`` before clipping, largest of its optimizer steps."""

    kind: UpdateKind
    loss: float = 0.0
    tokens: int = 0
    sequences: int = 0
    grad_norm: float = 0.0
    logprob_gap_mean: float = 0.0
    """Mean of |trainer - sampler| log-probability over trained tokens; 0 for a supervised update."""
    logprob_gap_max: float = 0.0
    nll_before: float = 0.0
    """Of the demonstrations, mean over their tokens, before the update; 0 for RL."""
    nll_after: float = 0.0
    lr: float = 0.0
    seconds: float = 0.0
    steps: int = 0
    """Optimizer steps taken; 0 leaves the policy version as it was."""
    skipped: int = 0
    """Optimizer steps not taken because nothing had signal."""
    refused: int = 0
    """Optimizer steps not taken because the gradient was not finite or above its limit."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What the loss measured, mean over trained tokens, of what was on: entropy, clip_fraction, kl, correction_mean,
    bounded_fraction, or what a loss of one's own calls its own."""
    flops: float = 0.0
    """Of one forward and one backward pass over what was trained on, whatever was computed twice, and of a forward pass
    of the start model over what was distilled from it."""
    mfu: float | None = None
    """Share of the device's peak FLOP/s that these came to, loss of time included; None where no peak is known."""
    peak_memory_bytes: int = 0
    """Of the process (on a GPU: of its allocator) until the end of the update."""

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> UpdateReport:
        """Of its fields as they are recorded; earlier runs recorded each metric as a field of its own."""
        fields = cls.__dataclass_fields__
        metrics = {name: value for name, value in tree.items() if name not in fields} | dict(tree.get("metrics", {}))
        own = {name: value for name, value in tree.items() if name in fields}
        return cls(**{**own, "kind": UpdateKind(tree["kind"]), "metrics": metrics})


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRef:
    """Where a finished phase lies and what its manifest says.

    Example: key ``"iterations/00007/rollout"``, counts ``{"rollouts": 512, "tokens": 9210}``.
    """

    key: str
    """In the run's store."""
    sha256: str
    """Of the manifest's bytes; names every file of the phase through it."""
    counts: Mapping[str, float] = field(default_factory=dict)
    reused: bool = False
    """True when the manifest was already there and no work was done."""
    rounds: int = 1
    """Of rollouts and of verdicts: with refill also those of later rounds, in all of which digest and counts are."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Of each round, e.g. ``"iterations/00007/rollout"`` and ``"iterations/00007/rollout/1"``."""
        return (self.key, *(f"{self.key}/{number}" for number in range(1, self.rounds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """The weights after some number of updates, named without being held (contract 5)."""

    number: int
    """0 is the base model; every update that moved the weights adds one."""
    checksum: str
    """SHA-256 over the sorted tensor names and their bytes."""
    parent: int | None = None
    iteration: int = -1
    """The iteration whose update made it; -1 for the base."""
    kind: UpdateKind | None = None
    phase: PhaseRef | None = None
    """The recorded update to replay; None for the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    key: str
    sha256: str
    iteration: int
    """The first iteration that has not run yet."""
    version: int
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has spent until now, e.g. rollouts 64000, update_flops 4.1e13: what its recorded phases say."""

    rollouts: int = 0
    """Sampled completions, guided ones too; not those of probes and evaluations."""
    update_flops: float = 0.0
    demonstrations: int = 0
    """Distinct ones that were taught."""
    optimizer_steps: int = 0
    sampled_tokens: int = 0
    """Of the completions counted above."""
    trained_tokens: int = 0
    """In the denominators of the updates."""

    def __add__(self, other: Spent) -> Spent:
        """Of both; demonstrations are not among them, since the same may be taught twice."""
        return Spent(
            rollouts=self.rollouts + other.rollouts,
            update_flops=self.update_flops + other.update_flops,
            optimizer_steps=self.optimizer_steps + other.optimizer_steps,
            sampled_tokens=self.sampled_tokens + other.sampled_tokens,
            trained_tokens=self.trained_tokens + other.trained_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationReport:
    """One line of a run's history, for the ledger, the live view and the Prefect artifact."""

    iteration: int
    questions: int
    rollouts: int
    tokens: int
    """Sampled tokens."""
    accuracy: float
    statuses: Mapping[str, int]
    unsolved: int
    """Groups that the gate called hardest."""
    solved_all: int
    buffer: int
    """Demonstrations waiting after the iteration."""
    taught: int
    """Demonstrations that the iteration's supervised updates trained on."""
    updates: tuple[UpdateReport, ...]
    seconds: Mapping[str, float]
    """Wall seconds by phase."""
    mean_tokens: float = 0.0
    """Mean completion length in tokens."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Of a reward of one's own: the mean of those given under "reward", of each part under its name after "reward/",
    and the share that failed under "failed"; empty with the reward correct."""
    signal: int = 0
    """Groups whose graded rewards differ."""
    rounds: int = 1
    """In which its questions were asked: more than one with refill alone."""
    lacking: int = 0
    """Groups with signal that the RL batch is short of, since refill came to its cap."""
    spent: Spent = Spent()
    """By the whole run, after the iteration; nothing in lines of an earlier relift."""

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> IterationReport:
        """Of a line of the metrics."""
        updates = tuple(UpdateReport.of(update) for update in tree["updates"])
        return cls(**{**tree, "updates": updates, "spent": Spent(**tree.get("spent", {}))})

    @property
    def trained_tokens_per_second(self) -> float:
        """Completion and demonstration tokens of the updates' denominators over their seconds; 0 without an update."""
        seconds = sum(update.seconds for update in self.updates)
        return sum(update.tokens for update in self.updates) / seconds if seconds else 0.0

    @property
    def mfu(self) -> float | None:
        """Of all updates together, in [0, 1]; None where the device's peak is not known."""
        known = [(update.mfu, update.seconds) for update in self.updates if update.mfu is not None]
        seconds = sum(seconds for _, seconds in known)
        return sum(mfu * seconds for mfu, seconds in known) / seconds if seconds else None

    @property
    def peak_memory_bytes(self) -> int:
        return max((update.peak_memory_bytes for update in self.updates), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """One benchmark under one policy version; shares in [0, 1]."""

    benchmark: str
    version: int
    iteration: int
    questions: int
    k: int
    avg_at_k: float
    pass_at_k: float
    low: float
    """Lower end of the 95 % interval of ``avg_at_k``."""
    high: float
    kind: str = ""
    """Difficulty class where the benchmark has one (mastered, border, unreached)."""
    bands: Mapping[str, int] = field(default_factory=dict)
    """Questions by difficulty band."""
    mean_tokens: float = 0.0
    truncated: int = 0
