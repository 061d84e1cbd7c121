"""What is refused before any run begins, and what stands already."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from relift.errors import ConfigError, DataError, StoreError
from relift.study.comparison import Comparison, open_comparison, require_unchanged, standing
from relift.study.files import run_file
from relift.study.results import RunResult
from relift.study.settings import departures
from relift.study.study import load_study
from relift.study.whole import study_result
from tests.study.run_results import run_result

STUDY = """
recipe = "demo"
seeds = [1, 2]
planned = [["relift", "grpo"]]
[budget]
rollouts = 640
[set]
questions.count = 100
[evaluation]
questions = 4
[methods.relift]
[methods.grpo]
sft = "off"
[methods.rest]
budget.demonstrations = "relift"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(STUDY)
    return tmp_path


def opened(folder: Path, *settings: str, only: tuple[str, int] | None = None) -> Comparison:
    study = load_study(folder / "tiny.toml", settings)
    return open_comparison(study, folder / "docs", command="relift compare", keep=False, order="seeds", only=only)


def write_result(folder: Path, method: str, seed: int, *, questions: str | None = None) -> RunResult:
    """As that run would have come to."""
    study = load_study(folder / "tiny.toml")
    config = study.config(study.methods[method], seed, {"relift": run_result()})
    result = run_result(method, seed, settings=departures(config))
    result = dataclasses.replace(result, made_from={"questions": questions or "d"})
    result.write(run_file(folder / "docs", "tiny", method, seed))
    return result


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "tiny.toml"
    file.write_text(file.read_text().replace(old, new))


def names(comparison: Comparison) -> list[str]:
    return [f"{run}{' again' if run.again else ''}" for run in comparison.waiting]


def test_what_waits_for_another_run_begins_after_it(folder: Path) -> None:
    comparison = opened(folder, only=("rest", 1))
    assert names(comparison) == ["rest-1", "relift-1"]
    first = comparison.next_run()
    assert str(first) == "relift-1" and comparison.next_run() is None
    comparison.results["relift", 1] = run_result(demonstrations=7)
    last = comparison.next_run()
    assert last and comparison.config(last).budget.demonstrations == 7


def test_a_study_that_has_not_changed_goes_on_with_what_is_missing(folder: Path) -> None:
    for method in ("relift", "grpo", "rest"):
        write_result(folder, method, 1)
    study = load_study(folder / "tiny.toml")
    results = standing(study, folder / "docs")
    assert sorted(results) == [("grpo", 1), ("relift", 1), ("rest", 1)]
    require_unchanged(study, results, folder / "docs")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("questions.count = 100", "questions.count = 101", [r"relift-1: questions\.count: 100 -> 101", "grpo-1: q"]),
        ("questions = 4", "questions = 5", [r"grpo-1: evaluation\.questions: 4 -> 5"]),
        ("rollouts = 640", "rollouts = 1280", [r"budget\.rollouts: 640 -> 1280"]),
        ('sft = "off"', "", [r"grpo-1: sft: None -> default"]),
        ('recipe = "demo"', 'recipe = "mine.toml"', [r"relift-1: rollout\.samples: default -> 4"]),
        ('planned = [["relift", "grpo"]]', 'planned = [["relift", "rest"]]', ["relift - grpo: planned -> not planned"]),
        ("[methods.grpo]", "[methods.grpo]\nreference = true", [r"grpo-1: reference: False -> True"]),
    ],
)  # fmt: skip
def test_a_study_that_changed_after_some_of_its_runs_ended_is_refused_and_shown(
    folder: Path, old: str, new: str, lines: Sequence[str]
) -> None:
    recipe = (Path(__file__).parents[2] / "relift/recipes/demo.toml").read_text()
    (folder / "mine.toml").write_text(recipe.replace("samples = 8", "samples = 4"))
    results = {(m, 1): write_result(folder, m, 1) for m in ("relift", "grpo")}
    whole = study_result(load_study(folder / "tiny.toml"), results, command="", versions={})
    whole.write(folder / "docs" / "tiny.json")
    change(folder, old, new)
    with pytest.raises(ConfigError, match="has changed since 2 of its runs ended") as refused:
        opened(folder)
    for line in lines:
        with pytest.raises(ConfigError, match=line):
            raise refused.value


def test_questions_that_have_changed_since_are_refused(folder: Path) -> None:
    write_result(folder, "grpo", 1, questions="others")
    with pytest.raises(ConfigError, match="asked other questions than 'grpo'"):
        opened(folder, only=("relift", 1))


def test_what_was_made_from_other_weights_elsewhere_is_refused(folder: Path) -> None:
    for method, weights in (("grpo", "b"), ("relift", "c")):
        result = dataclasses.replace(
            write_result(folder, method, 1), made_from={"questions": "d", "base weights": weights}
        )
        result.write(run_file(folder / "docs", "tiny", method, 1))
    with pytest.raises(DataError, match=r"grpo-1 and relift-1 have the same settings.*made from other base weights"):
        opened(folder)


