"""Recipes and settings: what they make, and what they say to a mistake."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from relift.config import (
    AdamConfig,
    CispoClipConfig,
    CispoConfig,
    GspoConfig,
    PluginConfig,
    PpoConfig,
    QuestionsConfig,
    RunConfig,
)
from relift.config.policy import TEMPLATE_RESERVED
from relift.config.recipe import RECIPES, differences, fingerprint, leaves, load_recipe, recipe_names, validated
from relift.config.recorded import in_todays_keys
from relift.errors import ConfigError


def test_settings_are_read_as_toml_and_fall_back_to_text() -> None:
    config = load_recipe(
        "demo", ["rollout.samples=16", "gate.counts=['wrong', 'truncated']", "store=some/where", "rl.loss.clip=off"]
    )
    assert config.rollout.samples == 16
    assert [s.value for s in config.gate.counts] == ["wrong", "truncated"]
    assert config.store == "some/where"
    assert config.rl.loss == PpoConfig(clip=None)


def test_what_a_chat_template_asks_for_is_set_by_name_or_as_a_table_and_its_order_says_nothing(tmp_path: Path) -> None:
    one = load_recipe("demo", ["policy.chat_template_kwargs.enable_thinking=false", "policy.chat_template_kwargs.a=1"])
    other = load_recipe("demo", ["policy.chat_template_kwargs={a = 1, enable_thinking = false}"])
    recipe = tmp_path / "mine.toml"
    written = (
        Path(RECIPES) / "demo.toml"
    ).read_text() + "\n[policy.chat_template_kwargs]\nenable_thinking = false\na = 1\n"
    recipe.write_text(written)
    for config in (one, other, load_recipe(str(recipe), ["recipe=demo"])):
        assert config.policy.chat_template_kwargs == {"a": 1, "enable_thinking": False}
        assert type(config.policy.chat_template_kwargs["enable_thinking"]) is bool
        assert fingerprint(config) == fingerprint(one) != fingerprint(load_recipe("demo"))
    assert RunConfig.model_validate_json(one.model_dump_json()) == one
    form = RunConfig.model_json_schema()["$defs"]["PolicyConfig"]["properties"]["chat_template_kwargs"]
    assert form["type"] == "object" and form["description"]


def test_what_the_library_sets_itself_is_no_value_for_a_template() -> None:
    """Every parameter of apply_chat_template, so that a new one of the library is noticed here."""
    import inspect

    from transformers import PreTrainedTokenizerBase
    from transformers.utils.chat_template_utils import render_jinja_template

    functions = (PreTrainedTokenizerBase.apply_chat_template, render_jinja_template)
    named = {name for function in functions for name in inspect.signature(function).parameters}
    assert {*named, *PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES, "messages"} - {"kwargs"} <= TEMPLATE_RESERVED


def test_the_presets_of_the_paper_ask_with_the_system_message_of_the_rows_and_v2_needs_no_closing_tag() -> None:
    presets = {name: load_recipe(name) for name in ("paper-v1", "paper-v2", "math-7b", "math-1.5b")}
    assert {config.policy.system_prompt for config in presets.values()} == {None}
    ignored = [name for name, config in presets.items() if config.questions.thinking == "ignored"]
    assert ignored == ["paper-v2", "math-7b"]


def test_sft_off_is_plain_grpo_with_every_other_value_equal() -> None:
    relift, grpo = load_recipe("demo"), load_recipe("demo", ["sft=off"])
    assert grpo.sft is None
    assert {line.split(".")[0].split(":")[0] for line in differences(relift, grpo)} == {"sft"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rl.los=3", r"rl\.los: no such key \(did you mean rl\.loss\?\)"),
        ("rl.loss.clp=3", r"rl\.loss\.clp: no such key \(did you mean rl\.loss\.clip\?\)"),
        ("rl.loss.kind=cispoo", r"rl\.loss: its kind is one of 'ppo', 'gspo', 'cispo' or the import path"),
        ("rl.loss={kind='cispo', clip={dual=3}}", r"rl\.loss\.clip\.dual: no such key \(known here: low, high\)"),
        ("rl.loss={kind='cispo', clip='off'}", r"rl\.loss\.clip: .*valid dictionary"),
        ("rl.loss={kind='my_losses:', settings={}}", r"rl\.loss\.kind: String should match"),
        ("rl.loss={kind='my_losses:mine', floor=1}", r"rl\.loss\.floor: no such key \(known here: kind, settings\)"),
        ("rl.clip=off", r"rl\.clip has moved: write it as rl\.loss\.clip"),
        ("rl.surrogate=cispo", r"rl\.surrogate has moved: write it as rl\.loss\.kind"),
        ("rl.ratio=sequence", r"rl\.ratio has moved: write rl\.loss\.kind = \"gspo\""),
        ("sft.batch_size=3", r"sft\.batch_size has moved: write it as teach\.rule\.batch_size"),
        ("sft.control_share=0.1", r"sft\.control_share has moved: write it as teach\.control_share"),
        ("teach.control_share=1", r"teach\.control_share: .* leaves no question to teach"),
        ("teach.rule.kind=relif", r"teach\.rule: its kind is one of 'relift', .*or the import path"),
        ("teach.rule.batchsize=3", r"did you mean teach\.rule\.batch_size"),
        ("nonsense=3", r"nonsense: no such key \(known here: "),
        ("sft.batchsize=3", r"sft\.batchsize: no such key"),
        ("rollout.samples=many", r"rollout\.samples: .* \(got 'many'\)"),
        ("rollout.samples=1", r"rollout\.samples: .*greater than or equal to 2"),
        ("gate.counts=['correct']", "count some of wrong"),
        ("buffer.capacity=3", r"teach\.rule\.batch_size=32 can never be reached"),
        ("sft.minibatch=64", "larger than teach.rule.batch_size"),
        ("rl.questions_per_update=1000", "lower it to at most the batch"),
        ("questions.format=gsm8k", r"questions\.families would be ignored"),
        ("rollout.samples", "is not of the form a.b=value"),
        ("teach.rule.batch_size=9000", r"can never be reached: questions\.count lets at most 8000 demonstrations wait"),
        ("rl.overlong.buffer=64", r"rl\.overlong\.buffer=64 is longer than rollout\.max_tokens=48"),
        ("rl.overlong.buffer=0", r"rl\.overlong\.buffer: .*greater than or equal to 1"),
        ("rl.kl.weight=0", r"rl\.kl\.weight: .* reference model for nothing: set rl\.kl='off'"),
        ("rl.kl.estimator=k4", r"rl\.kl\.estimator: .* 'k1', 'k2' or 'k3'"),
        ("rl.correction.high=0.5", r"rl\.correction\.high: the bound 0\.5 is below 1"),
        ("rl.correction.low=0.5", "low would be ignored by mode='truncate'"),
        ("sft.entropy_threshold=0.672", "belongs to token_weights='high-entropy'"),
        ("sft.token_weights=high-entropy", "belongs to token_weights='high-entropy'"),
        ("rl.optimizer.skip_spike=1", r"rl\.optimizer\.skip_spike: .*greater than 1"),
        ("policy.chat_template_kwargs.tokenize=false", r"chat_template_kwargs: tokenize is set by relift"),
        ("policy.chat_template_kwargs.bos_token=x", "bos_token is set by relift and the tokenizer"),
        ("policy.chat_template_kwargs.enable_thinking=[1]", r"takes true, false, a number or a text, got \[1\]"),
        ("policy.chat_template_kwargs=off", "give names and values, such as"),
        ("questions.thinking=off", r"questions\.thinking: .*'must-close' or 'ignored'"),
        ("budget.rollouts=500", r"budget\.rollouts=500 is less than one iteration samples, 512"),
        ("schedule.warmup_iterations=2", r"write it as rl\.optimizer\.schedule and sft\.optimizer\.schedule"),
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["sft.token_weights='p(1-p)'", "sft.entropy_weight=1e-4"], "set sft.entropy_weight=0"),
        (
            ["buffer.max_age=1", "questions.batch_size=32", "teach.rule.batch_size=65"],
            r"buffer\.max_age lets at most 64",
        ),
        (["rl=off", "sft=off"], r"rl='off' leaves nothing to train"),
        (
            ["teach.rule={kind='switch', gate=1}", "sft=off", "sampling.refill.cap=3"],
            r"teach\.rule\.gate=1 lets demonstrations take the places of groups",
        ),
        (
            ["rl=off", "sampling.refill.cap=3"],
            r"sampling\.refill asks questions until the RL batch is full, and rl is off",
        ),
        (["shared_optimizer=true", "sft.optimizer.beta2=0.9"], r"sft\.optimizer\.beta2=0\.9 would be ignored"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", settings)


def test_every_part_of_the_losses_can_be_switched_on_and_off_in_a_setting() -> None:
    config = load_recipe(
        "demo",
        [
            "rl.loss={ kind = 'cispo', clip = { low = 1, high = 5 } }",
            "rl.kl.weight=0.001",
            "rl.correction={ level = 'sequence', mode = 'mask', high = 5, low = 0.5 }",
            "rl.overlong.buffer=8",
            "sft.token_weights='p(1-p)'",
        ],
    )
    assert config.rl.loss == CispoConfig(clip=CispoClipConfig(low=1, high=5))
    assert config.rl.kl is not None and config.rl.correction is not None
    assert (config.rl.kl.weight, config.rl.kl.estimator) == (0.001, "k3")
    assert (config.rl.correction.level, config.rl.correction.low) == ("sequence", 0.5)
    off = load_recipe("grpo", ["rl.kl=off", "rl.correction=off", "rl.overlong=off"]).rl
    assert (off.kl, off.correction, off.overlong) == (None, None, None)


METHOD = Path(__file__).parents[2] / "docs/method.md"


def test_another_kind_of_loss_begins_with_its_own_defaults_and_takes_its_own_settings(tmp_path: Path) -> None:
    for settings in (["rl.loss.kind=gspo"], ["rl.loss=gspo"]):  # the demo's clip of ppo leaves with it
        assert load_recipe("demo", settings).rl.loss == GspoConfig()
    for settings in (["rl.loss.clip.high=5", "rl.loss.kind=cispo"], ["rl.loss=cispo", "rl.loss.clip.high=5"]):
        assert load_recipe("demo", settings).rl.loss == CispoConfig(clip=CispoClipConfig(high=5))
    own = load_recipe("demo", ["rl.loss=mine.losses:floored", "rl.loss.settings.b=1", "rl.loss.settings.a=[2]"])
    assert own.rl.loss == PluginConfig(kind="mine.losses:floored", settings={"a": [2], "b": 1})
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[questions]\n[rl.loss]\nkind = "mine.losses:floored"\nsettings = { b = 1, a = [2] }\n')
    assert repr(load_recipe(str(recipe)).rl.loss) == repr(own.rl.loss)
    assert RunConfig.model_validate_json(own.model_dump_json()) == own
    assert fingerprint(own) != fingerprint(load_recipe("demo", ["rl.loss=mine.losses:floored"]))


@pytest.mark.parametrize(
    ("surrogate", "ratio", "clip", "loss"),
    [
        ("ppo", "token", None, PpoConfig(clip=None)),
        (
            "ppo",
            "sequence",
            {"low": 0.1, "high": 0.2, "dual": 3.0},
            GspoConfig(clip={"low": 0.1, "high": 0.2, "dual": 3.0}),
        ),
        ("cispo", "token", {"low": 1.0, "high": 5.0, "dual": None}, CispoConfig(clip={"low": 1.0, "high": 5.0})),
    ],
)
def test_what_an_earlier_run_recorded_of_its_loss_means_what_it_meant(
    surrogate: str, ratio: str, clip: object, loss: object
) -> None:
    tree = load_recipe("demo").model_dump(mode="json")
    del tree["rl"]["loss"]
    tree["rl"] |= {"surrogate": surrogate, "ratio": ratio, "clip": clip}
    assert validated(in_todays_keys(tree), origin="run.json").rl.loss == loss
    today = load_recipe("demo").model_dump(mode="json")
    assert in_todays_keys(today) == today


# What method.md (section 2) and the papers say, written out by hand; None is "off".
PRESETS: dict[str, dict[str, object]] = {
    "paper-v1": {
        "questions.batch_size": 128,
        "rollout.samples": 8,
        "rollout.temperature": 1.0,
        "rollout.max_tokens": 8192,
        "policy.max_prompt_tokens": 1024,
        "teacher.max_tokens": 8192,
        "rl.questions_per_update": 64,
        "rl.scale": "none",
        "rl.aggregation": "constant",
        "rl.loss.kind": "ppo",
        "rl.loss.clip": None,
        "rl.kl": None,
        "rl.correction": None,
        "rl.overlong": None,
        "rl.truncated": "zero",
        "rl.entropy_weight": 1e-3,
        "rl.optimizer": (1e-6, 0.9, 0.999, 0.01, 0.7, 0),
        "teach.rule.batch_size": 128,
        "sft.epochs": 1,
        "sft.minibatch": None,
        "sft.entropy_weight": 1e-3,
        "sft.token_weights": "none",
        "teach.rule.max_updates_per_iteration": 1,
        "sft.own_correct": 0,
        "sft.optimizer": (1e-6, 0.9, 0.999, 0.01, 1.0, 0),
        "shared_optimizer": False,
        "evaluation.temperature": 0.6,
        "evaluation.every": 10,
    },
    "grpo": {  # arXiv 2402.03300, section 4.2; clip range and gradient clip: TRL
        "questions.batch_size": 1024 // 64,
        "rollout.samples": 64,
        "rollout.temperature": 1.0,
        "rollout.max_tokens": 1024,
        "rl.questions_per_update": 1024 // 64,
        "rl.scale": "std",
        "rl.aggregation": "seq-mean",
        "rl.loss.kind": "ppo",
        "rl.loss.clip": (0.2, 0.2, None),
        "rl.kl": (0.04, "k3"),
        "rl.correction": None,
        "rl.overlong": None,
        "rl.truncated": "zero",
        "rl.entropy_weight": 0,
        "rl.optimizer": (1e-6, 0.9, 0.999, 0.01, 1.0, 0),
        "sft": None,
    },
    "dr-grpo": {  # arXiv 2503.20783; its script and the defaults of oat, whose steps are of 128 completions
        "questions.batch_size": 128,
        "rollout.samples": 8,
        "rollout.temperature": 1.0,
        "rollout.max_tokens": 3000,
        "policy.max_prompt_tokens": 1024,
        "rl.questions_per_update": 128 // 8,
        "rl.scale": "none",
        "rl.aggregation": "constant",
        "rl.loss.kind": "ppo",
        "rl.loss.clip": (0.2, 0.2, None),
        "rl.kl": None,
        "rl.correction": None,
        "rl.overlong": None,
        "rl.truncated": "zero",
        "rl.entropy_weight": 0,
        "rl.optimizer": (1e-6, 0.9, 0.95, 0.0, 1.0, 0),
        "sft": None,
    },
    "dapo": {  # arXiv 2503.14476, section 4.1; weight decay, gradient clip and prompts: its script
        "questions.batch_size": 512,
        "rollout.samples": 16,
        "rollout.temperature": 1.0,
        "rollout.max_tokens": 16384 + 4096,
        "policy.max_prompt_tokens": 2048,
        "rl.questions_per_update": 512 // 16,  # 16 optimizer steps a batch
        "rl.scale": "std",
        "rl.aggregation": "token-mean",
        "rl.loss.kind": "ppo",
        "rl.loss.clip": (0.2, 0.28, None),
        "rl.kl": None,
        "rl.correction": None,
        "rl.overlong": (4096, 0.5),  # 1 for rewards of -1 and 1
        "rl.truncated": "zero",
        "rl.entropy_weight": 0,
        "rl.optimizer": (1e-6, 0.9, 0.999, 0.1, 1.0, 20),
        "sft": None,
    },
}
PRESETS["paper-v2"] = {
    **PRESETS["paper-v1"],
    "rl.aggregation": "token-mean",
    "rl.loss.clip": (0.2, 0.28, 3.0),
    "rl.entropy_weight": 0,
    "rl.optimizer": (1e-6, 0.9, 0.999, 0.01, 0.5, 0),
    "teach.rule.batch_size": 64,
    "sft.entropy_weight": 1e-4,
    "sft.optimizer": (1e-6, 0.9, 0.999, 0.01, 0.5, 0),
}
OPTIMIZER = ("lr", "beta1", "beta2", "weight_decay", "grad_clip")
PARTS = {"clip": ("low", "high", "dual"), "kl": ("weight", "estimator"), "overlong": ("buffer", "penalty")}


def setting(config: RunConfig, key: str) -> object:
    """Its value; of a section its settings in the order of PARTS, of an optimizer its warm-up last."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    if isinstance(value, AdamConfig):
        assert (value.schedule.hold_share, value.schedule.final_share) == (1, 1), "constant after the warm-up"
        assert (value.skip_above, value.skip_spike) == (None, None)
        return (*(getattr(value, name) for name in OPTIMIZER), value.schedule.warmup_iterations)
    parts = PARTS.get(key.rsplit(".", maxsplit=1)[-1], ())
    return tuple(getattr(value, name) for name in parts) if parts and value is not None else value


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_what_its_paper_says(name: str) -> None:
    config = load_recipe(name)
    assert {key: setting(config, key) for key in PRESETS[name]} == PRESETS[name]


