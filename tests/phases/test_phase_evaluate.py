"""An evaluation asks each benchmark as often as it says, whatever engine samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relift.phases.evaluate import evaluate, results_of
from relift.phases.report import report_evaluation
from relift.policy.engine import Engine
from relift.policy.policy import Policy
from relift.policy.sampling_request import Prompt, SamplingRequest
from relift.records import Completion, FinishReason
from relift.store import FolderStore
from tests.phases.conftest import Opener


class ListingStore(FolderStore):
    """A folder that says what it was told to keep, as a bucket would upload it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.kept: list[str] = []

    def put_file(self, name: str) -> None:
        assert (self.root / name).is_file()
        self.kept.append(name)


class ForgetfulEngine:
    """As vLLM on a GPU, which drops the weights after each sampling and refuses to sample without them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.version: int | None = None

    def serve(self, policy: Policy) -> None:
        self.version = policy.version

    def sample(self, prompts: Sequence[Prompt], request: SamplingRequest, **asked: Any) -> list[list[Completion]]:
        assert self.version == request.version, "it was asked to sample without weights"
        self.version = None
        return self.engine.sample(prompts, request, **asked)

    def close(self) -> None:
        self.engine.close()


class SayingEngine(ForgetfulEngine):
    """The same, whatever it writes is this text."""

    text = r"The answer is $\frac{17}{6}$."

    def sample(self, prompts: Sequence[Prompt], request: SamplingRequest, **asked: Any) -> list[list[Completion]]:
        groups = super().sample(prompts, request, **asked)
        return [[replace(one, text=self.text, finish_reason=FinishReason.STOP) for one in group] for group in groups]


def test_an_evaluation_reads_answers_in_its_own_form_and_rounds_the_golds_of_the_benchmark_that_says_so(
    opener: Opener, tmp_path: Path
) -> None:
    benchmarks = []
    for name, gold, rounds in (("rounded", "2.83", "true"), ("exact", "2.83", "false"), ("same", "17/6", "false")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"question": f"{name}?", "answer": gold}) + "\n")
        path = tmp_path / f"{name}.jsonl"
        benchmarks.append(f'{{name="{name}", path="{path}", rounded_golds={rounds}}}')
    told = f"evaluation.benchmarks=[{', '.join(benchmarks)}]"
    run = opener(told, 'evaluation.answer_form="flexible"')
    run.engine = SayingEngine(run.engine)
    results = results_of(run, evaluate(run, 0, run.base, full=True))
    assert {r.benchmark: r.avg_at_k for r in results if r.benchmark in ("rounded", "exact", "same")} == {
        "rounded": 1.0,
        "exact": 0.0,
        "same": 1.0,
    }


def test_benchmarks_with_different_k_are_sampled_by_an_engine_that_drops_its_weights(
    opener: Opener, tmp_path: Path
) -> None:
    rows = [{"question": f"{i}+4?", "answer": str(i + 4)} for i in range(10, 14)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark = f'evaluation.benchmarks=[{{name="sums", path="{tmp_path / "sums.jsonl"}", samples=3}}]'
    run = opener(benchmark, "evaluation.temperature=1.0")
    run.engine = ForgetfulEngine(run.engine)
    results = results_of(run, evaluate(run, 0, run.base, full=True))
    assert {r.benchmark: r.k for r in results if r.benchmark in ("sums", "arithmetic/add3")} == {
        "sums": 3,
        "arithmetic/add3": 1,
    }


def test_the_report_of_an_evaluation_is_kept_in_the_store(opener: Opener) -> None:
    run = opener()
    run.store = store = ListingStore(run.root)
    report_evaluation(run, results_of(run, evaluate(run, 0, run.base, full=True)))
    assert store.kept == ["report/index.html", "report/benchmarks.png"]


class AskedEngine(ForgetfulEngine):
    """The same, and it remembers how it was asked."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked: dict[str, tuple[float, int]] = {}

    def sample(self, prompts: Sequence[Prompt], request: SamplingRequest, **asked: Any) -> list[list[Completion]]:
        self.asked |= {prompt.question.source: (request.temperature, request.samples) for prompt in prompts}
        return super().sample(prompts, request, **asked)


def test_a_benchmark_is_asked_at_its_own_temperature(opener: Opener, tmp_path: Path) -> None:
    """Of one file greedily and, in the same evaluation, eight times at 1, for pass@8."""
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps({"question": "12*34?", "answer": "408"}) + "\n")
    greedy, sampled = (
        f'{{name="greedy", path="{path}"}}',
        f'{{name="eight", path="{path}", samples=8, temperature=1.0}}',
    )
    run = opener(f"evaluation.benchmarks=[{greedy}, {sampled}]")
    engine = run.engine = AskedEngine(run.engine)
    results = {r.benchmark: r for r in results_of(run, evaluate(run, 0, run.base, full=True))}
    assert (engine.asked["greedy"], engine.asked["eight"]) == ((0.0, 1), (1.0, 8))
    assert (results["greedy"].k, results["eight"].k, results["eight"].questions) == (1, 8, 1)


def test_an_evaluation_in_between_stays_as_it_was_asked(opener: Opener) -> None:
    run = opener()
    first = evaluate(run, 3, run.base, full=False)
    run.__exit__()
    again = opener("evaluation.interim_questions=5")
    assert evaluate(again, 3, again.base, full=False) == replace(first, reused=True)
    assert evaluate(again, 6, again.base, full=False).counts["questions"] == 9 * 5
