"""Plausible results of a study that nobody ran, to draw: as many methods and seeds as asked."""

from __future__ import annotations

import random
from itertools import combinations
from statistics import fmean, stdev

from relift.study.results import (
    CurvePoint,
    FamilyResult,
    LiftResult,
    MethodMean,
    PairResult,
    QuestionResults,
    RunResult,
    StudyResult,
    StudyRun,
    TrainingPoint,
)

# name: final accuracy, demonstrations, FLOPs in 1e14, iterations (0: no rollouts), warm start
ARITHMETIC = {
    "grpo": (0.66, 0, 2.1, 120, 0),
    "relift": (0.90, 450, 6.3, 120, 0),
    "every-k": (0.84, 450, 6.1, 120, 0),
    "random": (0.74, 450, 5.8, 120, 0),
    "switch": (0.86, 2900, 6.9, 120, 0),
    "insert": (0.81, 3100, 7.7, 120, 0),
    "mixed": (0.83, 7200, 9.8, 120, 0),
    "guided": (0.88, 380, 7.4, 120, 0),
    "intervention": (0.79, 410, 5.2, 120, 0),
    "sft-all": (0.93, 7200, 4.4, 0, 1),
    "sft-n": (0.48, 450, 0.6, 0, 1),
    "sft-then-rl-all": (0.955, 7200, 5.9, 120, 1),
    "sft-then-rl-n": (0.71, 450, 2.8, 120, 1),
    "sft-then-relift-n": (0.91, 880, 6.2, 120, 1),
    "sft-then-relift-all": (0.957, 7300, 6.6, 120, 1),
}
FAMILIES = {
    "add3": ("mastered", 0.99), "sub3": ("mastered", 0.99), "mul1": ("mastered", 0.99),
    "add5": ("border", 0.1), "prod2": ("border", 0.26), "mulsub": ("border", 0.0),
    "mul2": ("unreached", 0.0), "eq": ("unreached", 0.02), "par": ("unreached", 0.0),
}  # fmt: skip
PLANNED = {("relift", "grpo"): 0.2, ("relift", "random"): 0.1, ("relift", "sft-then-rl-n"): 0.15,
           ("relift", "sft-then-rl-all"): None, ("guided", "relift"): None}  # fmt: skip
BASE = 0.374
EACH = 40


def made_study(
    methods: dict[str, tuple[float, int, float, int, int]] = ARITHMETIC,
    seeds: tuple[int, ...] = (101, 102, 103, 104, 105),
    *,
    missing: tuple[str, ...] = (),
    lift: bool = True,
    planned: dict[tuple[str, str], float | None] = PLANNED,
) -> tuple[StudyResult, list[RunResult]]:
    """The study and its runs; ``missing`` are named ``method-seed``."""
    runs = [
        made_run(method, seed, spec, lift=lift)
        for method, spec in methods.items() for seed in seeds if f"{method}-{seed}" not in missing
    ]  # fmt: skip
    by_method = {m: {str(run.seed): StudyRun.of(run) for run in runs if run.method == m} for m in methods}
    over = "seeds" if len(seeds) >= 4 else "questions"
    means = {}
    for method, found in by_method.items():
        if found:
            mean = fmean(run.mean for run in found.values())
            half = 0.008 + 1.24 * (stdev(run.mean for run in found.values()) if len(found) > 1 else 0.01)
            means[method] = MethodMean(mean=mean, low=mean - half, high=mean + half, over=over)
    pairs = {}
    named = [pair for pair in planned if pair[0] in means and pair[1] in means]
    others = [
        pair
        for pair in combinations(means, 2)
        if pair not in named and pair[::-1] not in named and {"grpo", "relift"} & set(pair)
    ]
    for first, second in [*named, *others]:
        shared = by_method[first].keys() & by_method[second].keys()
        by_seed = {seed: by_method[first][seed].mean - by_method[second][seed].mean for seed in sorted(shared)}
        mean = fmean(by_seed.values())
        half = 0.01 + 1.24 * (stdev(by_seed.values()) if len(by_seed) > 1 else 0.015)
        p = min(1.0, 0.05 * 2.0 ** (-6 * (abs(mean) / half - 1)))
        pairs[f"{first} - {second}"] = PairResult(
            first=first, second=second, mean=mean, low=mean - half, high=mean + half, p=p,
            p_adjusted=p if (first, second) in named else min(1.0, p * len(others)), planned=(first, second) in named,
            over=over, by_seed=by_seed, expected=planned.get((first, second)),
        )  # fmt: skip
    result = StudyResult(
        study="arithmetic",
        title="Every way to teach, at equal rollouts",
        date="2026-01-05T09:30:00Z",
        command=".venv/bin/relift compare studies/arithmetic.toml",
        versions={"relift": "0.3.0", "python": "3.11.2", "torch": "2.11.0", "transformers": "5.16.1"},
        machines=("2 CPU cores of an x86_64",),
        recipe="demo",
        seeds=seeds,
        questions=EACH * len(FAMILIES),
        budget={"rollouts": "61440"},
        methods=by_method,
        means=means,
        references=tuple(name for name, spec in methods.items() if not spec[3]),
        planned={f"{first} - {second}": expected for (first, second), expected in planned.items()},
        pairs=pairs,
        missing=missing,
    )
    return result, runs


