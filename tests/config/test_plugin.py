"""One's own code by import path: what is wrong with it is said by name, and before anything is begun."""

from __future__ import annotations

import hashlib
import itertools
import sys
import warnings
from pathlib import Path

import pytest

from relift.config import PluginConfig
from relift.config.plugin import load_plugin
from relift.config.recipe import differences, load_recipe, validated
from relift.errors import ConfigError

NUMBERS = itertools.count()
SOURCE = """
from __future__ import annotations
import functools
from typing import TYPE_CHECKING, Annotated
from pydantic import BaseModel, Field
if TYPE_CHECKING:
    from nowhere import Thing

class Bounds(BaseModel):
    low: float = 0.0

class Rule:
    def __init__(self, *, times: int, bounds: Bounds = Bounds()) -> None:
        self.times, self.bounds = times, bounds

def reward(rollout: Thing, *, share: Annotated[float, Field(ge=0, le=1)] = 0.5, unit: Thing = None):
    return rollout * share

def anything(rollout, **settings):
    return settings

def swapped(share, rollout):
    return 0.0

def none():
    return 0.0

def odd(rollout, *, model_config: int = 1, _deep: int = 2, copy: int = 3):
    return 0.0

async def later(rollout):
    return 0.0

class Later:
    async def __call__(self, rollout):
        return 0.0

class Called:
    def __call__(self, rollout, *, share: Annotated[float, Field(ge=0, le=1)] = 0.5):
        return share

later_too, called, prepared = Later(), Called(), functools.partial(reward, share=0.25)

def __getattr__(name):
    raise RuntimeError(name) if name == "lazy" else AttributeError(name)

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside the working directory, as a console script sees it: not on Python's path."""
    name = f"own_module_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    return name


def load(path: str, parameters: tuple[str, ...] = ("rollout",), **settings: object):  # type: ignore[no-untyped-def]
    return load_plugin(path, kind="reward", key="rl.reward", parameters=parameters, settings=settings)


def test_a_function_or_class_in_the_working_directory_is_called_with_its_settings(module: str, tmp_path: Path) -> None:
    assert load(f"{module}:reward")(4.0) == 2.0
    plugin = load(f"{module}:reward", share=0.25)
    assert (plugin(4.0), plugin.settings) == (1.0, {"share": 0.25})
    assert plugin.sha256 == hashlib.sha256((tmp_path / f"{module}.py").read_bytes()).hexdigest()
    rule = load(f"{module}:Rule", parameters=(), times=2, bounds={"low": 1})()
    assert (rule.times, rule.bounds.low) == (2, 1.0)
    assert load(f"{module}:anything", a=1, b="x")(None) == {"a": 1, "b": "x"}


