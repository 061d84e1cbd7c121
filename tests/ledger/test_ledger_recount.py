"""What the views say of random histories, counted again in plain Python."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict

import numpy as np
import pytest
from ledger_random import AFTER, History, Sampled, write_histories

from relift.evaluation.scores import Z_95, band
from relift.ledger import open_project
from relift.ledger.states import STATES
from relift.records import Purpose

pytestmark = pytest.mark.slow

FILES, RUNS_IN_A_FILE = 5, 10
ORDER = {Purpose.CONFIRM: 0, Purpose.EVALUATION: 1, Purpose.PROBE: 2, Purpose.TRAIN: 3}
"""Which of several samplings in one iteration counts as the latest."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Fifty runs in five files, read as one, and what happened in them."""
    folder = tmp_path_factory.mktemp("runs")
    histories = []
    for number in range(FILES):
        path = folder / f"some-{number}" / "hard_examples.duckdb"
        histories += write_histories(path, range(number * RUNS_IN_A_FILE, (number + 1) * RUNS_IN_A_FILE))
    with open_project(folder) as connection:
        yield connection, histories


def test_the_states_of_hard_questions_are_what_happened_to_them(project):
    connection, histories = project
    found = connection.execute("SELECT run, question_id, state, is_waiting FROM hard_examples").fetchall()
    expected = [(told.run, one, state_of(told, one), one in told.waiting) for told in histories for one in told.hardest]
    assert sorted(found) == sorted(expected)
    assert {state for _, _, state, _ in found} == set(STATES), "each state occurs"


def state_of(told: History, one: str) -> str:
    groups = sorted(told.of(one), key=lambda g: (g.version, g.iteration, ORDER[g.purpose]))
    is_solved_now = groups[-1].correct > 0
    if one in told.control:
        return "control"
    if one not in told.taught:
        return untaught_state(told, one, is_solved_now)
    first, last = told.taught[one][0][1], told.taught[one][-1][1]
    since_last = [g for g in groups if g.version >= last]
    if since_last and is_solved_now:
        return "learned"
    if one in told.retired and not any(g.correct for g in since_last):
        return "retired"
    was_solved = any(g.correct for g in groups if g.version >= first)
    return "regressed" if since_last and was_solved else "taught"


def untaught_state(told: History, one: str, is_solved_now: bool) -> str:
    if one in told.waiting:
        return "queued"
    if is_solved_now:
        return "solved"
    if told.asked.get(one):
        return "sourcing"
    has_answer = one in told.answered if one in told.asked else one in told.refused
    return "no_teacher_solves_it" if has_answer and one not in told.admitted else "open"


def test_the_transitions_between_any_two_evaluations_are_those_of_their_questions(project):
    connection, histories = project
    found = connection.execute(
        "SELECT run, from_iteration, to_iteration, from_band, to_band, questions, share FROM transitions"
    ).fetchall()
    expected: Counter[tuple[object, ...]] = Counter()
    for told in histories:
        by_iteration = bands(told, Purpose.EVALUATION)
        for first in by_iteration:
            for last in by_iteration:
                if first < last:
                    for one in by_iteration[first].keys() & by_iteration[last].keys():
                        pair = (by_iteration[first][one], by_iteration[last][one])
                        expected[told.run, first, last, *pair] += 1
    assert_counted(found, expected)


def test_the_noise_is_what_two_samplings_of_one_policy_differ_by(project):
    connection, histories = project
    found = connection.execute("SELECT run, iteration, from_band, to_band, questions, share FROM noise").fetchall()
    expected: Counter[tuple[object, ...]] = Counter()
    for told in histories:
        evaluated, confirmed = bands(told, Purpose.EVALUATION), bands(told, Purpose.CONFIRM)
        for iteration, again in confirmed.items():
            for one in again:
                expected[told.run, iteration, evaluated[iteration][one], again[one]] += 1
    assert_counted(found, expected)


def bands(told: History, purpose: Purpose) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for g in told.sampled:
        if g.purpose is purpose:
            found[g.iteration][g.question] = band(g.accuracy)
    return found


def assert_counted(found, expected: Counter) -> None:
    """Rows of (which matrix..., from, to, questions, share) are the counts, and their shares those of their row."""
    assert len(found) > 100
    assert {tuple(row[:-2]): row[-2] for row in found} == expected
    totals: Counter[tuple[object, ...]] = Counter()
    for row in found:
        totals[tuple(row[:-3])] += row[-2]
    for row in found:
        assert row[-1] == pytest.approx(row[-2] / totals[tuple(row[:-3])])


