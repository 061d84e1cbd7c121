import dataclasses

import pytest
from run_folder import demo_summary, iteration, write_demo, write_metrics

from relift.report.accuracy import curves_by_kind, draw_accuracy
from relift.report.data import read_report_data
from relift.report.figures import draw_figures
from relift.report.interleave import draw_interleave, trailing_mean
from relift.report.seconds import binned, draw_seconds
from relift.report.style import spread


@pytest.fixture
def data(tmp_path):
    write_demo(tmp_path)
    return read_report_data(tmp_path)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_accuracy_has_a_panel_for_each_kind_with_its_families_labelled_at_the_end(data):
    panels = draw_accuracy(data, demo_summary()).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["mastered", "border", "unreached"]
    assert [texts(axes)[-1] for axes in panels] == ["add3 98 %", "add5 91 %", "mul2 84 %"]
    curve, base = panels[2].lines[0], panels[2].lines[1]
    assert list(curve.get_xdata()) == [0, 20, 40]
    assert list(curve.get_ydata()) == [0.002, 0.1, 0.838]
    assert list(base.get_ydata()) == [0.002, 0.002], "the base is a line across the panel"


def test_a_family_whose_evaluations_are_gone_is_drawn_from_the_summary(data):
    bare = dataclasses.replace(data, evaluations=())
    curves = curves_by_kind(bare, demo_summary())
    points = [(p.iteration, p.share) for p in curves["unreached"][0].points]
    assert points == [(0, 0.002), (40, 0.838)]


def test_a_share_near_zero_is_not_flattened_where_there_are_no_kinds(data):
    low = dataclasses.replace(
        data,
        evaluations=tuple(
            dataclasses.replace(
                e, results=tuple(dataclasses.replace(r, kind="", avg_at_k=0.02, low=0.01, high=0.03) for r in e.results)
            )
            for e in data.evaluations
        ),
    )
    (axes,) = draw_accuracy(low, demo_summary()).axes
    assert axes.get_ylim()[1] == pytest.approx(0.05 * 1.02)


def test_taught_adds_up_and_unsolved_is_smoothed_over_a_long_run(data):
    unsolved, buffer, taught = draw_interleave(data).axes
    assert list(taught.lines[0].get_ydata())[-1] == 32 * 10
    assert texts(taught)[-1] == "320"
    assert list(buffer.lines[0].get_ydata()) == [5] * 40
    dots, line = unsolved.lines
    assert list(dots.get_ydata())[:3] == [20, 20, 19]
    assert line.get_ydata()[-1] == pytest.approx((5 + 5 + 4 + 4 + 3 + 3 + 2 + 2 + 1 + 1) / 10)


def test_a_short_run_is_drawn_as_it_is(tmp_path):
    write_metrics(tmp_path, [iteration(0, unsolved=3), iteration(1, unsolved=7)])
    unsolved, *_ = draw_interleave(read_report_data(tmp_path)).axes
    assert [list(line.get_ydata()) for line in unsolved.lines] == [[3, 7]]


def test_seconds_are_stacked_by_iteration_and_summed_by_phase(data):
    by_iteration, altogether = draw_seconds(data).axes
    assert len(by_iteration.patches) == 40 * 4
    tops = [bar.get_y() + bar.get_height() for bar in by_iteration.patches]
    assert max(tops) == pytest.approx(1.61)
    assert [tick.get_text() for tick in altogether.get_yticklabels()] == [
        "rollout",
        "verify",
        "rl_update",
        "sft_update",
    ]
    assert [bar.get_width() for bar in altogether.patches] == pytest.approx([20.0, 4.0, 40.0, 0.4])


def test_means():
    assert trailing_mean([2, 4, 9], 2) == [2, 3, 6.5]
    assert binned([1, 3, 5], 2) == [2, 5]


def test_labels_are_moved_apart_around_their_mean_and_stay_inside():
    assert spread([0.1, 0.5], 0.1, 0, 1) == [0.1, 0.5]
    assert spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
    assert spread([0.98, 0.99, 1.0], 0.1, 0, 1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([0.0, 0.01, 0.12], 0.1, 0, 1) == pytest.approx([0.0, 0.1, 0.2])
    assert spread([], 0.1, 0, 1) == []


def test_a_run_that_teaches_nothing_has_no_empty_panels(tmp_path):
    write_metrics(tmp_path, [iteration(n, buffer=0) for n in range(4)])
    data = read_report_data(tmp_path)
    assert [axes.get_title(loc="left") for axes in draw_interleave(data).axes] == ["unsolved"]
    assert draw_figures(data, demo_summary())[1].caption.endswith("Nothing was taught.")
