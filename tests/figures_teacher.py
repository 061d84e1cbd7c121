"""The demo taught by an API instead of its dataset, seeds 0 to 2: `make figures-teacher` prints the means beside.

The teacher is the scripted server of the tests, over real HTTP: 20 % of the requests end in 429, 500, a timeout or a
cut answer, 15 % of the answers are wrong. Runs that are finished are read, not run again.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

from relift.arithmetic import arithmetic_questions
from relift.identity import SUMMARY_FILE
from relift.ledger import query
from relift.recipe import load_recipe
from relift.summary import RunSummary, read_summary
from tests.figures import RELIFT, SEEDS
from tests.teacher.api_settings import api_settings
from tests.teacher.faulty_server import FAULTY, KEY, FaultyServer, serving

MORE = ("teacher.api.candidates=2", "teacher.api.timeout_seconds=2", "teacher.api.backoff_seconds=0.1")
WRONG = """
    SELECT count(*) FROM demonstrations d JOIN questions q USING (run, question_id)
    WHERE d.run = '{run}' AND d.refusal IS NULL AND split_part(d.text, '=', -1) <> q.answer"""


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
    for seed, summary in zip(SEEDS, taught, strict=True):
        (wrong,) = query(Path("runs"), WRONG.format(run=summary.run)).rows[0]
        print(f"seed {seed}: mean {summary.mean_after:.1%}, {wrong} wrong solutions admitted; {summary.teacher}")
        dataset = Path("runs") / f"figures-relift-{seed}"
        if (dataset / SUMMARY_FILE).exists():
            print(f"seed {seed}: by the dataset {read_summary(dataset).mean_after:.1%}")
    print(f"mean over the seeds {statistics.fmean(s.mean_after for s in taught):.1%}")


if __name__ == "__main__":
    main()
