"""The demo taught by an API instead of its dataset, seeds 0 to 2: `make figures-teacher` prints the means beside.

The teacher is the scripted server of the tests, over real HTTP: 20 % of the requests end in 429, 500, a timeout or a
cut answer, 15 % of the answers are wrong. Runs that are finished are read, not run again. It fails where a wrong
solution was admitted, or where the mean is more than 4 points from that of docs/studies/arithmetic-tuning, whose relift
is the same runs taught by the dataset.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from relift.arithmetic import arithmetic_questions
from relift.config.recipe import load_recipe
from relift.ledger import query
from relift.run.identity import SUMMARY_FILE
from relift.run.summary import RunSummary, read_summary
from relift.study.results import RunResult
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import FAULTY, KEY, FaultyServer, serving

RELIFT = Path(sys.executable).with_name("relift")
SEEDS = (0, 1, 2)
BY_DATASET = Path("docs/studies/arithmetic-tuning")
MORE = ("teacher.api.candidates=2", "teacher.api.timeout_seconds=2", "teacher.api.backoff_seconds=0.1")
WRONG = """
    SELECT count(*) FROM demonstrations d JOIN questions q USING (run, question_id)
    WHERE d.run = '{run}' AND d.refusal IS NULL AND split_part(d.text, '=', -1) <> q.answer"""
WITHIN = 0.04
"""Between the means of runs taught by the API and by the dataset."""


def train(seed: int) -> RunSummary:
    root = Path("runs") / f"figures-teacher-{seed}"
    if not (root / SUMMARY_FILE).exists():
        config = load_recipe("demo", [f"seed={seed}"]).questions
        known = {q.text: q.solution or "" for q in arithmetic_questions(config.families, config.count or 0, seed)}
        with serving(FaultyServer(known, FAULTY)) as server:
            settings = [f"seed={seed}", *api_settings(server.url, *MORE)]
            command = [str(RELIFT), "train", "demo", "--name", root.name]
            for setting in settings:
                command += ["--set", setting]
            subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "OPENAI_API_KEY": KEY})
        outcomes = Counter(seen.outcome for seen in server.seen)
        print(f"seed {seed}: {len(server.seen)} requests, {dict(outcomes)}", file=sys.stderr)
        print(f"seed {seed}: answered twice {sum(n > 1 for n in server.answered.values())}", file=sys.stderr)
    return read_summary(root)


def main() -> None:
    taught = [train(seed) for seed in SEEDS]
    by_dataset = [RunResult.read(BY_DATASET / f"relift-{seed}.json").mean for seed in SEEDS]
    wrong_count = 0
    for seed, summary, dataset in zip(SEEDS, taught, by_dataset, strict=True):
        (wrong,) = query(Path("runs"), WRONG.format(run=summary.run)).rows[0]
        wrong_count += wrong
        print(f"seed {seed}: mean {summary.mean_after:.1%}, {wrong} wrong solutions admitted; {summary.teacher}")
        print(f"seed {seed}: by the dataset {dataset:.1%}")
    by_api = [s.mean_after for s in taught]
    print(f"mean over the seeds {statistics.fmean(by_api):.1%}")
    if missed := misses(by_api, by_dataset, wrong_count):
        sys.exit("\n".join(missed))


def misses(by_api: Sequence[float], by_dataset: Sequence[float], wrong: int) -> list[str]:
    """A line for each bar that was missed."""
    missed = [f"{wrong} wrong solutions were admitted, none may be"] if wrong else []
    apart = abs(statistics.fmean(by_api) - statistics.fmean(by_dataset))
    if not apart <= WITHIN:
        missed.append(f"the means are {100 * apart:.1f} points apart, at most {100 * WITHIN:g} are allowed")
    return missed


if __name__ == "__main__":
    main()
