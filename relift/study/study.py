"""A study file: methods, seeds and a budget in one short TOML; docs/comparing.md has an example."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relift.config.recipe import load_recipe, split_setting
from relift.config.run import RunConfig
from relift.errors import ConfigError
from relift.study.results import RunResult
from relift.study.settings import Tree, as_settings, laid_over, nested

MEASURES = ("rollouts", "update_flops", "demonstrations")
"""What a budget may be of. Each is a field of RunResult: what a finished run came to."""
TAUGHT_BEFORE = ("warm_start", "demonstrations")
"""The other setting that may name a method."""
UNKNOWN = 10**9
"""An amount that no run ends at, in the place of one that a run has yet to come to."""
WORDS = frozenset({"all", "off"})
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class _File(BaseModel):
    """As written; everything else of it is checked where the methods are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    recipe: str
    seeds: tuple[int, ...]
    beside: int = Field(1, ge=1)
    keep: bool = False
    budget: dict[str, int | float | str] = {}
    set: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]]
    planned: tuple[tuple[str, str], ...] = ()
    expected: dict[str, float] = {}
    against: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What its runs are given beside the recipe, e.g. name ``"sft-then-rl-n"``, waits_for ``("relift",)``."""

    name: str
    reference: bool
    tree: Tree
    """Settings; a value of another method's run stands in it as that method's name."""
    references: tuple[tuple[tuple[str, str], str], ...]
    """((section, key), method) of such values."""

    @property
    def waits_for(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(method for _, method in self.references))


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study file that agrees with itself."""

    name: str
    path: Path
    title: str
    recipe: str
    seeds: tuple[int, ...]
    beside: int
    keep: bool
    """Whether folders of runs stay once their result is written."""
    budget: Mapping[str, int | float | str]
    methods: Mapping[str, Method]
    planned: tuple[tuple[str, str], ...]
    expected: Mapping[str, float]
    """Least difference of a planned pair, by ``"first - second"``."""
    against: tuple[str, ...]
    """Methods that all others are compared with beside what was planned."""
    measured: tuple[str, ...]
    """Benchmarks that accuracy is the mean of; empty: all of them."""
    settings: tuple[str, ...]
    """Of the command line, over those of all methods and under each method's own."""

    def settings_of(self, method: Method, seed: int, finished: Mapping[str, RunResult] | None) -> list[str]:
        """What ``--set`` is given on top of the recipe for one run; ``finished`` are the results of that seed that it
        waits for.

        Without them it has amounts that no run ends at: enough to see that it can be run.
        """
        tree = method.tree
        for (section, key), of in method.references:
            if finished is not None:
                value: Any = getattr(finished[of], key)
            else:
                value = "all" if (section, key) == TAUGHT_BEFORE else UNKNOWN
            tree = laid_over(tree, {section: {key: value}})
        return ["policy.threads=1", *as_settings(tree), f"seed={seed}"]

    def config(self, method: Method, seed: int, finished: Mapping[str, RunResult] | None) -> RunConfig:
        """The same as a configuration. Raises ConfigError naming the method."""
        try:
            return load_recipe(self.recipe, self.settings_of(method, seed, finished))
        except ConfigError as problem:
            raise ConfigError(f"method {method.name!r} of {self.path}: {problem}") from problem

    def runs(self, order: str = "seeds") -> list[tuple[Method, int]]:
        """Every run: all methods of the first seed and then of the next (seeds), or the other way round (methods)."""
        methods = list(self.methods.values())
        if order == "methods":
            return [(method, seed) for method in methods for seed in self.seeds]
        return [(method, seed) for seed in self.seeds for method in methods]


