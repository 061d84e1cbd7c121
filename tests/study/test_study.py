from __future__ import annotations

from pathlib import Path

import pytest

from relift.config.recipe import load_recipe
from relift.errors import ConfigError
from relift.study.settings import as_settings, changed, departures, laid_over, nested
from relift.study.study import Study, load_study
from tests.study.run_results import run_result

HEAD = 'recipe = "demo"\nseeds = [1, 2]\n[budget]\nrollouts = 64000\n'
TWO = HEAD + "[methods.relift]\n[methods.grpo]\nsft = 'off'\n"


def study(folder: Path, text: str, *settings: str) -> Study:
    file = folder / "tiny.toml"
    file.write_text(text)
    return load_study(file, settings)


def test_each_method_is_the_recipe_with_its_own_settings_on_top_and_those_of_the_command_line_over_all(
    tmp_path: Path,
) -> None:
    text = TWO.replace(
        "[methods", "[set]\nrollout.samples = 4\n'rl.optimizer.lr' = 0.5\n[evaluation]\nquestions = 7\n[methods", 1
    )
    found = study(tmp_path, text, "rl.optimizer.lr=0.25")
    config = found.config(found.methods["grpo"], 2, {})
    assert (config.seed, config.sft, config.rollout.samples, config.rl and config.rl.optimizer.lr) == (2, None, 4, 0.25)
    assert config.evaluation and config.evaluation.questions == 7
    assert config.questions == load_recipe("demo").questions
    assert (config.budget.rollouts, config.policy.threads) == (64000, 1)


def test_families_take_the_place_of_the_recipes_and_a_section_is_added_to(tmp_path: Path) -> None:
    text = HEAD + "[set.questions]\nfamilies = { add2 = 0.5, mul3 = 0.5 }\ncount = 100\n[methods.relift]\n"
    found = study(tmp_path, text)
    questions = found.config(found.methods["relift"], 1, {}).questions
    assert questions.families == {"add2": 0.5, "mul3": 0.5}
    assert (questions.count, questions.batch_size) == (100, 64)


