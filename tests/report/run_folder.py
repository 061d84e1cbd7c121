"""Run folders as a run leaves them, made by hand: metrics, evaluations, configuration, completions and a ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from relift.config import RunConfig
from relift.ledger import Ledger
from relift.phases.tables import rollouts_to_parquet
from relift.records import (
    Completion,
    EvalResult,
    FinishReason,
    IterationReport,
    Question,
    UpdateKind,
    UpdateReport,
    question_id,
)
from relift.run.summary import FamilyScore, RunSummary
from relift.store import FolderStore

KINDS = {"add3": "mastered", "add5": "border", "mul2": "unreached"}
ACCURACIES = {0: (0.995, 0.12, 0.002), 20: (0.95, 0.6, 0.1), 40: (0.978, 0.912, 0.838)}
"""By iteration, of the families in ``KINDS``."""


def iteration(number: int, *, taught: int = 0, unsolved: int = 9, buffer: int = 5) -> IterationReport:
    return IterationReport(
        iteration=number,
        questions=64,
        rollouts=512,
        tokens=4000,
        accuracy=0.5,
        statuses={"correct": 256, "wrong": 256},
        unsolved=unsolved,
        solved_all=20,
        buffer=buffer,
        taught=taught,
        updates=(UpdateReport(kind=UpdateKind.RL, loss=0.1, tokens=4000, sequences=512, steps=2),),
        seconds={"rollout": 0.5, "verify": 0.1, "rl_update": 1.0, "sft_update": 0.01},
        mean_tokens=7.8,
    )


def write_metrics(root: Path, reports: Sequence[IterationReport]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "metrics.jsonl").write_text("".join(json.dumps(asdict(report)) + "\n" for report in reports))


def result(benchmark: str, share: float, *, kind: str = "", number: int = 0) -> EvalResult:
    return EvalResult(
        benchmark=benchmark,
        version=number,
        iteration=number,
        questions=400,
        k=1,
        avg_at_k=share,
        pass_at_k=share,
        low=max(0.0, share - 0.02),
        high=min(1.0, share + 0.02),
        kind=kind,
        bands={"easy": 1},
    )


def write_evaluation(
    root: Path, number: int, results: Sequence[EvalResult], *, full: bool, texts: Mapping[str, str] | None = None
) -> None:
    """``texts`` is what the policy wrote, by question."""
    questions = [Question(id=question_id(text), text=text, answer="", source="") for text in texts or {}]
    completions = [
        [
            Completion(
                token_ids=(1,), logprobs=(-0.5,), text=text, finish_reason=FinishReason.STOP, policy_version=number
            )
        ]
        for text in (texts or {}).values()
    ]
    FolderStore(root).publish(
        f"iterations/{number:05d}/evaluate",
        {"rollouts.parquet": rollouts_to_parquet(questions, completions)},
        inputs="x",
        facts={"results": [asdict(r) for r in results], "full": full},
    )


def write_config(root: Path, config: RunConfig) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json"), "resolved": {}}))


def write_questions(root: Path, questions: Sequence[Question]) -> None:
    """A published ledger that knows them."""
    with Ledger.open(root / "ledger.duckdb", root.name) as ledger:
        ledger.record_questions("questions", questions, "held_out")
        ledger.publish(root / "hard_examples.duckdb")


def demo_summary(name: str = "demo-0") -> RunSummary:
    """Of ``ACCURACIES``."""
    families = {
        family: FamilyScore(
            kind=kind, base=base, start=base, after=after, low=after - 0.02, high=min(1.0, after + 0.02)
        )
        for (family, kind), base, after in zip(KINDS.items(), ACCURACIES[0], ACCURACIES[40], strict=True)
    }
    return RunSummary(
        run=name,
        recipe="demo",
        seed=0,
        families=families,
        mean_base=sum(s.base for s in families.values()) / 3,
        mean_after=sum(s.after for s in families.values()) / 3,
        n=400,
        demonstrations_used=384,
        questions=8000,
        iterations=40,
        seconds=233.5,
        prefect_share=0.034,
        weights_sha256="c0ffee" * 10 + "abcd",
    )


def write_demo(root: Path) -> None:
    """Forty iterations with three evaluations."""
    write_metrics(root, [iteration(n, taught=32 if n % 4 == 3 else 0, unsolved=20 - n // 2) for n in range(40)])
    for number, shares in ACCURACIES.items():
        results = [
            result(f"arithmetic/{family}", share, kind=kind, number=number)
            for (family, kind), share in zip(KINDS.items(), shares, strict=True)
        ]
        write_evaluation(root, number, results, full=number != 20)
