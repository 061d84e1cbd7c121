"""What a rule is: which questions are taught, when, and by which of five ways.

    prompts  -> rollouts that begin with a given prefix, in groups of their own        asked before the rollouts
    requests -> which questions teachers are asked for                                 asked once these are verified
    groups   -> what becomes of each group in the RL batch: kept, dropped, joined,     asked before the RL update
                or with a supervised or a distilled term beside it; and the weight of the RL term
    trials   -> where beginnings of completions lead: sampled, verified, never trained on  asked after the RL update,
                or before it where the rule needs demonstrations first
    advance                                                                            the one change of its state
    batches  -> what the supervised updates train on                                     asked after it

Those that come with relift are in ``rules``. A rule of one's own is a subclass named by
``teach.rule.kind = "package.module:Name"``; its settings are the keyword arguments it is made with. All that it answers
has to be a function of what it is told and of its own state, since a resumed run asks again. What it answers is checked
in ``answers``, and what it says of controls is left out there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from relift.errors import RuleError
from relift.records import GuidedGroup, Purpose, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """An admitted demonstration that waits, e.g. text ``"40*6+7*6=240+42=282"``, failures 2."""

    question_id: str
    demonstration_id: str
    text: str
    is_intervention: bool = False
    """Whether it is no solution but a part of one, made by correcting a rollout: ``mistake``."""
    first_iteration: int
    """In which it came."""
    failures: int
    """How often it came since then, which is whenever teachers were asked for its question again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a rule is told: an iteration as far as it has come."""

    iteration: int
    seed: int
    """Of the run: what a rule draws has to be a function of it, as ``relift.randomness.generator`` gives it."""
    questions: tuple[str, ...]
    """Ids of the batch, in its order."""
    waiting: Mapping[str, Lesson]
    """By question id, oldest first; for ``advance`` and ``batches`` with what came in this iteration, for ``groups``
    where the rule ``needs_demonstrations_first``."""
    progress: float = 0.0
    """Share of the run that is over, in [0, 1]: of its budget, or of its iterations without one."""
    groups: tuple[RolloutGroup, ...] = ()
    """Of the batch, once they are verified."""
    guided: tuple[GuidedGroup, ...] = ()
    """Of the rule's own ``prompts``."""
    asked_twice: tuple[str, ...] = ()
    """Ids of questions that its ``prompts`` asked as they are and that a later round then put into the batch: what came
    of them beside it is in no figure, and not in ``guided``."""
    trials: tuple[GuidedGroup, ...] = ()
    """Of the rule's own ``trials``, as far as they have come, in the order in which they were asked for."""
    hardest: tuple[str, ...] = ()
    """Ids of the questions that the gate called hardest and that may be taught: controls are not among them."""
    fits: Callable[[GuidedPrompt], bool] = lambda prompt: True
    """For ``prompts``, ``groups`` and ``trials``: whether a prompt leaves a token to sample, and can be written and
    asked."""
    affordable: Callable[[Iterable[str]], list[str]] = list
    """Of questions those that ``budget.demonstrations`` still lets be taught, in their order; all without one. What is
    answered beyond it is left out, of a batch too."""
    teachable: tuple[str, ...] = ()
    """Ids of the batch's questions that may be taught, hardest or not: all but its controls."""

    @property
    def joinable(self) -> frozenset[str]:
        """Ids of the batch's questions in whose groups a completion with reward 1 has an advantage: not where all that
        was graded has that reward already."""
        return frozenset(g.question.id for g in self.groups if any(r.reward not in (None, 1) for r in g.rollouts))


@dataclass(frozen=True, slots=True)
class GuidedPrompt:
    """A question asked with the first part of a completion given, e.g. prefix ``"40*6+7*6="``."""

    question_id: str
    """Any training question's: once with a prefix in an iteration, and once without."""
    prefix: str | tuple[int, ...] | None
    """Text, or token ids. With what is sampled after it, it has at most ``rollout.max_tokens`` tokens. None: the
    question as it is, beside the batch or in a trial."""
    demonstration_id: str | None = None
    """Whose beginning it is: the RL update that trains on what follows uses the demonstration, which waits on. None
    counts as no use, and "" says that there is nothing of one in it. Where the question is asked as it is: what waits
    no longer once it is solved so, as it does where the batch solves it."""
    given: int = 0
    """How much that is, in a measure of the rule's own: it comes back with the group, as ``prefix.given``."""
    in_question: bool = False
    """The prefix, a text then, stands after the question in its turn and not at the beginning of the completion."""
    whole: str = ""
    """The text that a prefix in text begins: it is then given in the tokens of that, so that what follows it there
    could be sampled; a last one that would end beyond the prefix is left out."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The group of a question is left out of the RL batch: of its advantages, its loss and its denominators."""

    question_id: str


@dataclass(frozen=True, slots=True)
class Join:
    """The demonstration that waits for a question enters its group as one more completion, with reward 1.

    It waits no longer afterwards. Where it would have no advantage the group is left as it is: ``Moment.joinable``. How
    it is trained on: ``relift.learning.losses.demonstration_objective``.
    """

    question_id: str