def load_study(path: Path, settings: tuple[str, ...] = ()) -> Study:
    """The study in a file, with ``a.b=c`` settings for all of its runs. Raises ConfigError."""
    try:
        file = _File.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"{path} is no study: {problem}. A study is a TOML file, as docs/comparing.md says."
        ) from None
    except ValidationError as problem:
        faults = "\n".join(f"  {'.'.join(map(str, f['loc']))}: {f['msg']}" for f in problem.errors())
        raise ConfigError(f"{path} cannot be used:\n{faults}") from None
    _require_seeds(path, file.seeds, settings)
    _require_names(path, file)
    _require_budget(path, file.budget, file.methods)
    return Study(
        name=path.stem,
        path=path,
        title=file.title or path.stem,
        recipe=_recipe_beside(path, file.recipe),
        seeds=file.seeds,
        beside=file.beside,
        keep=file.keep,
        budget=file.budget,
        methods=_methods(path, file, settings),
        planned=file.planned,
        expected=file.expected,
        against=file.against or tuple(name for name in ("relift", "grpo") if name in file.methods),
        measured=file.measured,
        settings=settings,
    )


def _recipe_beside(path: Path, recipe: str) -> str:
    """A path is meant from the study's folder, where there is such a file; else from here, as everywhere."""
    beside = path.parent / recipe
    return str(beside) if recipe.endswith(".toml") and beside.is_file() else recipe


def _require_seeds(path: Path, seeds: tuple[int, ...], settings: tuple[str, ...]) -> None:
    if not seeds:
        raise ConfigError(f"{path} names no seeds, so there is nothing to run: write seeds = [0, 1, 2]")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice or min(seeds) < 0:
        what = f"{', '.join(map(str, twice))} twice" if twice else f"{min(seeds)}"
        raise ConfigError(
            f"{path} has seed {what}: give whole numbers from 0 on, each once, or runs would be counted twice"
        )
    named = [s for s in settings if s.split("=")[0].strip() in ("seed", "recipe")]
    if named:
        raise ConfigError(f"--set {named[0]} would make runs what the study does not call them: change {path} instead")


def _require_names(path: Path, file: _File) -> None:
    if not file.methods:
        raise ConfigError(f"{path} has no methods: write each as a section [methods.NAME]")
    for name in file.methods:
        if not _NAME.fullmatch(name) or name in WORDS or len(name) > 40:
            raise ConfigError(
                f"{path}: a method cannot be called {name!r}: use up to 40 small letters, digits and '-', and neither "
                f"'all' nor 'off', which are values"
            )
    named = {"planned": [name for pair in file.planned for name in pair], "against": list(file.against)}
    for key, names in named.items():
        if unknown := sorted(set(names) - file.methods.keys()):
            raise ConfigError(f"{path}: {key} names {unknown[0]!r}, which is no method. {_known(file.methods)}")
    pairs = [pair_name(*pair) for pair in file.planned]
    if wrong := [pair for pair in pairs if len(set(pair.split(" - "))) == 1 or pairs.count(pair) > 1]:
        raise ConfigError(f"{path}: planned has {wrong[0]!r}, a pair with itself or one that stands there twice")
    if wrong := sorted(file.expected.keys() - set(pairs)):
        raise ConfigError(
            f"{path}: expected names {wrong[0]!r}, which is not planned. Planned: {', '.join(pairs) or 'none'}"
        )


def pair_name(first: str, second: str) -> str:
    return f"{first} - {second}"


def _known(methods: Mapping[str, Any]) -> str:
    return f"Methods: {', '.join(methods)}."


def _require_budget(path: Path, budget: Mapping[str, int | float | str], methods: Mapping[str, Tree]) -> None:
    if "seconds" in budget:
        raise ConfigError(f"{path}: seconds are no budget, since machines differ; they are a column of the table")
    if unknown := sorted(budget.keys() - set(MEASURES)):
        raise ConfigError(f"{path}: budget.{unknown[0]} is none of {', '.join(MEASURES)}")
    trained = [name for name, tree in methods.items() if not tree.get("reference")]
    if len(trained) > 1 and not budget.keys() & {"rollouts", "update_flops"}:
        raise ConfigError(
            f"{path} gives {', '.join(trained)} no budget in common, so their accuracies could not be compared: write "
            f"[budget] with rollouts or update_flops, a number or a method's name"
        )
    for key, value in budget.items():
        if key != "demonstrations" and not isinstance(value, str) and not value > 0:
            raise ConfigError(f"{path}: budget.{key}={value} leaves nothing to train with: give a number above 0")


