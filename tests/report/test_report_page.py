import dataclasses
import re

import pytest
from run_folder import (
    demo_summary,
    iteration,
    result,
    write_config,
    write_demo,
    write_evaluation,
    write_metrics,
    write_questions,
)

from relift.config.recipe import load_recipe
from relift.errors import StoreError
from relift.records import Question, question_id
from relift.report import write_report
from relift.report.page import readable
from relift.run.summary import FamilyScore, RunSummary

PNG = b"\x89PNG\r\n\x1a\n"
EMPTY = RunSummary(run="bare-0", recipe="demo", seed=3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "demo-0"
    write_demo(root)
    write_config(root, load_recipe("demo", ["rollout.samples=16", "sft=off", f"store={root}"]))
    files = write_report(root, demo_summary())
    return root, files, files[0].read_text()


def words(page: str) -> str:
    """The page as it reads: without tags, blanks folded."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_the_page_and_three_figures_are_written(demo):
    root, files, _ = demo
    assert [path.relative_to(root).as_posix() for path in files] == [
        "report/index.html",
        "report/accuracy.png",
        "report/interleave.png",
        "report/seconds.png",
    ]
    assert all(path.read_bytes().startswith(PNG) for path in files[1:])


def test_the_page_needs_nothing_from_elsewhere(demo):
    page = demo[2]
    assert "http:" not in page and "https:" not in page and "<script" not in page and "@import" not in page
    sources = re.findall(r'src="([^"]+)"', page)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,iVBORw0KGgo") for source in sources)
    assert re.findall(r'href="', page) == []


def test_every_family_stands_in_the_table_with_its_numbers(demo):
    read = words(demo[2])
    assert "add3 mastered 99.5 % 97.8 % −1.7 95.8 to 99.8 %" in read
    assert "add5 border 12.0 % 91.2 % +79.2 89.2 to 93.2 %" in read
    assert "mul2 unreached 0.2 % 83.8 % +83.6 81.8 to 85.8 %" in read
    # (99.5 + 12 + 0.2) / 3 and (97.8 + 91.2 + 83.8) / 3
    assert "mean 37.2 % 90.9 % +53.7" in read
    assert "384 demonstrations used for 8,000 training questions (4.8 %), in 40 iterations" in read


def test_the_facts_of_the_run_are_told(demo):
    read = words(demo[2])
    for fact in ("rollouts 20,480", "sampled tokens 160,000", "wall seconds 233.5", "outside of phases 3.4 %"):
        assert fact in read
    assert "seconds in phases 64.4" in read  # 40 * (0.5 + 0.1 + 1.0 + 0.01)
    assert "c0ffee" * 10 + "abcd" in read


def test_the_configuration_shows_what_departs_from_the_defaults_and_nothing_else(demo):
    read = words(demo[2])
    assert "rollout.samples 16 8" in read
    assert "sft None on" in read
    assert "rollout.temperature" not in read and " store " not in read


def test_a_run_without_evaluation_has_figures_of_training_alone(tmp_path):
    write_metrics(tmp_path, [iteration(0), iteration(1)])
    files = write_report(tmp_path, dataclasses.replace(EMPTY, iterations=2))
    assert [path.name for path in files] == ["index.html", "interleave.png", "seconds.png"]
    assert "No held-out evaluation." in files[0].read_text()


def test_a_run_without_anything_still_has_a_page(tmp_path):
    files = write_report(tmp_path, EMPTY)
    assert [path.name for path in files] == ["index.html"]
    assert "bare-0" in files[0].read_text()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_run_on_one_benchmark_can_be_drawn(tmp_path, count):
    write_metrics(tmp_path, [iteration(n, taught=0, unsolved=64, buffer=0) for n in range(count)])
    for number in {0, count}:
        write_evaluation(tmp_path, number, [result("gsm8k", 0.0, number=number)], full=True)
    families = {"gsm8k": FamilyScore(kind="", base=0.0, start=0.0, after=0.0, low=0.0, high=0.107)}
    files = write_report(tmp_path, dataclasses.replace(EMPTY, families=families, n=32, iterations=count))
    assert len(files) == 4
    read = words(files[0].read_text())
    assert "on gsm8k: 0.0 % before, 0.0 % after" in read
    assert "kind" not in read and "gsm8k 0.0 % 0.0 % +0.0 0.0 to 10.7 %" in read


def test_an_evaluated_model_without_training_can_be_drawn(tmp_path):
    write_evaluation(tmp_path, 0, [result("gsm8k", 0.25)], full=True)
    assert [path.name for path in write_report(tmp_path, EMPTY)] == ["index.html", "accuracy.png"]


def test_nothing_that_a_run_holds_becomes_markup(tmp_path):
    evil = '<img src=x onerror="alert(1)">$title & $\\frac{1}{2}$'
    question = Question(id=question_id(evil), text=evil, answer="</td>", source=evil)
    for number in (0, 1):
        write_evaluation(tmp_path, number, [result(evil, 0.5)], full=True, texts={evil: f"{evil}<b>"})
    write_questions(tmp_path, [question])
    summary = dataclasses.replace(
        EMPTY, run=evil, recipe=evil, families={evil: FamilyScore(kind=evil, base=0, start=0, after=1, low=0, high=1)}
    )
    page = write_report(tmp_path, summary)[0].read_text()
    assert "<img src=x" not in page and 'onerror="' not in page and "<b>&lt;" not in page
    assert page.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;$title &amp; $\\frac{1}{2}$") >= 6


def test_the_same_question_is_shown_before_and_after(tmp_path):
    asked = {"47*6?": "282", "58*3?": "174", "x+3=9?": "6"}
    sources = ["arithmetic/mul2", "arithmetic/mul2", "arithmetic/eq"]
    write_questions(
        tmp_path,
        [
            Question(id=question_id(t), text=t, answer=a, source=s)
            for (t, a), s in zip(asked.items(), sources, strict=True)
        ],
    )
    long = "40*6+7*6=" + "1" * 5000 + "=282"
    write_evaluation(tmp_path, 0, [result("arithmetic/mul2", 0.0)], full=True, texts={t: f"guess {t}" for t in asked})
    write_evaluation(tmp_path, 5, [result("arithmetic/mul2", 0.5)], full=False, texts={"47*6?": "interim"})
    write_evaluation(tmp_path, 9, [result("arithmetic/mul2", 1.0)], full=True, texts=dict.fromkeys(asked, long))
    page = write_report(tmp_path, EMPTY)[0].read_text()
    read = words(page)
    assert "mul2 47*6? 282 guess 47*6? 40*6+7*6=1111" in read
    assert "1=282" in read and "1" * 600 not in read, "a long completion keeps its beginning and its end"
    assert "eq x+3=9? 6 guess x+3=9?" in read and "interim" not in read


def test_a_line_that_a_crash_cut_short_is_passed_over_and_a_damaged_one_is_named(tmp_path):
    write_metrics(tmp_path, [iteration(0), iteration(1)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 2, "quest')
    assert "rollouts 1,024" in words(write_report(tmp_path, EMPTY)[0].read_text())
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0}\n')
    with pytest.raises(StoreError, match=r"metrics\.jsonl line 1 is no iteration"):
        write_report(tmp_path, EMPTY)


def test_a_configuration_of_another_version_is_left_out(tmp_path):
    write_metrics(tmp_path, [iteration(0)])
    (tmp_path / "run.json").write_text('{"config": {"no_such_section": {}}}')
    assert "departs from the defaults" not in write_report(tmp_path, EMPTY)[0].read_text()


def test_completions_of_nothing_but_blanks_do_not_stretch_the_page():
    assert readable("\n" * 64) == "(blank, 64 characters)"
    assert readable(" a\n\n \n\nb\x07") == "a\nb\ufffd"
    assert readable("x" * 600) == "x" * 600 and len(readable("x" * 601)) == 603


def test_a_bar_shows_what_the_base_had_and_what_was_gained_or_lost(demo):
    page = demo[2]
    assert '<i class="base" style="left:0;width:97.8%"></i><i class="loss" style="left:97.8%;width:1.7%">' in page
    assert '<i class="base" style="left:0;width:0.2%"></i><i class="gain" style="left:0.2%;width:83.6%">' in page
