"""The figures of a study, each with what is to be seen in it."""

from __future__ import annotations

from collections.abc import Iterator

from relift.study.page.accuracy import draw_accuracy, draw_bought
from relift.study.page.curves import FLOPS, MOST_BANDS, ROLLOUTS, draw_each, draw_overview
from relift.study.page.differences import draw_changes, draw_forest, draw_lift
from relift.study.page.drawing import StudyFigure, study_figure
from relift.study.page.view import GRPO, StudyView

PLANNED = "Filled circle: as expected; hollow square: not so, or the interval does not lie above 0."
HOLLOW = "Hollow: a method without rollouts, whose cost is not held equal to the others'."
ON_THE_WAY = "Evaluations on the way ask the first questions of each benchmark alone, those at the ends all."
BAND = "Band: from the lowest seed to the highest."
BANDS_BELOW = "Bands over seeds: in the panels of each method."
LEVEL = "A dotted level: a method that spends no rollouts."
CHANGES = "Hollow: right in more than half of the samples before, and not after; filled: the reverse."
LIFT = (
    "What teaching a question did for it, against untaught controls, so many iterations later: mean over the runs that "
    "define it and 95 % interval, over seeds where four or more do, else given the seeds."
)


def study_figures(view: StudyView) -> dict[str, StudyFigure]:
    """By name, which is the file's; those that the study has data for."""
    found = []
    if view.planned:
        found.append(study_figure("planned", "Planned comparisons", PLANNED, draw_forest(view.planned)))
    if view.methods:
        found += [*_accuracy(view), *_curves(view), *_changes(view)]
    return {figure.name: figure for figure in found}


def _accuracy(view: StudyView) -> Iterator[StudyFigure]:
    title, caption = "Final accuracy by method", HOLLOW if view.has_reference else ""
    yield study_figure("accuracy", title, caption, draw_accuracy(view))
    title, caption = "Final accuracy against demonstrations", "Distinct demonstrations, a warm start's too."
    drawn = draw_bought(view.methods, "demonstrations", lambda run: run.demonstrations)
    yield study_figure("demonstrations", title, caption, drawn)
    title, caption = "Final accuracy against update FLOPs", "Of all updates, a warm start's too; none of sampling."
    drawn = draw_bought(view.methods, "update FLOPs", lambda run: run.update_flops)
    yield study_figure("flops", title, caption, drawn)


def _curves(view: StudyView) -> Iterator[StudyFigure]:
    few = len(view.methods) <= MOST_BANDS
    for name, spent in (("curves-rollouts", ROLLOUTS), ("curves-flops", FLOPS)):
        title = f"Learning curves over {spent.what}"
        notes = [ON_THE_WAY, BAND if few else BANDS_BELOW]
        notes += [LEVEL] if view.has_reference and spent is ROLLOUTS else []
        yield study_figure(name, title, " ".join(notes), draw_overview(view.methods, spent))
        if not few:
            has_grpo = any(method.name == GRPO for method in view.methods)
            caption = f"{BAND} Grey: all other methods{'; dashed: grpo' if has_grpo else ''}."
            yield study_figure(f"{name}-each", f"{title}, each method", caption, draw_each(view.methods, spent))


def _changes(view: StudyView) -> Iterator[StudyFigure]:
    yield study_figure("changes", "Forgotten and learned", CHANGES, draw_changes(view.ranked))
    lift = draw_lift(view.ranked)
    if lift is not None:
        yield study_figure("lift", "Lift by method", LIFT, lift)
