"""Which questions are asked in which iteration: a function of the seed and of the verdicts recorded before it.

    batch     the next questions of the order, the first round of an iteration
    refill    those of a later round of it
    advance   the iteration is over: where it came to, and what its groups say

Without pools and retirement the verdicts say nothing, and where nothing is refilled an iteration's batch is a function
of (seed, iteration).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relift.config import SamplingConfig
from relift.errors import DataError
from relift.questions.history import History
from relift.randomness import generator
from relift.records import Question, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the order has come, e.g. epoch 2, offset 640, passed ``(17,)``. Pools draw without one."""

    epoch: int = 0
    offset: int = 0
    """Questions of the epoch's shuffle before the next one."""
    passed: tuple[int, ...] = ()
    """Of these the numbers of those that are still to be asked, since the iteration held them already."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Position:
        return cls(**{**tree, "passed": tuple(tree["passed"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The questions of a round, all different, and where the order stands after them."""

    questions: tuple[Question, ...]
    position: Position


class QuestionOrder:
    """Epoch after epoch of all questions, each shuffled by (seed, epoch); or, with pools, draws by their weights.

    No iteration holds a question twice: where it spans two epochs, what the second one would ask again waits for the
    next iteration. With refill an iteration's length is found out by its verdicts, so where it begins is state.
    """

    def __init__(
        self, questions: Sequence[Question], batch_size: int, seed: int, config: SamplingConfig | None = None
    ) -> None:
        """DataError where there are fewer questions than an iteration may ask, or one comes twice."""
        self._config = config or SamplingConfig()
        _require_enough(len(questions), batch_size, self._config)
        if len({question.id for question in questions}) < len(questions):
            raise DataError("A training question comes twice; fold it into one with its number of repeats.")
        self._questions = tuple(questions)
        self._numbers = {question.id: number for number, question in enumerate(self._questions)}
        self._batch_size = batch_size
        self._seed = seed
        self._history = History(self._config)
        self._starts = {0: Position()}
        """Where iterations begin, by iteration, as far as is known."""
        self._epoch: tuple[int, list[int]] = (-1, [])
        """The shuffle that was needed last."""
        self._next = 0
        """The first iteration that is not over."""

    @property
    def iterations_per_epoch(self) -> int:
        """Whole batches in one pass over the questions; at least 1."""
        return len(self._questions) // self._batch_size

    def batch(self, iteration: int) -> tuple[Question, ...]:
        """The ``batch_size`` questions of that iteration, all different."""
        return self.first(iteration).questions

    def first(self, iteration: int) -> Drawn:
        """The first round of an iteration: its batch."""
        return self._drawn(iteration, 0, self._batch_size, Drawn(questions=(), position=self._start(iteration)))

    def refill(self, iteration: int, round_: int, count: int, before: Drawn) -> Drawn:
        """A later round, from 1 on, of so many questions that ``before``, all earlier ones, does not hold."""
        return self._drawn(iteration, round_, count, before)

    def advance(self, iteration: int, position: Position | None, groups: Iterable[RolloutGroup]) -> None:
        """An iteration is over, which is noted once. None where it was recorded without its position."""
        if iteration < self._next:
            return
        self._next = iteration + 1
        if position is not None:
            self._starts[iteration + 1] = position
        if self._config.pools or self._config.retire:
            self._history.add(groups, iteration)

    def to_json(self) -> dict[str, Any]:
        """Of the state between two iterations, for a checkpoint."""
        return {
            "iteration": self._next,
            "position": self._start(self._next).to_json(),
            "history": self._history.to_json(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become the order that the JSON was made of."""
        self._next = tree["iteration"]
        self._starts[self._next] = Position.from_json(tree["position"])
        self._history.restore(tree["history"])

    def _start(self, iteration: int) -> Position:
        first = next(known for known in range(iteration, -1, -1) if known in self._starts)
        for known in range(first, iteration):
            assert self._config == SamplingConfig(), f"what is asked after iteration {known} hangs on its verdicts"
            self._starts[known + 1] = self.first(known).position
        return self._starts[iteration]

    def _drawn(self, iteration: int, round_: int, count: int, before: Drawn) -> Drawn:
        taken = {self._numbers[question.id] for question in before.questions}
        retired = {number for question, number in self._numbers.items() if self._history.is_retired(question)}
        revisits = 0 if round_ else self._revisits(count, len(retired))
        fresh = min(count - revisits, len(self._questions) - len(retired | taken))
        if self._config.pools:
            found = self._drawn_by_weight((iteration, round_), fresh, retired | taken)
            position = before.position
        else:
            found, position = self._walked(fresh, before.position, taken, retired)
        if self._config.pools or self._config.retire:
            found += self._longest_ago(retired - taken)[: count - len(found)]
            # Heavy ones come first and revisits last: neither may be the whole of an optimizer step.
            mixed = generator(self._seed, "batch", iteration, round_).permutation(len(found))
            found = [found[index] for index in mixed]
        return Drawn(questions=tuple(self._questions[number] for number in found), position=position)

    def _revisits(self, count: int, retired: int) -> int:
        share = self._config.retire.revisit_share if self._config.retire else 0.0
        return min(math.ceil(share * count), retired)

    def _walked(self, count: int, position: Position, taken: set[int], retired: set[int]) -> tuple[list[int], Position]:
        """(numbers, position after them) of the next ``count`` questions; of those passed over the retired are gone."""
        found, passed, waiting = list[int](), list[int](), list(position.passed)
        epoch, offset = position.epoch, position.offset
        while len(found) < count:
            if waiting:
                number = waiting.pop(0)
            else:
                epoch, offset = (epoch + 1, 0) if offset == len(self._questions) else (epoch, offset)
                number, offset = self._shuffled(epoch)[offset], offset + 1
            if number in taken or number in found:
                passed.append(number)
            elif number not in retired:
                found.append(number)
        return found, Position(epoch=epoch, offset=offset, passed=(*passed, *waiting))

    def _drawn_by_weight(self, purpose: tuple[int, int], count: int, left_out: set[int]) -> list[int]:
        """Without replacement, in proportion to the weights of what is left (Efraimidis and Spirakis, 2006)."""
        pools = self._config.pools
        assert pools
        names = [question.id for question in self._questions]
        weights = np.array([pools.weight(self._history.band(name)) for name in names])
        if pools.per_token:
            weights /= self._history.tokens(names)
        draws = generator(self._seed, "pools", *purpose).random(len(weights))
        order = np.argsort(np.log1p(-draws) / weights, kind="stable")[::-1]
        return [int(number) for number in order if int(number) not in left_out][:count]

    def _longest_ago(self, retired: set[int]) -> list[int]:
        return sorted(retired, key=lambda number: (self._history.of(self._questions[number].id).iteration, number))

    def _shuffled(self, epoch: int) -> list[int]:
        if self._epoch[0] != epoch:
            order = generator(self._seed, "order", epoch).permutation(len(self._questions))
            self._epoch = epoch, [int(number) for number in order]
        return self._epoch[1]


def _require_enough(questions: int, batch_size: int, config: SamplingConfig) -> None:
    if questions < config.most_batches * batch_size:
        size, cap = f"questions.batch_size={batch_size}", ""
        if config.refill:
            size, cap = f"{size} times sampling.refill.cap={config.refill.cap}", " or the cap"
        raise DataError(
            f"{questions} training questions do not fill a batch of {size}, and an iteration never asks a question "
            f"twice. Lower questions.batch_size (and rl.questions_per_update){cap}, or give more questions "
            f"(questions.count, questions.path, a smaller questions.held_out_share)."
        )