def _methods(path: Path, file: _File, settings: tuple[str, ...]) -> dict[str, Method]:
    over: dict[str, Any] = {}
    for setting in settings:
        parts, value = split_setting(setting)
        over = laid_over(over, nested({".".join(parts): value}))
    methods = {name: _method(path, file, name, over) for name in file.methods}
    _require_effect(path, over, methods)
    for name, method in methods.items():
        _require_no_circle(path, methods, (name,))
        for (section, key), of in method.references:
            if methods[of].reference and section == "budget" and key != "demonstrations":
                raise ConfigError(f"{path}: budget.{key} of {name!r} is to be that of {of!r}, which has no rollouts")
    return methods


def _require_effect(path: Path, over: Tree, methods: Mapping[str, Method]) -> None:
    """A method's own settings make it that method; what none is left to take up is not passed over in silence."""
    taken = {setting for method in methods.values() for setting in as_settings(method.tree)}
    if ignored := [setting for setting in as_settings(over) if setting not in taken]:
        raise ConfigError(
            f"--set {ignored[0]} would change nothing: every method of {path} has a setting of its own there. Change "
            f"it in the study"
        )


def _method(path: Path, file: _File, name: str, over: Tree) -> Method:
    own = nested(file.methods[name])
    reference = own.pop("reference", False)
    if not isinstance(reference, bool):
        raise ConfigError(f"{path}: methods.{name}.reference is {reference!r}: write true or false")
    budget = {} if reference else {key: value for key, value in file.budget.items() if value != name}
    for key, value in own.get("budget", {}).items():
        if budget.get(key, value) != value:
            raise ConfigError(
                f"{path}: methods.{name}.budget.{key} is {value!r} and that of all methods {budget[key]!r}, so they "
                f"would not be equal: leave one of them out"
            )
    below: dict[str, Any] = nested(file.set)
    if file.evaluation:
        below = laid_over(below, {"evaluation": nested(file.evaluation)})
    below = laid_over(below, {"budget": budget} if budget else {})
    tree = laid_over(laid_over(below, over), own)
    references = tuple(_references(path, file.methods, name, tree))
    ends = sorted(tree.get("budget", {}).keys() & {"rollouts", "update_flops"})
    if not reference and len(file.methods) > 1 and len(ends) != 1:
        raise ConfigError(
            f"{path}: runs of {name!r} end by whichever of {' and '.join(ends)} is spent first, so they would not be "
            f"equal in either: leave one of them out"
            if ends
            else f"{path}: nothing ends the runs of {name!r}, by which the others' budgets go: write "
            f"[methods.{name}.budget] with rollouts or update_flops"
        )
    return Method(name=name, reference=reference, tree=tree, references=references)


def _references(path: Path, methods: Mapping[str, Any], name: str, tree: Tree) -> list[tuple[tuple[str, str], str]]:
    found = []
    for section, key in [*(("budget", measure) for measure in MEASURES), TAUGHT_BEFORE]:
        inside = tree.get(section)
        value = inside.get(key) if isinstance(inside, Mapping) else None
        if not isinstance(value, str) or value in WORDS:
            continue
        if value not in methods:
            raise ConfigError(
                f"{path}: {section}.{key} of {name!r} is {value!r}, which is no method. {_known(methods)}"
            )
        if value == name:
            raise ConfigError(f"{path}: {section}.{key} of {name!r} waits for its own run: give a number")
        found.append(((section, key), value))
    return found


def _require_no_circle(path: Path, methods: Mapping[str, Method], way: tuple[str, ...]) -> None:
    for following in methods[way[-1]].waits_for:
        if following in way:
            circle = " -> ".join([*way[way.index(following) :], following])
            raise ConfigError(f"{path}: these wait for each other's runs, so none could begin: {circle}")
        _require_no_circle(path, methods, (*way, following))