def test_the_lift_is_that_of_taught_over_like_controls_at_each_distance(project):
    connection, histories = project
    columns = (
        "taught_questions, taught_before, taught_rate, taught_low, taught_high, "
        "control_questions, control_before, control_rate, control_low, control_high, lift, lift_low, lift_high, "
        "strata, left_out"
    )
    found = {
        (run, distance): tuple(figures)
        for run, distance, *figures in connection.execute(f"SELECT run, distance, {columns} FROM lift").fetchall()
    }
    expected = {}
    for told in histories:
        for distance in AFTER:
            if followed := probed(told, distance):
                expected[told.run, distance] = lift_of(told, followed)
    assert found.keys() == expected.keys()
    assert sum(row[0] > 1 and row[5] > 1 for row in found.values()) > 20, "many have intervals on both sides"
    assert sum(row[-2] > 1 for row in found.values()) > 20, "many have several strata"
    assert sum(row[-1] > 0 for row in found.values()) > 20, "many leave something out"
    for key, figures in found.items():
        for figure, wanted in zip(figures, expected[key], strict=True):
            assert figure is None if wanted is None else figure == pytest.approx(wanted, abs=1e-9), key


def probed(told: History, distance: int) -> list[Sampled]:
    """At that distance from their anchors, taught and control questions."""
    return [
        g
        for g in told.sampled
        if g.purpose is Purpose.PROBE
        and (anchor := told.anchor(g.question)) is not None
        and g.iteration - anchor == distance
    ]


def lift_of(told: History, followed: list[Sampled]) -> tuple[float | None, ...]:
    """The view's figures by another route: least squares with a column for each stratum, as a matrix."""
    source = {asked.id: asked.source for asked in told.training}
    strata: dict[tuple[str, int | None], list[Sampled]] = defaultdict(list)
    for g in followed:
        if g.question in told.admitted:
            strata[source[g.question], told.anchor(g.question)].append(g)
    both = [some for some in strata.values() if len({g.question in told.taught for g in some}) == 2]
    compared = [(number, g) for number, some in enumerate(both) for g in some]
    left_out = len(followed) - len(compared)
    if not compared:
        return (0, *[None] * 4, 0, *[None] * 4, *[None] * 3, 0, left_out)
    is_taught = np.array([g.question in told.taught for _, g in compared])
    accuracy = np.array([g.accuracy for _, g in compared])
    design = np.zeros((len(compared), 1 + len(both)))
    design[:, 0] = is_taught
    design[range(len(compared)), [1 + number for number, _ in compared]] = 1
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ accuracy
    lift, spare = coefficients[0], len(compared) - design.shape[1]
    ends: tuple[float | None, float | None] = (None, None)
    if spare > 0:
        residuals = accuracy - design @ coefficients
        meat = design.T @ np.diag(residuals**2) @ design
        half = Z_95 * math.sqrt((inverse @ meat @ inverse)[0, 0] * len(compared) / spare)
        ends = (lift - half, lift + half)
    # A taught question weighs as much as its stratum has controls in a hundred, and the other way round.
    shares = [statistics.fmean(g.question in told.taught for g in both[number]) for number, _ in compared]
    weights = np.array([1 - share if taught else share for share, taught in zip(shares, is_taught, strict=True)])
    return (
        *part(accuracy[is_taught], weights[is_taught]),
        *part(accuracy[~is_taught], weights[~is_taught]),
        lift,
        *ends,
        len(both),
        left_out,
    )


def part(accuracy: np.ndarray, weights: np.ndarray) -> tuple[float | None, ...]:
    """Questions, mean accuracy before, weighted mean accuracy now, and the ends of its interval."""
    mean = float(np.average(accuracy, weights=weights))
    if len(accuracy) == 1:
        return (1, 0.0, mean, None, None)
    shares = weights / weights.sum()
    half = Z_95 * math.sqrt(sum((shares * (accuracy - mean)) ** 2) * len(accuracy) / (len(accuracy) - 1))
    return (len(accuracy), 0.0, mean, max(mean - half, 0), min(mean + half, 1))


def test_the_value_of_a_teacher_counts_each_taught_question_once(project):
    connection, histories = project
    found = connection.execute(
        "SELECT run, sum(taught), sum(learned), sum(regressed), sum(admitted) FROM teacher_value GROUP BY run"
    ).fetchall()
    expected = []
    for told in histories:
        states = Counter(state_of(told, one) for one in told.taught)
        expected.append((told.run, len(told.taught), states["learned"], states["regressed"], len(told.admitted)))
    assert sorted(found) == sorted(row for row in expected if row[0] in {run for run, *_ in found})
    assert {run for run, *_ in found} == {told.run for told in histories if told.admitted or told.asked or told.refused}
