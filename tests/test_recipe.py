"""Recipes and settings: what they make, and what they say to a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from relift.errors import ConfigError
from relift.recipe import differences, fingerprint, load_recipe


def test_settings_are_read_as_toml_and_fall_back_to_text() -> None:
    config = load_recipe(
        "demo", ["rollout.samples=16", "gate.counts=['wrong', 'truncated']", "store=some/where", "rl.clip=off"]
    )
    assert config.rollout.samples == 16
    assert [s.value for s in config.gate.counts] == ["wrong", "truncated"]
    assert config.store == "some/where"
    assert config.rl.clip is None


def test_sft_off_is_plain_grpo_with_every_other_value_equal() -> None:
    relift, grpo = load_recipe("demo"), load_recipe("demo", ["sft=off"])
    assert grpo.sft is None
    assert {line.split(".")[0].split(":")[0] for line in differences(relift, grpo)} == {"sft"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rl.clp=3", r"rl\.clp: no such key \(did you mean rl\.clip\?\)"),
        ("nonsense=3", r"nonsense: no such key \(known here: "),
        ("sft.batchsize=3", r"did you mean sft\.batch_size"),
        ("rollout.samples=many", r"rollout\.samples: .* \(got 'many'\)"),
        ("rollout.samples=1", r"rollout\.samples: .*greater than or equal to 2"),
        ("gate.counts=['correct']", "count some of wrong"),
        ("buffer.capacity=3", r"sft\.batch_size=32 can never be reached"),
        ("sft.minibatch=64", "larger than sft.batch_size"),
        ("rl.questions_per_update=1000", "lower it to at most the batch"),
        ("questions.format=gsm8k", r"questions\.families would be ignored"),
        ("rollout.samples", "is not of the form a.b=value"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_to_do(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", [setting])


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        load_recipe("dem")


def test_a_recipe_of_ones_own_is_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[questions]\nformat = "rows"\npath = "q.jsonl"\n')
    assert load_recipe(str(path)).recipe == "mine"
    path.write_text("[questions\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_recipe(str(path))
    path.write_text("seed = 1\n")
    with pytest.raises(ConfigError, match="questions: missing"):
        load_recipe(str(path))


def test_what_may_change_leaves_the_fingerprint_and_nothing_else_does() -> None:
    base = load_recipe("demo")
    for setting in (
        "iterations=3",
        "checkpoint.every=2",
        "checkpoint.keep=9",
        "store=elsewhere",
        "ledger.publish_seconds=5",
        "policy.model=elsewhere",
    ):
        assert fingerprint(load_recipe("demo", [setting])) == fingerprint(base), setting
    for setting in ("seed=1", "rl.optimizer.lr=1e-3", "sft=off", "policy.threads=2", "questions.families.add3=0.5"):
        assert fingerprint(load_recipe("demo", [setting])) != fingerprint(base), setting
    assert differences(base, load_recipe("demo", ["seed=1"])) == ["seed: 0 -> 1"]


def test_where_a_benchmark_lies_may_change_and_nothing_else_of_it() -> None:
    benchmark = ["evaluation.benchmarks=[{name='aime', path='here.jsonl', questions=30}]"]
    base = load_recipe("demo", benchmark)
    moved = load_recipe("demo", [*benchmark, "evaluation.benchmarks.0.path=there.jsonl"])
    assert moved.evaluation is not None and moved.evaluation.benchmarks[0].path == "there.jsonl"
    assert (differences(base, moved), fingerprint(base)) == ([], fingerprint(moved))
    other = load_recipe("demo", [*benchmark, "evaluation.benchmarks.0.questions=20"])
    assert differences(base, other) == ["evaluation.benchmarks.0.questions: 30 -> 20"]
    assert len({fingerprint(base), fingerprint(other), fingerprint(load_recipe("demo"))}) == 3
    for setting, message in (
        ("benchmarks.1.path=x", "1 is no section in that list of 1"),
        ("benchmarks.x=1", "a list"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_recipe("demo", [*benchmark, f"evaluation.{setting}"])


def test_the_defaults_are_the_published_method() -> None:
    config = load_recipe("paper-v2")
    assert (config.questions.batch_size, config.rollout.samples, config.rl.questions_per_update) == (128, 8, 64)
    assert config.sft is not None and config.rl.clip is not None
    assert (config.sft.batch_size, config.sft.epochs, config.sft.entropy_weight) == (64, 1, 1e-4)
    assert (config.rl.clip.low, config.rl.clip.high, config.rl.clip.dual) == (0.2, 0.28, 3.0)
    assert (config.rl.scale, config.rl.aggregation, config.rl.entropy_weight) == ("none", "token-mean", 0)
    assert config.rl.optimizer.lr == config.sft.optimizer.lr == 1e-6
    assert config.rl.optimizer.grad_clip == config.sft.optimizer.grad_clip == 0.5
    v1 = load_recipe("paper-v1")
    assert v1.sft is not None
    assert (v1.sft.batch_size, v1.sft.entropy_weight, v1.rl.clip, v1.rl.aggregation) == (128, 1e-3, None, "constant")
