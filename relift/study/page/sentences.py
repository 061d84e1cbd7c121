"""What a study's page and its short form both say in words, as plain text."""

from __future__ import annotations

from relift.study.page.differences import points
from relift.study.page.tables import amount, percent, verdict
from relift.study.page.view import GRPO, StudyView
from relift.study.results import PairResult


def lead(view: StudyView) -> str:
    """e.g. ``15 methods under 5 seeds, at equal cost (rollouts 61,440), on 3,600 held-out questions.``"""
    result = view.result
    seeds = f"{len(result.seeds)} seeds" if len(result.seeds) != 1 else "one seed"
    cost = ", ".join(
        f"{key.replace('_', ' ')} {f'{int(value):,}' if value.isdigit() else value}"
        for key, value in result.budget.items()
    )
    equal = f"at equal cost ({cost})" if cost else "without a common budget"
    count = len(view.methods) + len(view.waiting)
    return f"{count} method{'s' * (count != 1)} under {seeds}, {equal}, on {result.questions:,} held-out questions."


def unfinished(view: StudyView) -> str:
    missing = len(view.result.missing)
    return f"Not finished: {missing} run{'s' * (missing != 1)} missing."


def losses_said(view: StudyView) -> list[tuple[str, str]]:
    """What was lost, and what is to be said of it after that; empty where nothing was."""
    said = [(f"{pair.first} − {pair.second}", f": {outcome(pair)}") for pair in view.losses]
    said += [(f"{pair.first} − {pair.second}", f": {_beaten(view, pair)}") for pair in view.beaten]
    for method in view.below_grpo:
        share = f"{percent(method.mean.mean)} % against {percent(view.method(GRPO).mean.mean)} %"
        unlike = " (it spends no rollouts)" if method.is_reference else ""
        said.append((method.name, f" is not above grpo: {share}{unlike}"))
    return said + [(warning, "") for warning in view.result.warnings]


def outcome(pair: PairResult) -> str:
    """e.g. ``lost, −4.2 points (−5.9 to −2.4), expected at least +10.0``."""
    expected = "" if pair.expected is None else f", expected at least {points(pair.expected)}"
    return f"{verdict(pair)}, {points(pair.mean)} points ({points(pair.low)} to {points(pair.high)}){expected}"


def _beaten(view: StudyView, pair: PairResult) -> str:
    """e.g. ``lost, −4.9 points (−6.0 to −3.8), with 390 demonstrations against 6,925 (exploratory, p 0.002)``."""
    ours, theirs = (
        amount(view.method(name).average(lambda run: run.demonstrations)) for name in (pair.first, pair.second)
    )
    return f"{outcome(pair)}, with {ours} demonstrations against {theirs} (exploratory, p {pair.p_adjusted:.2g})"


def intervals_said(view: StudyView) -> str:
    """What the intervals are over."""
    over = {method.mean.over for method in view.methods}
    said = []
    if "questions" in over:
        said.append(
            "There are fewer than four seeds. An interval is over the held-out questions, given these seeds: it says "
            "how far other questions would move the numbers, and nothing of other seeds. Each seed is shown."
        )
    if "seeds" in over:
        said.append("An interval is over seeds: where the mean over other seeds, trained alike, would lie.")
    return " ".join(said)


def no_losses(view: StudyView) -> str:
    if view.planned and view.not_yet:
        return "Of the planned comparisons that can be made yet none missed what was expected of it."
    if view.planned:
        return "No planned comparison missed what was expected of it, and no method is below grpo."
    return "No planned comparison can be made yet." if view.not_yet else "No comparison was planned."