def made_run(
    method: str, seed: int, spec: tuple[float, int, float, int, int], *, lift: bool = True, study: str = "arithmetic"
) -> RunResult:
    final, demonstrations, flops, iterations, warm = spec
    draw = random.Random(f"{method}/{seed}")
    final = min(0.99, final + draw.gauss(0, 0.014))
    start = min(final, BASE + 0.3 * warm * (demonstrations / 7200) ** 0.3) if iterations else final if warm else BASE
    rollouts = 512 * iterations
    flops = flops * 1e14 * (1 + draw.gauss(0, 0.03))
    demonstrations = (
        max(0, round(demonstrations * (1 + draw.gauss(0, 0.05)))) if demonstrations < 7000 else demonstrations
    )
    curve = made_curve(draw, start, final, iterations, warm, flops, demonstrations)
    total = EACH * len(FAMILIES)
    learned, forgotten = round(max(0.0, final - start + 0.02) * total), round(draw.uniform(0.01, 0.04) * total)
    cost = demonstrations * 0.002
    is_lifted = lift and iterations and method not in ("grpo", "random", "mixed")
    return RunResult(
        study=study, method=method, seed=seed, reference=not iterations, date="2026-01-05T09:00:00Z",
        command=f".venv/bin/relift compare studies/arithmetic.toml --only {method}:{seed}",
        versions={"relift": "0.3.0"}, machine="2 CPU cores of an x86_64",
        settings={
            "seed": str(seed), "questions.count": "7680",
            **({"rl.optimizer.lr": "0.0002"} if iterations else {"rl": "None", "iterations": "0"}),
            **({"warm_start.demonstrations": "all" if demonstrations > 7000 else str(demonstrations)} if warm else {}),
            "teach.rule.kind": method if spec[4] == 0 and method not in ("grpo", "intervention") else "relift",
        },
        fingerprint="0" * 64, made_from={"questions": "d" * 16}, budget={"rollouts": 61440.0} if iterations else {},
        mean=final, mean_base=BASE, mean_start=start, families=made_families(start, final),
        demonstrations=demonstrations, controls_bought=demonstrations // 9, rollouts=rollouts,
        update_flops=flops, optimizer_steps=2 * iterations + demonstrations // 2, sampled_tokens=14 * rollouts,
        trained_tokens=9 * rollouts, seconds=100 + 40 * (flops / 1e15) + draw.uniform(0, 9), cost_usd=1.1 * cost,
        control_cost_usd=0.1 * cost, iterations=iterations, weights_sha256=f"{draw.getrandbits(256):064x}",
        curve=curve,
        training=tuple(TrainingPoint(iteration=i, rollouts=512 * i, accuracy=0.5, unsolved=7) for i in (0, 9)),
        questions={
            name: QuestionResults(asked=name, samples=1, before=(0,) * EACH, after=(1,) * EACH) for name in FAMILIES
        },
        transitions={
            "unsolved": {"unsolved": total - round(BASE * total) - learned, "always": learned},
            "always": {"always": round(BASE * total) - forgotten, "unsolved": forgotten},
        },
        forgotten=forgotten, learned=learned,
        lift={
            distance: LiftResult(lift=at, low=at - 0.06, high=at + 0.06, taught_questions=400, control_questions=48)
            for distance, at in (("1", 0.12 + draw.gauss(0, 0.02)), ("5", 0.2 + draw.gauss(0, 0.02)), ("20", 0.31))
        } if is_lifted else None,
    )  # fmt: skip


def made_curve(
    draw: random.Random, start: float, final: float, iterations: int, warm: int, flops: float, demonstrations: int
) -> tuple[CurvePoint, ...]:
    base = CurvePoint(iteration=0, rollouts=0, update_flops=0, demonstrations=0, mean=BASE, families={}, full=True)
    curve = [base] * warm
    for iteration in range(0, iterations + 1, 20):
        share = iteration / iterations if iterations else 0.0
        risen = 1 - (1 - share) ** 2.2
        curve.append(
            CurvePoint(
                iteration=iteration, rollouts=512 * iteration, families={}, full=share in (0, 1),
                mean=min(1.0, start + (final - start) * risen + (draw.gauss(0, 0.015) if 0 < share < 1 else 0)),
                update_flops=(0.15 * warm + (1 - 0.15 * warm) * share if iterations else 1.0) * flops,
                demonstrations=round(demonstrations * (share if iterations else 1)),
            )
        )  # fmt: skip
    return tuple(curve)


def made_families(start: float, final: float) -> dict[str, FamilyResult]:
    gain = (final - BASE) / (1 - BASE)
    return {
        name: FamilyResult(
            kind=kind, base=base, start=base + (start - BASE) * (1 - base),
            after=max(0.0, base + gain * (1 - base) - 0.02), questions=EACH,
        )
        for name, (kind, base) in FAMILIES.items()
    }  # fmt: skip
