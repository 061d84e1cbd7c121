"""The tables of a study's page. Whatever a result holds is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from statistics import fmean

from relift.study.page.differences import changes, distances, later, p_value, points, pooled_lift
from relift.study.page.drawing import SHORT, unit_of
from relift.study.page.view import Method, StudyView, differing_settings, fell_short
from relift.study.results import PairResult

HOLDS = "holds"
BANDS = ("unsolved", "sometimes", "always")


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1, above: str = "", css: str = ""
) -> str:
    """Cells are HTML. The first ``words`` columns are words, the rest numbers; ``above`` is a row over the heads."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}>{cell}</{tag}>" if index < words else f'<{tag} class="number">{cell}</{tag}>'
            for index, cell in enumerate(cells)
        )

    body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{css}"><thead>{above}<tr>{line("th", heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def amount(value: float) -> str:
    return f"{value:,.0f}"


def flops_in(methods: Sequence[Method]) -> tuple[str, Callable[[float], str]]:
    """The head of a column of update FLOPs, and how its numbers are written: all in one unit."""
    spent = [run.update_flops for method in methods for run in method.runs if run.update_flops > 0]
    unit, said = unit_of(min(spent, default=0.0))
    decimals = int(bool(said) and min(spent) < 100 * unit)
    return f"update FLOPs{', ' + said if said else ''}", lambda value: f"{value / unit:,.{decimals}f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def methods_table(view: StudyView) -> str:
    """The best first; the costs where a teacher was paid."""
    methods = view.ranked
    warm = any(run.mean_start != run.mean_base for method in methods for run in method.runs)
    paid = any(run.cost_usd > 0 for method in methods for run in method.runs)
    controls = any(run.controls_bought > 0 for method in methods for run in method.runs)
    heads = ["method", "seeds", "base", *(["warm start"] if warm else []), "after", "95 % interval"]
    flops_head, flops = flops_in(methods)
    heads += ["demon\N{SOFT HYPHEN}strations", *(["controls bought"] if controls else []), "rollouts", flops_head]
    heads += ["optimizer steps", "seconds", *(["teacher, $", "controls, $"] if paid else [])]
    rows = []
    for m in methods:
        row = [_name(m), f"{len(m.runs)}{f' of {len(m.runs) + len(m.missing)}' if m.missing else ''}"]
        row.append(percent(m.average(lambda run: run.mean_base)))
        if warm:
            has_start = any(run.mean_start != run.mean_base for run in m.runs)
            row.append(percent(m.average(lambda run: run.mean_start)) if has_start else "")
        row += [f"<b>{percent(m.mean.mean)}</b>", f"{percent(m.mean.low)} to {percent(m.mean.high)}"]
        row.append(amount(m.average(lambda run: run.demonstrations)))
        if controls:
            row.append(amount(m.average(lambda run: run.controls_bought)))
        row += [amount(m.average(lambda run: run.rollouts)), flops(m.average(lambda run: run.update_flops))]
        row += [amount(m.average(lambda run: run.optimizer_steps)), amount(m.average(lambda run: run.seconds))]
        if paid:
            row.append(f"{m.average(lambda run: run.cost_usd - run.control_cost_usd):,.2f}")
            row.append(f"{m.average(lambda run: run.control_cost_usd):,.2f}")
        rows.append(row)
    rows += [[named(name), f"0 of {len(view.result.seeds)}", *[""] * (len(heads) - 2)] for name in view.waiting]
    return table(heads, rows)


def _name(method: Method) -> str:
    mark = ' <span class="mark">no rollouts</span>' if method.is_reference else ""
    return f"{named(method.name)}{mark}"


def named(name: str) -> str:
    """Not broken into lines where it fits a column."""
    return f'<span class="name">{escape(name)}</span>' if len(name) <= SHORT else escape(name)


def pairs_table(pairs: Sequence[PairResult], not_yet: Sequence[str] = (), *, planned: bool) -> str:
    """Planned pairs with what was expected, exploratory ones with the p that Holm's correction leaves."""
    heads = ["comparison", "difference", "95 % interval", "p" if planned else "p, Holm", "over"]
    rows = []
    for pair in pairs:
        row = [f"{named(pair.first)} − {named(pair.second)}", points(pair.mean)]
        row += [f"{points(pair.low)} to {points(pair.high)}", escape(p_value(pair.p_adjusted)), pair.over]
        if planned:
            seeds = ", ".join(
                f'<span class="name">{escape(seed)}: {points(value)}</span>' for seed, value in pair.by_seed.items()
            )
            outcome = verdict(pair)
            row += ["" if pair.expected is None else f"at least {points(pair.expected)}"]
            row += [outcome if outcome == HOLDS else f"<b>{outcome}</b>", seeds]
        rows.append(row)
    none = "no seed has both runs"
    rows += [[escape(name.replace(" - ", " − ")), *[""] * 5, "<b>not yet</b>", none] for name in not_yet]
    return table(
        [*heads, *(["expected", "outcome", "by seed"] if planned else [])], rows, css="pairs" if planned else ""
    )


def verdict(pair: PairResult) -> str:
    """In words."""
    if pair.high < 0:
        return "lost"
    if pair.low <= 0:
        return "undecided"
    return "less than expected" if fell_short(pair) else HOLDS