def test_the_digest_is_of_the_code_that_runs_not_of_what_the_file_became(module: str, tmp_path: Path) -> None:
    before = load(f"{module}:reward").sha256
    (tmp_path / f"{module}.py").write_text(SOURCE + "\n# another\n")
    assert load(f"{module}:reward").sha256 == before


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        ("no_such_module_at_all:x", {}, "module no_such_module_at_all was not found.*PYTHONPATH.*working directory"),
        ("{}.deeper:x", {}, r"the module own_module_\d+\.deeper was not found"),
        ("{}:rewards", {}, r"has no 'rewards'\. Did you mean 'reward'\?"),
        (
            "{}:number",
            {},
            r"is int; a reward is something to call that takes \(rollout, \.\.\.\), its own settings last",
        ),
        ("{}:none", {}, r"takes \(\); a reward is something to call that takes \(rollout, \.\.\.\)"),
        ("{}:swapped", {}, r"takes \(share, rollout\); a reward"),
        (
            "{}:reward",
            {"shar": 1},
            r"rl\.reward\.settings\.shar: no such setting \(did you mean rl\.reward\.settings\.share",
        ),
        ("{}:reward", {"zzz": 1}, r"settings\.zzz: no such setting \(known here: share, unit\)"),
        ("{}:reward", {"share": 2}, r"settings\.share: Input should be less than or equal to 1 \(got 2\)"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(module: str, path: str, settings: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=message):
        load(path.format(module), **settings)


def test_a_setting_without_a_default_has_to_be_given_and_one_of_a_model_is_checked_by_it(module: str) -> None:
    with pytest.raises(ConfigError, match=r"rl\.reward\.settings\.times: missing"):
        load(f"{module}:Rule", parameters=())
    with pytest.raises(ConfigError, match=r"rl\.reward\.settings\.bounds\.low: Input should be a valid number"):
        load(f"{module}:Rule", parameters=(), times=1, bounds={"low": "x"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library_at_all", r"fails: ModuleNotFoundError: No module named 'no_such_library_at_all'"),
        ("def broken(:", "fails: SyntaxError"),
        ("raise ValueError('on purpose')", "fails: ValueError: on purpose"),
        ("raise SystemExit(3)", "fails: SystemExit: 3"),
    ],
)
def test_a_module_that_fails_to_import_says_its_own_error(
    source: str, message: str, module: str, tmp_path: Path
) -> None:
    (tmp_path / f"{module}_broken.py").write_text(source)
    with pytest.raises(ConfigError, match=message):
        load(f"{module}_broken:reward")


def test_a_folder_without_code_is_named(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}_folder").mkdir()
    with pytest.raises(ConfigError, match="is a folder without a file __init__"):
        load(f"{module}_folder:reward")


def test_no_file_in_the_working_directory_takes_the_place_of_an_installed_module(module: str, tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("raise ValueError('the wrong one')")
    assert load("colorsys:rgb_to_hls", parameters=("r", "g", "b"))(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)


def test_an_engine_and_a_teacher_are_names_or_import_paths_with_settings() -> None:
    config = load_recipe(
        "demo",
        [
            "rollout.engine=mine.engines:Own",
            "rollout.engine.settings.folder=tape",
            'teacher.sources=["dataset", "mine:lookup"]',
            "teacher.sources.1.settings.path=x",
        ],
    )
    own = PluginConfig(kind="mine.engines:Own", settings={"folder": "tape"})
    assert config.rollout.engine == own
    assert config.teacher.sources == ("dataset", PluginConfig(kind="mine:lookup", settings={"path": "x"}))
    assert validated(config.model_dump(mode="json"), origin="run.json") == config
    assert load_recipe("demo", ["rollout.engine=vllm"]).rollout.engine == "vllm"
    moved = load_recipe("demo", ["rollout.engine=mine.engines:Own", 'teacher.sources=["dataset", "mine:other"]'])
    assert {line.partition(":")[0] for line in differences(config, moved)} == {
        "rollout.engine.settings",
        "teacher.sources.1.kind",
        "teacher.sources.1.settings",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["rollout.engine=gpt"], "rollout.engine: it is one of 'transformers', 'vllm' or the import path of your own"),
        (['rollout.engine={kind="vllm"}'], "rollout.engine: it is one of"),
        (["rollout.engine=my engine:x"], r"rollout\.engine\.kind: String should match pattern"),
        (["rollout.engine_settings.x=1"], r"rollout\.engine_settings: no such key"),
        (['rollout.engine={kind="m:E", setings={}}'], r"setings: no such key \(did you mean rollout\.engine\.settings"),
        (['teacher.sources=["datset"]'], r"teacher\.sources\.0: it is one of 'dataset', 'api' or the import path"),
        (['teacher.sources=[{kind="m:f", setting={}}]'], r"did you mean teacher\.sources\.0\.settings\?"),
        (['teacher.sources=["m:f", "m:f"]'], "sources names one twice: m:f, m:f"),
        (['teacher.sources=["dataset"]', "teacher.sources.0.settings.x=1"], "0 is no section in that list of 1"),
    ],
)
def test_what_names_neither_is_refused_by_its_key(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", settings)


def test_a_setting_may_be_called_what_pydantic_keeps_for_itself(module):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plugin = load(f"{module}:odd", model_config=4, _deep=5, copy=6)
    assert plugin.settings == {"model_config": 4, "_deep": 5, "copy": 6}


@pytest.mark.parametrize("name", ["called", "prepared"])
def test_settings_of_an_object_and_of_a_partial_are_checked_as_their_functions_say(module, name):
    assert load(f"{module}:{name}", share="0.75").settings == {"share": 0.75}
    with pytest.raises(ConfigError, match=r"rl\.reward\.settings\.share: Input should be less than or equal to 1"):
        load(f"{module}:{name}", share=2)


@pytest.mark.parametrize("name", ["later", "later_too"])
def test_what_would_have_to_be_awaited_is_refused(module, name):
    with pytest.raises(ConfigError, match="is an async function, which nobody awaits"):
        load(f"{module}:{name}")


def test_a_module_that_fails_over_a_name_and_one_without_a_file_are_named(module):
    with pytest.raises(ConfigError, match="asking for 'lazy' fails: RuntimeError: lazy"):
        load(f"{module}:lazy")
    with pytest.raises(ConfigError, match="time is a part of Python itself"):
        load("time:sleep")


def test_a_module_may_raise_whatever_it_likes(module):
    Path("raises_its_own.py").write_text("class Own(BaseException): pass\nraise Own('at once')\n")
    with pytest.raises(ConfigError, match="importing raises_its_own fails: Own: at once"):
        load("raises_its_own:x")