def departures(config: RunConfig, other: RunConfig) -> set[str]:
    """Settings that differ, a section that one of them lacks as one of them."""
    ours, theirs = dict(leaves(config)), dict(leaves(other))
    found = set()
    for key in ours.keys() | theirs.keys():
        if ours.get(key) != theirs.get(key):
            parts = key.split(".")
            sections = (".".join(parts[:n]) for n in range(1, len(parts)))
            found.add(next((section for section in sections if section in ours or section in theirs), key))
    return found - {"recipe"}


def said_in_its_header(recipe: str) -> tuple[str, set[str]]:
    """What a recipe's opening comment compares it with, and the settings it names as others."""
    lines = (RECIPES / f"{recipe}.toml").read_text().splitlines()
    header = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    (start,) = [n for n, line in enumerate(header) if line.startswith("# Differs from ")]
    other = header[start].removeprefix("# Differs from ").split(",")[0].split(":")[0]
    named = set()
    for line in header[start + 1 :]:
        keys = line.removeprefix("#   ").split("  ")[0]  # two blanks part what differs from why
        if keys.strip():
            section, _, names = keys.partition(": ")
            named |= {f"{section}.{name.strip()}" for name in names.split(",")} if names else {section.strip()}
    return other, named


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_names_in_its_header_whatever_it_sets_otherwise_and_nothing_else(name: str) -> None:
    other, named = said_in_its_header(name)
    compared = RunConfig(questions=QuestionsConfig()) if other == "the defaults" else load_recipe(other)
    assert departures(load_recipe(name), compared) == named


