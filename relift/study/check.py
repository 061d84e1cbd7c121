"""Whether every run of a study could begin, and would be asked the same questions."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from relift.config import RunConfig
from relift.errors import ConfigError, ReliftError
from relift.opening.check import ground
from relift.opening.questions import digest_of
from relift.study.collect import family_of
from relift.study.planned import PlannedRun
from relift.study.results import RunResult
from relift.study.settings import changed, departures
from relift.study.study import UNKNOWN, Method, Study

log = logging.getLogger(__name__)
FEW = 100
"""Held-out questions: fewer are said."""


def require_runnable(study: Study, results: Mapping[tuple[str, int], RunResult], waiting: Sequence[PlannedRun]) -> None:
    """Opens all runs that are to be done as far as ``open_run`` checks them, seed by seed.

    Raises ConfigError naming the method, for the first that cannot be run or asks other questions than the others.
    """
    asked: set[str] = set()
    for seed in dict.fromkeys(run.seed for run in waiting):
        configs = {run.method.name: study.config(run.method, seed, None) for run in waiting if run.seed == seed}
        for name, config in configs.items():
            _require_budget_can_be_spent(study, study.methods[name], config)
        _require_one_evaluation(study, configs)
        alike: dict[str, list[str]] = defaultdict(list)
        for name, config in configs.items():
            alike[repr((config.questions, config.policy))].append(name)
        digests = {name: result.made_from["questions"] for (name, of), result in results.items() if of == seed}
        for names in alike.values():
            digests |= _opened(study, {name: configs[name] for name in names}, asked)
        _require_same_questions(study, seed, digests)


def _require_budget_can_be_spent(study: Study, method: Method, config: RunConfig) -> None:
    if config.has_iterations is method.reference:
        raise ConfigError(
            f"{study.path}: method {method.name!r} "
            + (
                "samples rollouts, so it is no reference row: leave reference=true out"
                if method.reference
                else "samples no rollouts, so no budget of them can be made equal: mark it with reference = true"
            )
        )
    sampled = (config.iterations or 0) * config.questions.batch_size * config.rollout.samples
    if config.iterations and sampled < (config.budget.rollouts or 0) < UNKNOWN:
        raise ConfigError(
            f"{study.path}: method {method.name!r} ends by iterations={config.iterations}, {sampled} rollouts, before "
            f"it has spent the {config.budget.rollouts} of the budget: raise iterations in [set], or lower the budget"
        )


def _opened(study: Study, configs: Mapping[str, RunConfig], asked: set[str]) -> dict[str, str]:
    """The digest of what each of these, which ask the same questions of the same model, is asked.

    ``asked``: what need not be asked, or said, again.
    """
    first = name = next(iter(configs))
    try:
        with ground(configs[first]) as found:
            for name, config in configs.items():  # noqa: B007 - named by the error
                teacher = repr(config.teacher)
                found.require_runnable(config, asks_teacher=teacher not in asked)
                asked.add(teacher)
            asks = [family_of(q.source) for q in (*found.questions.held_out, *found.questions.benchmarks)]
            if unknown := [benchmark for benchmark in study.measured if benchmark not in asks]:
                known = ", ".join(dict.fromkeys(asks))
                raise ConfigError(f"measured names {unknown[0]!r}, of which no question is held out. Known: {known}")
            held_out = sum(benchmark in study.measured or not study.measured for benchmark in asks)
            if held_out < FEW and "few" not in asked:
                asked.add("few")
                log.warning(
                    "%d questions are held out, so small differences will not be seen: where a fifth of them come out "
                    "differently, an interval under one seed is %.0f points to either side. Raise "
                    "questions.held_out_share or evaluation.questions, or name a benchmark.",
                    *(held_out, 100 * 1.96 * (0.2 / max(1, held_out)) ** 0.5),
                )
            return dict.fromkeys(configs, digest_of(found.questions))
    except ReliftError as problem:
        raise ConfigError(f"method {name!r} of {study.path}: {problem}") from problem


def _require_one_evaluation(study: Study, configs: Mapping[str, RunConfig]) -> None:
    first, *others = configs.items()
    if first[1].evaluation is None:
        raise ConfigError(f"{study.path}: evaluation is off, so there would be nothing to compare: leave that out")
    for name, config in others:
        before, now = (
            {key: value for key, value in departures(each).items() if key.startswith("evaluation")}
            for each in (first[1], config)
        )
        if before != now:
            listed = "; ".join(changed(before, now))
            raise ConfigError(
                f"{study.path}: method {name!r} is evaluated otherwise than {first[0]!r} ({listed}), so they could not "
                f"be compared: write it once, in [evaluation]"
            )


def _require_same_questions(study: Study, seed: int, digests: Mapping[str, str]) -> None:
    first, *others = digests.items()
    for name, digest in others:
        if digest != first[1]:
            raise ConfigError(
                f"{study.path}: with seed {seed} the method {name!r} is asked other questions than {first[0]!r}, in "
                f"training or in evaluation, so they could not be compared: set questions.* in [set], for all of them. "
                f"If {first[0]!r} has ended already, the dataset or the code that reads it has changed since."
            )
