"""A question's history in the order it happened: rollouts, verdicts, demonstration, update, later rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from flows.terminal.printing import shown
from flows.terminal.text import cropped, lines, one_line, written

if TYPE_CHECKING:
    from rich.console import RenderableType

    from relift.ledger import QuestionHistory
    from relift.ledger.show import HistoryDemonstration, HistoryGroup, HistoryLeaving, HistoryUse

MOST_CHARACTERS = 400
"""Of a rollout's text; a demonstration is shown whole."""
EVALUATED, CONFIRMED, PROBED, SAMPLED, OFFERED, LEFT, TAUGHT, RETIRED = range(8)
"""Order within an iteration: evaluated and probed before it, then sampled, then sourced, then taught."""
PLACES = {"evaluation": EVALUATED, "confirm": CONFIRMED, "probe": PROBED, "train": SAMPLED}
WORDS = {"train": "rollouts", "confirm": "confirmation"}


def history_lines(history: QuestionHistory) -> Iterator[RenderableType]:
    """What to print, run by run."""
    yield Text.assemble(("question  ", "dim"), (lines(history.text), "bold"))
    yield Text.assemble(("gold      ", "dim"), cropped(history.gold, 200))
    yield Text.assemble(("source    ", "dim"), f"{cropped(history.source, 80)}, id {one_line(history.id)}")
    for state in history.states:
        yield Text()
        title = f"{state.run}: {state.state or _never_hard(state.split, state.gold_status)}"
        yield Text.assemble(("── ", "dim"), (cropped(title, 100), "bold"))
        yield from _events(history, state.run)


def _never_hard(split: str, gold_status: str) -> str:
    if gold_status != "ok":
        return f"gold answer {gold_status}, never asked"
    return "never called hardest" if split == "train" else f"{split}, never trained on"


def _events(history: QuestionHistory, run: str) -> Iterator[RenderableType]:
    events: list[tuple[int, int, list[RenderableType]]] = []
    for group in history.groups:
        if group.run == run:
            events.append((group.iteration, PLACES.get(group.purpose, SAMPLED), list(_group(group))))
    for demonstration in history.demonstrations:
        if demonstration.run == run:
            events.append((demonstration.iteration, OFFERED, list(_demonstration(demonstration))))
    for use in history.uses:
        if use.run == run:
            events.append((use.iteration, TAUGHT, list(_use(use))))
    for gone in history.leavings:
        if gone.run == run:
            events.append((gone.iteration, RETIRED if gone.reason == "retired" else LEFT, [_leaving(gone)]))
    if not events:
        yield shown("Not asked yet.", style="dim")
    for _, _, parts in sorted(events, key=lambda event: event[:2]):
        yield from parts


def _group(group: HistoryGroup) -> Iterator[RenderableType]:
    statuses = ", ".join(f"{count} {status}" for status, count in group.statuses)
    what = WORDS.get(group.purpose, group.purpose)
    about = f"{statuses}{_gate(group)}{_after(group)}  (policy version {group.policy_version})"
    yield _headline(group.iteration, what, about)
    for sample in group.samples:
        if sample.text is not None:
            answer = "no answer" if sample.answer is None else f"answer {cropped(sample.answer, 60)}"
            reason = f", {cropped(sample.reason, 80)}" if sample.reason else ""
            yield _indented(shown(written(sample.text, MOST_CHARACTERS)))
            yield _indented(shown(f"{sample.status}: {answer}{reason}", style="red"), by=14)


def _gate(group: HistoryGroup) -> str:
    if not group.is_hardest:
        return ""
    return "; hardest, kept from teaching as a control" if group.is_control else "; hardest"


def _after(group: HistoryGroup) -> str:
    """How long after teaching a probe came."""
    if group.distance is None:
        return ""
    since = "it was first taught" if group.is_taught else "the update that would have taught it"
    return f"; {group.distance} {'iteration' if group.distance == 1 else 'iterations'} after {since}"


def _demonstration(demonstration: HistoryDemonstration) -> Iterator[RenderableType]:
    cost = f", ${demonstration.cost_usd:.4f}" if demonstration.cost_usd else ""
    verdict = "admitted" if demonstration.refusal is None else f"refused: {cropped(demonstration.refusal, 120)}"
    about = f"{verdict}  (from {cropped(demonstration.source, 40)}, {demonstration.tokens} tokens{cost})"
    yield _headline(demonstration.iteration, "demonstration", about)
    yield _indented(shown(lines(demonstration.text), style="green" if demonstration.refusal is None else "dim"))


def _use(use: HistoryUse) -> Iterator[RenderableType]:
    likelihood = ""
    if use.nll_before is not None and use.nll_after is not None:
        likelihood = f"; NLL {use.nll_before:.3f} -> {use.nll_after:.3f} nats per token"
    update = f"{'supervised' if use.kind == 'sft' else 'RL'} update to policy version {use.version}{likelihood}"
    if use.prefix_tokens is None:
        yield _headline(use.iteration, "taught", update)
    else:
        yield _headline(use.iteration, "guided", f"by {use.prefix_tokens} tokens of its demonstration, {update}")


def _leaving(gone: HistoryLeaving) -> RenderableType:
    if gone.reason == "retired":
        return _headline(gone.iteration, "retired", "taught as often as the run allows")
    return _headline(gone.iteration, "left", f"its demonstration waits no more: {gone.reason.replace('_', ' ')}")


def _headline(iteration: int, what: str, about: str) -> Text:
    return Text.assemble((f"{iteration:>6}  ", "dim"), (f"{one_line(what):<14}", "cyan"), lines(about))


def _indented(text: Text, by: int = 10) -> Padding:
    return Padding(text, (0, 0, 0, by))