def test_the_preset_sets_back_what_is_numbered_as_a_departure() -> None:
    told = METHOD.read_text().partition("## Departures")[2].partition("Of the other methods")[0]
    listed = told.partition("Settings,")[2].partition("Of the method itself")[0]
    assert re.findall(r"^(\d+)\. ", told, flags=re.MULTILINE) == [str(number) for number in range(1, 19)]
    items = re.split(r"^\d+\. ", listed, flags=re.MULTILINE)[1:]
    settings = {item.split("`")[1].split(".")[0] for item in items if not item.startswith("\\* ")}
    published = load_recipe("paper-v2")
    changed = departures(published, RunConfig(questions=QuestionsConfig()))
    model_and_data = {"questions.format", "questions.path", "policy.prompt_suffix"}
    assert {key.split(".")[0] for key in changed - model_and_data} == settings
    assert (published.buffer.leave_when_solved, published.iterations) == (False, 500)
    assert load_recipe("paper-v1").iterations == 3 * 357


def test_both_updates_of_the_demo_keep_one_schedule() -> None:
    config = load_recipe("demo")
    assert config.sft is not None
    for adam in (config.rl.optimizer, config.sft.optimizer):
        schedule = adam.schedule
        assert (schedule.warmup_iterations, schedule.hold_share, schedule.final_share) == (4, 0.5, 0.1)