@dataclass(frozen=True, slots=True)
class Supervise:
    """The demonstration that waits for a question enters the optimizer step of its group as a supervised term.

    The term is the sum over these demonstrations of ``weight`` times the negative log-likelihood of their tokens, over
    the number of their tokens in the whole step: ``relift.learning.losses.supervised_term``. It waits no longer
    afterwards.
    """

    question_id: str
    weight: float = 1.0
    """Above 0."""
    token_weights: Literal["none", "p(1-p)"] = "none"
    """Of each token by its probability p, as in ``sft.token_weights``."""
    drop: bool = False
    """The group leaves the step, as by ``Drop``: the demonstration takes its place."""


@dataclass(frozen=True, slots=True)
class Distil:
    """The graded rollouts of a question's group are drawn towards what the start model would write in their place with
    a text in view: ``relift.learning.losses.distillation_term``.

    The text is of the demonstration that waits for the question, which waits no longer afterwards. The group is kept;
    one without a graded rollout is left as it is.
    """

    question_id: str
    in_view: str
    """Stands after the question in its turn, as of a ``GuidedPrompt`` that is ``in_question``."""
    weight: float = 1.0
    """Above 0."""

    @property
    def prompt(self) -> GuidedPrompt:
        """What the start model reads."""
        return GuidedPrompt(self.question_id, self.in_view, in_question=True)


Fate = Drop | Join | Supervise | Distil


@dataclass(frozen=True, slots=True)
class Partial:
    """The first part of a solution in place of the demonstration that waits, e.g. beginning ``"40*6+7*6=240+42="``.

    Its tokens are trained on and nothing after them, no end of sequence either: what follows stays the policy's own.
    """

    question_id: str
    beginning: str | tuple[int, ...]
    """Text, or token ids."""
    whole: str = ""
    """As of a ``GuidedPrompt``."""


class Rule:
    """Teaches nothing; a rule overrides what it is for. All answers name questions by their ids."""

    needs_demonstrations_first: ClassVar[bool] = False
    """The RL update waits for the teachers, so that ``groups`` is asked with what they sent in the same iteration, and
    for the rule's ``trials``; else they are asked beside it."""

    distils: ClassVar[bool] = False
    """Its ``groups`` may answer ``Distil``: the start model is kept, or found under the adapters of ``policy.lora``."""

    trial_samples = 4
    trial_rounds = 8
    trial_purpose = Purpose.PREFIX_SEARCH
    """Of its trials in the ledger: ``PREFIX_SEARCH``, ``CONTINUATION`` or ``IN_VIEW``."""

    def prompts(self, moment: Moment) -> Sequence[GuidedPrompt]:
        """To be sampled beside the batch, ``rollout.samples`` completions each. ``moment`` has no groups yet."""
        return ()

    def groups(self, moment: Moment) -> Sequence[Fate]:
        """What becomes of groups of the batch; one that is not named is kept."""
        return ()

    def rl_weight(self, moment: Moment) -> float:
        """Factor on the whole RL term of the update, asked with ``groups``; the supervised term has its own weights."""
        return 1.0

    def requests(self, moment: Moment) -> Sequence[str]:
        """Questions that teachers are to be asked for; what they answer waits, in this iteration or a later one."""
        return ()

    def mistake(self, group: RolloutGroup) -> str | None:
        """The wrong completion of which an API is asked for one step, in place of a solution of the question."""
        return None

    def trials(self, moment: Moment) -> Sequence[GuidedPrompt]:
        """Beginnings of completions to see where they lead: ``trial_samples`` continuations of each, never trained on.

        Asked after the RL update, whose version is sampled, with all that waits for ``advance``; and then again, with
        what came of it in ``moment.trials``, until it answers nothing or for the ``trial_rounds``-th time. Of a rule
        that ``needs_demonstrations_first``: before the RL update, under the version that sampled the batch.
        """
        return ()

    def advance(self, moment: Moment) -> None:
        """The end of an iteration: the only place where the rule's state may change."""

    def batches(self, moment: Moment) -> Sequence[Sequence[str | Partial]]:
        """Questions of ``moment.waiting``, a batch for each supervised update; what is taught waits no longer."""
        return ()

    def to_json(self) -> Any:
        """All of the state, for the checkpoint: what JSON gives back as it was, so keys of dicts are strings."""
        return None

    def restore(self, state: Any) -> None:
        """Become what ``to_json`` was asked of."""


def state_of(rule: Rule, name: str) -> Any:
    """What the rule's state comes to in a checkpoint. Raises RuleError where it would come back as another."""
    found = rule.to_json()
    try:
        written = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise RuleError(f"teach.rule.kind={name!r}: to_json answers what is no JSON ({problem})") from problem
    if written != found:
        raise RuleError(
            f"teach.rule.kind={name!r}: to_json answers what JSON does not give back as it was (keys of dicts have to "
            f"be strings, and tuples become lists), so a resumed run would go on from another state"
        )
    return written