def test_a_value_may_be_what_another_methods_run_of_that_seed_came_to(tmp_path: Path) -> None:
    text = TWO + "[methods.sft-then-rl-n]\nsft = 'off'\nbudget.demonstrations = 'relift'\n"
    found = study(
        tmp_path,
        text.replace("rollouts = 64000", "update_flops = 'relift'") + "[methods.relift.budget]\nrollouts = 64000\n",
    )
    method = found.methods["sft-then-rl-n"]
    assert method.waits_for == ("relift",)
    budget = found.config(method, 1, {"relift": run_result(update_flops=5e9, demonstrations=123)}).budget
    assert (budget.rollouts, budget.update_flops, budget.demonstrations) == (None, 5e9, 123)
    assert found.methods["relift"].waits_for == (), "its own budget is what the others' goes by"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO.replace("[1, 2]", "[]"), "no seeds"),
        (TWO.replace("[1, 2]", "[1, 2, 1]"), "seed 1 twice"),
        (TWO.replace("[1, 2]", "[-1]"), "seed -1"),
        (TWO.replace("recipe", "receipt"), "(?s)receipt.*recipe: Field required|recipe: Field required"),
        (TWO.replace("demo", "dmo"), r"method 'relift' of .*no recipe 'dmo'. Did you mean 'demo'"),
        (TWO + "[methods.Best]\n", "cannot be called 'Best'"),
        (TWO + "[methods.all]\n", "cannot be called 'all'"),
        ("planned = [['relift', 'grop']]\n" + TWO, "planned names 'grop', which is no method. Methods: relift, grpo"),
        ("planned = [['relift', 'relift']]\n" + TWO, "a pair with itself"),
        ("planned = [['relift', 'grpo']]\nexpected = {'grpo - relift' = 0.2}\n" + TWO, "which is not planned"),
        ("against = ['sft']\n" + TWO, "against names 'sft'"),
        (TWO.replace("rollouts", "seconds"), "seconds are no budget"),
        (TWO.replace("rollouts", "rolouts"), "budget.rolouts is none of"),
        (TWO.replace("rollouts = 64000", ""), "no budget in common"),
        (TWO.replace("64000", "0"), "leaves nothing to train"),
        (TWO.replace("64000", "'sft'"), "budget.rollouts of 'relift' is 'sft', which is no method"),
        (TWO.replace("64000", "64000\nupdate_flops = 1e9"), "runs of 'relift' end by whichever of rollouts"),
        (TWO + "budget.update_flops = 1e9\n", "runs of 'grpo' end by whichever"),
        (TWO.replace("64000", "'grpo'"), "nothing ends the runs of 'grpo'"),
        (TWO + "budget.rollouts = 5\n", "budget.rollouts is 5 and that of all methods 64000"),
        (TWO + "budget.demonstrations = 'grpo'\n", "waits for its own run"),
        (
            TWO + "budget.demonstrations = 'relift'\n[methods.relift.budget]\ndemonstrations = 'grpo'\n",
            "relift -> grpo -> relift",
        ),
        (TWO + "reference = 'yes'\n", "write true or false"),
        (TWO + "rl.optimiser.lr = 1\n", "(?s)method 'grpo' of .*optimiser: no such key"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_run_is_refused_by_what_is_wrong_with_it(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        found = study(tmp_path, text)
        for method in found.methods.values():
            found.config(method, 1, None)


def test_what_goes_by_a_run_that_taught_nothing_can_be_run(tmp_path: Path) -> None:
    warm = "warm_start.demonstrations = 'relift'\n"
    text = (
        TWO
        + f"budget.demonstrations = 'relift'\n{warm}[methods.sft-n]\nreference = true\nrl = 'off'\nsft = 'off'\n{warm}"
    )
    found = study(tmp_path, text)
    none = {"relift": run_result(demonstrations=0)}
    config = found.config(found.methods["grpo"], 1, none)
    assert config.warm_start and (config.budget.demonstrations, config.warm_start.updates) == (0, 0)
    alone = found.config(found.methods["sft-n"], 1, none)
    assert not alone.has_iterations and not alone.needs_teachers


def test_the_command_line_may_not_make_a_run_what_the_study_does_not_call_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--set seed=5"):
        study(tmp_path, TWO, "seed=5")


def test_a_setting_of_the_command_line_leaves_a_method_what_makes_it_that_method(tmp_path: Path) -> None:
    found = study(tmp_path, TWO, "sft.epochs=2")
    assert found.config(found.methods["grpo"], 1, {}).sft is None
    with pytest.raises(ConfigError, match=r"--set sft.epochs=2 would change nothing: every method"):
        study(tmp_path, TWO.replace("[methods.relift]", "[methods.relift]\nsft.epochs = 1"), "sft.epochs=2")


def test_runs_come_by_seed_or_by_method(tmp_path: Path) -> None:
    found = study(tmp_path, TWO)
    assert [f"{m.name}-{s}" for m, s in found.runs()] == ["relift-1", "grpo-1", "relift-2", "grpo-2"]
    assert [f"{m.name}-{s}" for m, s in found.runs("methods")] == ["relift-1", "relift-2", "grpo-1", "grpo-2"]


def test_settings_of_another_kind_leave_with_it() -> None:
    below = {"teach": {"rule": {"kind": "relift", "batch_size": 8}}}
    assert laid_over(below, {"teach": {"rule": {"batch_size": 4}}}) == {
        "teach": {"rule": {"kind": "relift", "batch_size": 4}}
    }
    assert laid_over(below, {"teach": {"rule": {"kind": "random"}}}) == {"teach": {"rule": {"kind": "random"}}}
    assert laid_over({"sft": "off"}, {"sft": {"epochs": 2}}) == {"sft": {"epochs": 2}}


def test_tables_become_the_settings_that_say_the_same() -> None:
    tree = nested(
        {"rl.scale": "std", "questions": {"families": {"add2": 0.5}}, "probe": {"after": [1, 5]}, "rl": {"kl": "off"}}
    )
    settings = as_settings(tree)
    assert settings == ['rl.scale="std"', 'rl.kl="off"', 'questions.families={"add2" = 0.5}', "probe.after=[1, 5]"]
    config = load_recipe("demo", settings)
    assert config.questions.families == {"add2": 0.5} and config.probe and config.probe.after == (1, 5)


def test_a_setting_at_its_default_is_the_same_as_one_that_was_not_there_yet() -> None:
    demo = departures(load_recipe("demo"))
    assert demo == departures(load_recipe("demo", ["buffer.leave_when_solved=true", "store=elsewhere", "rl.kl=off"]))
    assert changed(demo, departures(load_recipe("demo", ["rl.kl={}", "sft=off"])))[0] == "rl.kl: default -> KlConfig"
    assert "sft: default -> None" in changed(demo, departures(load_recipe("demo", ["sft=off"])))
    assert changed(demo, departures(load_recipe("demo", ["iterations=3"]))) == ["iterations: default -> 3"]
