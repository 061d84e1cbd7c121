import dataclasses
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_study import ARITHMETIC, made_study
from matplotlib.text import Text
from run_results import run_result

from relift.study.page import write_page
from relift.study.page.accuracy import draw_bought
from relift.study.page.curves import FLOPS, ROLLOUTS, band
from relift.study.page.differences import pooled_lift
from relift.study.page.drawing import DASHES, MARKERS
from relift.study.page.view import differing_settings, study_view
from relift.study.results import LiftResult, PairResult, QuestionResults, StudyRun
from relift.study.study import load_study
from relift.study.whole import study_result
from tests.report import headless

FEW = {name: ARITHMETIC[name] for name in ("grpo", "relift", "sft-n")}
HOSTILE = "</title><script>alert(1)</script> & $x$"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "arithmetic"
    return folder, write_page(*made_study(), folder).read_text()


def words(page: str) -> str:
    """The page as it reads: without tags, blanks folded."""
    return " ".join(re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def section(page: str, title: str) -> str:
    return words(page.split(f"<h2>{title}</h2>")[1].split("<h2>", maxsplit=1)[0])


def test_sections_stand_in_order_and_losses_before_everything_that_was_won(whole):
    heads = re.findall(r"<h2>(.*?)</h2>", whole[1])
    assert heads == [
        "Losses first", "Planned comparisons", "Exploratory comparisons", "Final accuracy", "Learning curves",
        "Final accuracy against cost", "Families before and after", "Difficulty, forgotten and learned",
        "Lift by method", "How the methods differ", "Every run", "What a reader should know",
    ]  # fmt: skip
    lost = section(whole[1], "Losses first")
    assert "relift − sft-then-rl-all : lost" in lost and "guided − relift : undecided" in lost
    assert "sft-n is not above grpo" in lost and "relift − grpo" not in lost
    beaten = r"relift − sft-then-relift-all : lost, −\S+ points .* with \d+ demonstrations against 7,300 \(exploratory"
    assert re.search(beaten, lost), "what is claimed for relift is claimed of the planned comparisons alone"
    assert "insert" not in lost, "exploratory comparisons that were not lost stand further below"
    assert "15 methods under 5 seeds, at equal cost (rollouts 61,440), on 360 held-out questions." in words(whole[1])


def test_beside_the_page_stands_the_same_in_short_with_losses_first(whole):
    short = (whole[0] / "README.md").read_text()
    heads = re.findall(r"^#+ (.*)$", short, flags=re.MULTILINE)
    assert heads[1:] == ["Losses first", "Planned comparisons", "Methods"]
    assert "- **sft-n** is not above grpo: " in short
    assert "- **relift − sft-then-rl-all**: lost, " in short and "| relift − grpo | +" in short
    ranked = re.findall(r"^\| (\S+)[^|]*\| ([\d.]+) \| [\d.]+ to", short, flags=re.MULTILINE)
    assert len(ranked) == 15 and [float(mean) for _, mean in ranked] == sorted(
        (float(m) for _, m in ranked), reverse=True
    )
    assert {name for name, _ in ranked} == set(ARITHMETIC) and "| sft-n (no rollouts) |" in short


def test_the_short_form_says_what_is_not_there_yet_and_what_its_intervals_are_over(tmp_path):
    some = {name: ARITHMETIC[name] for name in ("grpo", "relift", "random")}
    missing = ("random-1", "random-2", "grpo-2")
    result, runs = made_study(
        some, (1, 2), missing=missing, planned={("relift", "grpo"): 0.2, ("relift", "random"): 0.1}
    )
    write_page(result, runs, tmp_path)
    short = (tmp_path / "README.md").read_text()
    assert re.search(r"^\| relift − random \| +\| +\| +\| not yet \|", short, flags=re.MULTILINE)
    assert "| random | not yet |" in short and "| grpo (1 of 2 seeds) |" in short
    assert "given these seeds" in short and "| 1: +" in short and "3 runs missing." in short


def test_the_short_form_takes_no_markup_from_what_a_result_holds(tmp_path):
    result, runs = made_study(FEW)
    write_page(dataclasses.replace(result, title="a | <b>b</b> *c*\n~~d~~", command="x `y`"), runs, tmp_path)
    short = (tmp_path / "README.md").read_text()
    assert short.startswith("# a \\| \\<b\\>b\\</b\\> \\*c\\* \\~\\~d\\~\\~\n") and short.endswith(": `` x `y` ``\n")


def test_a_comparison_that_won_by_less_than_was_expected_is_a_loss(tmp_path):
    result, runs = made_study(FEW, (1, 2, 3, 4), planned={("relift", "grpo"): 0.5})
    lost = section(write_page(result, runs, tmp_path).read_text(), "Losses first")
    assert "relift − grpo : less than expected" in lost and "expected at least +50.0" in lost
    pair: PairResult = dataclasses.replace(result.pairs["relift - grpo"], expected=0.1)
    page = write_page(dataclasses.replace(result, pairs={"relift - grpo": pair}), runs, tmp_path).read_text()
    assert "relift − grpo" not in section(page, "Losses first")


def test_the_page_needs_nothing_from_elsewhere(whole):
    page = whole[1]
    assert "<script" not in page and "@import" not in page and "<img" not in page and re.findall(r'src="', page) == []
    assert set(re.findall(r'\bhref="(.)', page)) == {"#"}
    assert not [url for url in re.findall(r"https?://[^\"'< ]+", page) if not url.startswith("http://www.w3.org/")]


def test_every_figure_is_well_formed_has_its_own_ids_and_stands_in_the_page_and_beside_it(whole):
    folder, page = whole
    names = sorted(path.stem for path in (folder / "figures").glob("*.svg"))
    assert names == sorted(path.stem for path in (folder / "figures").glob("*.png"))
    assert {"accuracy", "planned", "curves-rollouts-each", "demonstrations", "flops", "changes", "lift"} <= set(names)
    for name in names:
        ElementTree.parse(folder / "figures" / f"{name}.svg")
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    inline = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    ids = [found for svg in inline for found in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(inline) == len(names) and len(ids) == len(set(ids))
    for svg in inline:
        ElementTree.fromstring(svg)
        used = set(re.findall(r'"#([^"]+)"|url\(#([^)]+)\)', svg))
        assert {one or other for one, other in used} <= set(re.findall(r'\bid="([^"]+)"', svg))
        assert not re.search(r"#(222222|0072b2|ffffff)\b", svg, re.I), "a colour that stays in the dark"


def test_the_same_results_make_the_same_bytes(tmp_path):
    contents = []
    for name in ("one", "two"):
        write_page(*made_study(FEW, (0, 1)), tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert contents[0] == contents[1] and len(contents[0]) > 10


def test_what_a_result_holds_is_escaped(tmp_path):
    methods = {HOSTILE: ARITHMETIC["relift"], "grpo": ARITHMETIC["grpo"]}
    result, runs = made_study(methods, (0,), planned={(HOSTILE, "grpo"): 0.9})
    runs = [dataclasses.replace(run, settings={HOSTILE: run.method}, weights_sha256="<b>") for run in runs]
    result = dataclasses.replace(
        result, title=HOSTILE, command=HOSTILE, recipe=HOSTILE, machines=(HOSTILE,), versions={HOSTILE: HOSTILE},
        budget={HOSTILE: HOSTILE}, missing=(f"{HOSTILE}-0",),
    )  # fmt: skip
    page = write_page(result, runs, tmp_path).read_text()
    assert "<script" not in page and page.count("</title>") == 1 and "<b>" not in re.sub("<b>[^<]*</b>", "", page)
    assert page.count("&lt;script&gt;") > 10
    for path in (tmp_path / "figures").glob("*.svg"):
        ElementTree.parse(path)


def test_a_lift_that_is_not_defined_is_said_so_and_never_a_number(tmp_path):
    page = write_page(*made_study(FEW, (0, 1)), tmp_path).read_text()
    rows = re.findall(r"<tr>.*?</tr>", page.split("<h2>Lift by method</h2>")[1].split("<h2>")[0])
    by_method = {words(row).split()[0]: words(row) for row in rows}
    assert by_method["grpo"] == "grpo not defined not defined not defined"
    assert "+31.0 (+26.8 to +35.2)" in by_method["relift"], "0.06 over the root of two to either side"
    none = write_page(*made_study(FEW, (0, 1), lift=False), tmp_path / "none").read_text()
    assert "relift not defined" in section(none, "Lift by method") and not (tmp_path / "none/figures/lift.svg").exists()


def test_a_lift_in_some_runs_alone_is_the_mean_of_those():
    result, runs = made_study({"relift": ARITHMETIC["relift"]}, (0, 1, 2, 3), planned={})
    lifts = (0.1, None, 0.3, None)
    runs = [
        dataclasses.replace(run, lift=None if lift is None else {"5": lift_of(lift)})
        for run, lift in zip(runs, lifts, strict=True)
    ]
    method = study_view(result, runs).methods[0]
    pooled = pooled_lift(method, "5")
    assert pooled is not None and pooled.lift == pytest.approx(0.2) and pooled.runs == 2 and pooled.over == "questions"
    assert pooled_lift(method, "1") is None
    four = study_view(result, [dataclasses.replace(run, lift={"5": lift_of(0.1 * run.seed)}) for run in runs]).methods
    pooled = pooled_lift(four[0], "5")
    assert pooled is not None and pooled.over == "seeds"
    assert pooled.high - pooled.lift == pytest.approx(3.182446 * 0.1290994 / 2, rel=1e-4), "Student's t of 3"


def lift_of(lift: float) -> LiftResult:
    return LiftResult(lift=lift, low=lift - 0.1, high=lift + 0.1, taught_questions=5, control_questions=2)


def test_a_band_is_of_the_seeds_and_its_ends_meet_wherever_the_runs_ended():
    result, runs = made_study({"relift": ARITHMETIC["relift"]}, (0, 1), planned={})
    longer = dataclasses.replace(runs[1].curve[-1], iteration=130, rollouts=70_000, mean=0.8)
    runs[1] = dataclasses.replace(runs[1], curve=(*runs[1].curve[:-1], longer))
    points = band(study_view(result, runs).methods[0], ROLLOUTS)
    assert [point.x for point in points] == [0, 10240, 20480, 30720, 40960, 51200, (61440 + 70_000) / 2]
    ends = sorted((0.8, runs[0].mean))
    assert (points[-1].low, points[-1].high) == pytest.approx(ends)
    assert points[-1].mean == pytest.approx(sum(ends) / 2)


def test_a_warm_start_has_cost_flops_before_its_first_rollout():
    result, runs = made_study({"sft-then-rl-n": ARITHMETIC["sft-then-rl-n"]}, (0,), planned={})
    method = study_view(result, runs).methods[0]
    base, start, *_ = band(method, FLOPS)
    assert (base.x, base.mean) == (0, runs[0].mean_base) and start.x > 0 and start.mean == runs[0].mean_start
    assert band(method, ROLLOUTS)[0].mean == runs[0].mean_start


def test_twenty_methods_are_told_apart_without_colour():
    marks = {(MARKERS[n % len(MARKERS)], str(DASHES[n % len(DASHES)])) for n in range(20)}
    assert len(marks) == 20


def test_labels_of_points_lie_neither_over_each_other_nor_outside():
    view = study_view(*made_study())
    figure = draw_bought(view.methods, "demonstrations", lambda run: run.demonstrations)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    labels = [text for text in axes.texts if text.get_text() in ARITHMETIC]
    # Of the words alone: the box of a whole annotation holds the line to its point too.
    boxes = [Text.get_window_extent(label).shrunk(0.98, 0.8) for label in labels]
    assert len(boxes) == len(ARITHMETIC)
    assert [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)] == []
    assert all(box.x0 > axes.bbox.x0 and box.x1 < figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_fits_the_window_and_asks_nobody(whole, width, tmp_path):
    if headless.executable() is None:
        pytest.skip("no Chromium")
    with headless.chromium(tmp_path) as browser:
        browser.load(whole[0] / "index.html", width=width)
        assert browser.ask("document.documentElement.scrollWidth") == width
        clipped = browser.ask(
            "[...document.querySelectorAll('h1,h2,p,li,dd')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert clipped == 0 and browser.complaints == []
        assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []
        light = browser.ask("getComputedStyle(document.querySelector('svg path')).fill")
        browser.load(whole[0] / "index.html", width=width, scheme="dark")
        assert browser.ask("getComputedStyle(document.querySelector('svg path')).fill") != light


def test_an_unfinished_study_says_what_is_missing(tmp_path):
    result, runs = made_study(FEW, (0, 1), missing=("grpo-1", "sft-n-0", "sft-n-1"))
    planned = {**result.planned, "relift - sft-n": 0.1}
    page = write_page(dataclasses.replace(result, planned=planned), runs, tmp_path).read_text()
    text = words(page)
    assert "Not finished: 3 runs missing." in text and "missing grpo-1, sft-n-0, sft-n-1" in text
    assert "grpo 1 of 2" in text and "sft-n 0 of 2" in text
    assert "relift − sft-n not yet no seed has both runs" in section(page, "Planned comparisons")
    nothing = dataclasses.replace(result, methods={}, means={}, pairs={}, references=())
    text = words(write_page(nothing, [], tmp_path / "nothing").read_text())
    assert (
        "No planned comparison can be made yet." in text and "relift − grpo not yet" in text and "grpo 0 of 2" in text
    )


def test_a_benchmark_that_is_sampled_several_times_has_its_pass_rate_too(tmp_path):
    result, runs = made_study(FEW, (0, 1))
    assert "pass@" not in words(write_page(result, runs, tmp_path / "once").read_text())
    sampled = QuestionResults(asked="s", samples=8, before=(0, 0, 0, 1), after=(0, 3, 8, 1))
    runs = [dataclasses.replace(run, questions={**run.questions, "svamp-8": sampled}) for run in runs]
    text = section(write_page(result, runs, tmp_path / "often").read_text(), "Families before and after")
    assert "svamp-8, pass@8 at the start svamp-8, pass@8 after" in text and "relift 25.0 75.0" in text


def test_under_four_seeds_the_interval_is_said_to_be_over_questions(tmp_path):
    few = words(write_page(*made_study(FEW, (0,), planned={}), tmp_path / "few").read_text())
    assert "There are fewer than four seeds" in few and "would lie" not in few
    four = words(write_page(*made_study(FEW, (0, 1, 2, 3)), tmp_path / "four").read_text())
    assert "There are fewer than four seeds" not in four and "An interval is over seeds" in four
    assert "sft-n no rollouts" in four and "Methods without rollouts are reference rows" in four


def test_what_is_not_at_equal_cost_stands_first_and_what_nothing_was_taught_to_is_said(tmp_path):
    result, runs = made_study(FEW, (0, 1))
    early, none, over, *rest = runs
    early = dataclasses.replace(early, rollouts=30720)
    none = dataclasses.replace(none, budget={**none.budget, "demonstrations": 0.0})
    over = dataclasses.replace(over, rollouts=62054, weights_sha256=early.weights_sha256)
    runs = [early, none, over, *rest]
    methods = {m: {str(r.seed): StudyRun.of(r) for r in runs if r.method == m} for m in result.methods}
    page = write_page(dataclasses.replace(result, methods=methods), runs, tmp_path).read_text()
    assert "grpo-0 ended by iterations, with 50.0% of its budget spent" in section(page, "Losses first")
    assert "grpo-0 and relift-0 came to the same weights" in section(page, "Losses first")
    assert page.count("ended by iterations") == 1, "a reference row has no budget to spend"
    assert "spent: most of it was spent by relift-0, 101.0%" in words(page)
    assert "demonstrations that grpo-1 might teach is 0" in words(page)


def test_settings_that_all_methods_share_are_left_out_and_a_seed_is_none():
    methods = study_view(*made_study(FEW, (0, 1), missing=("grpo-1",))).methods
    assert differing_settings(methods) == {
        "iterations": {"default": ["grpo", "relift"], "0": ["sft-n"]},
        "rl": {"default": ["grpo", "relift"], "off": ["sft-n"]},
        "warm_start.demonstrations": {
            "default": ["grpo", "relift"],
            ", ".join(str(run.demonstrations) for run in methods[2].runs): ["sft-n"],
        },
    }


def test_a_teacher_that_was_paid_has_its_cost_beside_that_of_the_controls(tmp_path, whole):
    assert "teacher, $ controls, $" in section(whole[1], "Final accuracy")
    result, runs = made_study(FEW, (0, 1))
    free = [dataclasses.replace(run, cost_usd=0.0, control_cost_usd=0.0) for run in runs]
    assert "$" not in section(write_page(result, free, tmp_path).read_text(), "Final accuracy")


def test_the_page_of_what_a_study_file_and_its_runs_come_to(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(
        'recipe = "demo"\nseeds = [1, 2]\nplanned = [["relift", "grpo"]]\n'
        '[expected]\n"relift - grpo" = 0.2\n[budget]\nrollouts = 512\n'
        '[methods.grpo]\nsft = "off"\n[methods.relift]\n'
    )
    study = load_study(path)
    results = {
        (method, seed): run_result(method, seed, after=after)
        for method, after in (("grpo", (1, 0, 0, 0)), ("relift", (1, 1, 0, 1))) for seed in (1, 2)
    }  # fmt: skip
    result = study_result(study, results, command="relift compare tiny.toml", versions={"relift": "0.3.0"})
    page = write_page(result, list(results.values()), tmp_path / "tiny")
    assert page == tmp_path / "tiny" / "index.html" and isinstance(page, Path)
    text = page.read_text()
    assert "relift − grpo +50.0" in section(text, "Planned comparisons") and "1: +50.0 , 2: +50.0" in words(text)
