"""The verifier against plain math-verify in one process (tests/bench/plain_math_verify.py), as ratios in one run.

Needs the folder of public data that RELIFT_DATA names (GSM8K's training split and the reference's benchmarks).
(a) numeric: long completions made of GSM8K's solutions, a third of them with a wrong number at the end, each pair once.
(b) mixed: 97 % of such completions and 3 % pairs of the reference's benchmarks, half of these with another gold.
(c) pairs: such pairs alone; the right ones are a gold with itself.
Every measurement has a verifier of its own with two workers and counts their start; `warm` is a second pass over (b) in
the same verifier. Each figure is the median of several runs, ours and theirs in turn. Fails when one is below its bar.

Before that come the verdicts themselves: real golds with one thing changed (verifier_mutations.py), and the labelled
cases of statements (tests/verifier/statement_cases.py).
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from relift.records import Completion, FinishReason, Status, Verdict
from relift.verifier import Verifier
from tests.bench import verifier_mutations
from tests.bench.figures import write
from tests.verifier import statement_cases

DATA = Path(os.environ.get("RELIFT_DATA", "../shared/data"))
BARS = {
    "numeric_ratio_math_verify": 50.0,
    "mixed_ratio_math_verify": 5.0,
    "pairs_ratio_math_verify": 1.5,
    "warm_answers_per_s": 10_000.0,
}
NUMERIC, MIXED, PAIRS = 3_000, 4_000, 800
RUNS = 3
LONG = 6
"""Solutions that make one completion, about 2,000 characters; the last is the question's own."""


@dataclass(frozen=True, slots=True)
class Pair:
    gold: str
    completion: str
    is_right: bool


def numeric_pairs(count: int, seed: int) -> list[Pair]:
    """Distinct questions; every third ends in a number that is one off."""
    solutions = [row["answer"] for row in pq.read_table(DATA / "gsm8k_train.parquet").to_pylist()]
    draw = random.Random(seed)
    pairs = []
    for number, own in enumerate(draw.sample(solutions, count)):
        text, _, gold = own.rpartition("####")
        gold = gold.strip()
        thoughts = [other.rpartition("####")[0] for other in draw.sample(solutions, LONG - 1)]
        said = gold if number % 3 else str(int(gold.replace(",", "")) + 1)
        completion = "\n".join([*thoughts, text, rf"So the answer is \boxed{{{said}}}."])
        pairs.append(Pair(gold, completion, said == gold))
    return pairs


def reference_pairs(count: int, seed: int) -> list[Pair]:
    """Each gold at most twice: with itself, and with another one."""
    rows = pq.read_table(DATA / "reference_benchmarks.parquet", columns=["reward_model"]).to_pylist()
    golds = sorted({row["reward_model"]["ground_truth"] for row in rows})
    draw = random.Random(seed)
    right = [Pair(gold, _boxed(gold), True) for gold in draw.sample(golds, count // 2)]
    wrong = [
        Pair(gold, _boxed(draw.choice([g for g in golds if g != gold])), False)
        for gold in draw.sample(golds, count // 2)
    ]
    return right + wrong


def mixed_pairs(count: int, seed: int) -> list[Pair]:
    of_reference = round(0.03 * count)
    pairs = numeric_pairs(count - of_reference, seed) + reference_pairs(of_reference, seed)
    random.Random(seed).shuffle(pairs)
    return pairs


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"RELIFT_DATA: there is no folder {DATA} with gsm8k_train.parquet and reference_benchmarks.parquet")
    figures = verifier_mutations.main(DATA)
    cases = statement_cases.cases(DATA)
    verdicts = statement_cases.judged(cases)
    marked = [pair for pair in zip(cases, verdicts, strict=True) if statement_cases.is_marked(pair[0])]
    figures["statement_cases"] = float(len(cases))
    figures["statement_cases_as_labelled_share"] = statistics.mean(statement_cases.is_as_labelled(*p) for p in marked)
    for name, pairs in {
        "numeric": numeric_pairs(NUMERIC, 0),
        "mixed": mixed_pairs(MIXED, 1),
        "pairs": reference_pairs(PAIRS, 2),
    }.items():
        figures |= measured(name, pairs)
    write("verifier", figures)
    missed = verifier_mutations.misses(figures) + statement_cases.misses(cases, verdicts)
    missed += [
        f"verifier.{name} {figures[name]:.4g} is below its bar of {bar:g}"
        for name, bar in BARS.items()
        if not figures[name] >= bar
    ]
    print("\n".join(missed), end="\n" if missed else "")
    sys.exit(1 if missed else 0)


def measured(name: str, pairs: list[Pair]) -> dict[str, float]:
    ours_s, plain_s, ratios, warm = [], [], [], []
    for _ in range(RUNS):
        with Verifier("boxed", workers=2) as verifier:
            began = time.perf_counter()
            found = graded(verifier, pairs)
            ours_s.append(time.perf_counter() - began)
            began = time.perf_counter()
            graded(verifier, pairs)
            warm.append(len(pairs) / (time.perf_counter() - began))
        plain = plain_math_verify(pairs)
        plain_s.append(plain["seconds"])
        ratios.append(plain_s[-1] / ours_s[-1])
    paths = Counter(verdict.path.value for verdict in found)
    right = sum(pair.is_right for pair in pairs)
    said = sum(verdict.status is Status.CORRECT for verdict in found)
    agree = sum((v.status is Status.CORRECT) == pair.is_right for v, pair in zip(found, pairs, strict=True))
    print(
        f"{name}: {len(pairs)} pairs, {right} made right; relift calls {said} right ({agree} as made), math-verify "
        f"{plain['equal']:.0f}; decided by "
        + ", ".join(f"{path} {count / len(pairs):.1%}" for path, count in paths.most_common())
    )
    figures = {
        f"{name}_s": statistics.median(ours_s),
        f"{name}_math_verify_s": statistics.median(plain_s),
        f"{name}_ratio_math_verify": statistics.median(ratios),
    }
    return figures | ({"warm_answers_per_s": statistics.median(warm)} if name == "mixed" else {})


def graded(verifier: Verifier, pairs: list[Pair]) -> list[Verdict]:
    return verifier.verify_batch([(pair.gold, _completion(pair.completion)) for pair in pairs])


def plain_math_verify(pairs: list[Pair]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.plain_math_verify"],
        input=json.dumps([(pair.gold, pair.completion) for pair in pairs]),
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def _boxed(answer: str) -> str:
    return rf"The answer is $\boxed{{{answer}}}$."


def _completion(text: str) -> Completion:
    return Completion(token_ids=(), logprobs=(), text=text, finish_reason=FinishReason.STOP, policy_version=0)