def families_table(view: StudyView) -> str:
    """Accuracy after training by family, under their kinds; the base above."""
    families = view.families
    kinds: dict[str, list[str]] = {}
    for name, family in families.items():
        kinds.setdefault(family.kind, []).append(name)
    above, heads, columns = "<th></th>", ["method"], []
    for kind, names in kinds.items():
        has_mean = bool(kind) and len(names) > 1
        above += f'<th colspan="{len(names) + has_mean}" class="kind">{escape(kind)}</th>'
        heads += [escape(name) for name in names] + (["mean"] if has_mean else [])
        columns += [(name,) for name in names] + ([tuple(names)] if has_mean else [])
    runs = [run for method in view.methods for run in method.runs]
    rows = [["before (base)", *(_share(runs, names, "base") for names in columns)]]
    for method in view.ranked:
        rows.append([_name(method), *(_share(method.runs, names, "after") for names in columns)])
        if any(run.mean_start not in (run.mean_base, run.mean) for run in method.runs):
            start = (_share(method.runs, names, "start") for names in columns)
            rows.append(
                ['<span class="mark">its warm start alone</span>', *(f'<span class="mark">{s}</span>' for s in start)]
            )
    return table(heads, rows, above=f"<tr>{above}</tr>" if any(kinds) else "")


def _share(runs: Sequence[object], names: tuple[str, ...], moment: str) -> str:
    shares = [
        getattr(run.families[name], moment) for run in runs for name in names if name in run.families  # type: ignore[attr-defined]
    ]  # fmt: skip
    if not shares:
        return ""
    shown = percent(fmean(shares))
    return f"<b>{shown}</b>" if len(names) > 1 else shown


def pass_table(view: StudyView) -> str:
    """pass@k of the benchmarks that are sampled more than once; empty where none is."""
    runs = [run for method in view.methods for run in method.runs]
    sampled = {name: found.samples for run in runs for name, found in run.questions.items() if found.samples > 1}
    rows = []
    for m in view.ranked if sampled else ():
        row = [_name(m)]
        for name in sampled:
            of = [run.questions[name] for run in m.runs if name in run.questions]
            row += [
                percent(fmean(fmean(count > 0 for count in getattr(found, moment)) for found in of)) if of else ""
                for moment in ("before", "after")
            ]
        rows.append(row)
    heads = [
        f"{escape(name)}, pass@{k} {moment}" for name, k in sampled.items() for moment in ("at the start", "after")
    ]
    return table(["method", *heads], rows) if rows else ""


def transitions_table(view: StudyView) -> str:
    """Held-out questions from band to band, means over the seeds."""
    moves = [run.transitions for method in view.methods for run in method.runs]
    bands = [b for b in BANDS if any(b in found or any(b in to for to in found.values()) for found in moves)]
    above = "<th></th>" + "".join(f'<th colspan="{len(bands)}" class="kind">{b} before, then</th>' for b in bands)
    above += '<th colspan="2" class="kind">percent of all</th>'
    heads = ["method", *bands * len(bands), "forgotten", "learned"]
    rows = []
    for m in view.ranked:
        counts = [
            m.average(lambda run, a=a, b=b: run.transitions.get(a, {}).get(b, 0))  # type: ignore[misc]
            for a in bands for b in bands
        ]  # fmt: skip
        rows.append([_name(m), *(f"{count:,.0f}" for count in counts), *(percent(share) for share in changes(m))])
    return table(heads, rows, above=f"<tr>{above}</tr>")


def lift_table(view: StudyView) -> str:
    columns = distances(view.methods)
    rows = []
    for m in view.ranked:
        row = [_name(m)]
        for distance in columns or ["0"]:
            lift = pooled_lift(m, distance)
            if lift is None:
                row.append("<i>not defined</i>")
                continue
            of = "" if lift.runs == len(m.runs) else f", in {lift.runs} of {len(m.runs)} runs"
            row.append(
                f"<b>{points(lift.lift)}</b> ({points(lift.low)} to {points(lift.high)})"
                f'<br><span class="mark">{lift.taught_questions:,} taught, '
                f"{lift.control_questions:,} controls, over {lift.over}{of}</span>"
            )
        rows.append(row)
    return table(["method", *(escape(later(d)) for d in columns)] if columns else ["method", "lift"], rows)


def settings_table(view: StudyView) -> str:
    """What differs between methods; empty where nothing does."""
    rows = []
    for key, values in differing_settings(view.methods).items():
        for index, (value, names) in enumerate(values.items()):
            first = f"<code>{escape(key)}</code>" if not index else ""
            rows.append([first, f"<code>{escape(value)}</code>", escape(", ".join(names))])
    return table(["setting", "value", "methods"], rows, words=3, css="settings") if rows else ""


def runs_table(view: StudyView) -> str:
    flops_head, flops = flops_in(view.methods)
    heads = ["run", "seed", "after", "demon\N{SOFT HYPHEN}strations", "rollouts", flops_head, "optimizer steps"]
    heads += ["iterations", "of the budget", "seconds", "weights, SHA-256"]
    rows = [
        [
            named(run.method), str(run.seed), percent(run.mean), amount(run.demonstrations), amount(run.rollouts),
            flops(run.update_flops), amount(run.optimizer_steps), amount(run.iterations),
            "" if run.budget_used is None else f"{percent(run.budget_used)} %", amount(run.seconds),
            f"<code>{escape(run.weights_sha256[:12])}</code>",
        ]
        for method in view.methods for run in method.runs
    ]  # fmt: skip
    rows += [[named(name), "", "has not ended", *[""] * (len(heads) - 3)] for name in view.result.missing]
    return table(heads, rows)