def test_methods_that_are_asked_other_questions_or_evaluated_otherwise_are_refused(folder: Path) -> None:
    change(folder, 'sft = "off"', "questions.count = 99")
    with pytest.raises(ConfigError, match="'grpo' is asked other questions than 'relift'"):
        opened(folder)
    change(folder, "questions.count = 99", "evaluation.samples = 2")
    with pytest.raises(ConfigError, match=r"'grpo' is evaluated otherwise than 'relift' \(evaluation.samples"):
        opened(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('sft = "off"', "reference = true", "'grpo' samples rollouts, so it is no reference row"),
        (
            'sft = "off"',
            'sft = "off"\nrl = "off"\nwarm_start.demonstrations = "all"',
            "'grpo' samples no rollouts.*reference = true",
        ),
        ("questions.count = 100", "iterations = 1", "'relift' ends by iterations=1, 512 rollouts, before.* the 640"),
    ],
)
def test_a_budget_that_a_method_could_not_spend_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    change(folder, old, new)
    with pytest.raises(ConfigError, match=message):
        opened(folder)


def test_accuracy_may_be_that_of_named_families_alone(folder: Path) -> None:
    change(folder, "seeds = [1, 2]", 'seeds = [1, 2]\nmeasured = ["mul9"]')
    with pytest.raises(ConfigError, match=r"measured names 'mul9', of which no question is held out. Known: add3"):
        opened(folder, only=("grpo", 1))
    change(folder, "mul9", "mul2")
    write_result(folder, "grpo", 1)
    with pytest.raises(ConfigError, match="grpo-1: measured: all -> mul2"):
        opened(folder)


def test_a_result_under_another_runs_name_is_refused(folder: Path) -> None:
    write_result(folder, "grpo", 1)
    run_file(folder / "docs", "tiny", "grpo", 1).rename(run_file(folder / "docs", "tiny", "relift", 1))
    with pytest.raises(DataError, match="holds the run grpo-1"):
        opened(folder)


def test_a_folder_that_cannot_be_written_and_a_run_that_is_none_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--only relift:3 is no run.*seeds: 1, 2"):
        opened(folder, only=("relift", 3))
    (folder / "docs").rename(folder / "gone")
    (folder / "docs").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        opened(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["rollout.max_tokens=100"], "(?s)method 'relift' .* tokens, but arithmetic has a context of 128"),
        (["teacher.sources=['imported']", "teach.rule={kind='nowhere:Rule'}"], "method 'relift'"),
        (["policy.model=nowhere"], "method 'relift' .*nowhere"),
        (["evaluation=off"], "evaluation is off, so there would be nothing to compare"),
    ],
)
def test_what_no_run_could_begin_with_is_refused_by_its_method(folder: Path, settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(folder, *settings)


def test_guidance_that_could_give_nothing_is_refused_by_its_method(folder: Path) -> None:
    change(folder, "[methods.rest]", '[methods.guided]\nteach.rule = { kind = "guided" }\n[methods.rest]')
    opened(folder)
    with pytest.raises(ConfigError, match=r"(?s)method 'guided' .*rollout.max_tokens=4 can give no beginning"):
        opened(folder, "rollout.max_tokens=4")


def own_questions(folder: Path, *, solutions: bool) -> None:
    """A recipe on questions of one's own, in the place of the study's."""
    rows = [{"question": f"{i}+{i}?", "answer": str(2 * i), "solution": str(2 * i)} for i in range(11, 60)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    column = 'solution_column = "solution"' if solutions else ""
    (folder / "mine.toml").write_text(f"""
[questions]
path = "{folder / "mine.jsonl"}"
answer_form = "equals"
batch_size = 16
held_out_share = 0.2
{column}
[policy]
model = "arithmetic"
max_prompt_tokens = 48
[rollout]
max_tokens = 48
[teacher]
max_tokens = 48
[rl]
questions_per_update = 8
[teach.rule]
batch_size = 4
""")
    change(folder, "questions.count = 100", "")
    change(folder, 'recipe = "demo"', 'recipe = "mine.toml"')


def test_a_method_that_teaches_needs_demonstrations(folder: Path) -> None:
    own_questions(folder, solutions=False)
    with pytest.raises(ConfigError, match=r"method 'relift' .*no training question has a solution"):
        opened(folder)
    own_questions(folder, solutions=True)
    assert len(opened(folder).waiting) == 6


def test_a_benchmark_that_holds_training_questions_is_refused_and_they_are_listed(folder: Path) -> None:
    own_questions(folder, solutions=True)
    (folder / "bench.jsonl").write_text('{"question": "12+12?", "answer": "24"}\n{"question": "1+2?", "answer": "3"}\n')
    bench = f"evaluation.benchmarks=[{{name='bench', path='{folder / 'bench.jsonl'}'}}]"
    with pytest.raises(ConfigError, match=r"1 questions of the dataset stand in a benchmark, .*'12\+12\?' in bench"):
        opened(folder, bench)
