"""What phases say in their manifests, as records: each is written to JSON and read from it here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol, Self, TypeVar

from relift.interleave import ALL_KEPT, Decision, Distil, Fates, Supervise
from relift.ledger import Use
from relift.questions import Position
from relift.records import EvalResult, PolicyVersion, Prefix, Purpose, UpdateKind, UpdateReport
from relift.store import Store

NAMES_BEFORE = {"record": "gate", "close": "report_iteration"}
"""Today's names of phases that relift 0.1.0 recorded under others."""


WARM_START, _WARM_START_FOLDER = -1, "warm_start"
"""The number of what comes before iteration 0, and the name of its folder."""


def phase_key(iteration: int, phase: str) -> str:
    """Where a phase lies in the run's store, e.g. ``"iterations/00007/rollout"``, ``"iterations/warm_start/00000"``."""
    folder = _WARM_START_FOLDER if iteration == WARM_START else f"{iteration:05d}"
    return f"iterations/{folder}/{phase}"


def iteration_of(folder: str) -> int | None:
    """By the name of a folder in ``iterations``; None for one that no phase has."""
    return WARM_START if folder == _WARM_START_FOLDER else int(folder) if folder.isdigit() else None


def phase_of(recorded: str) -> str:
    """Today's name of a phase by the name that it has in a recording, which another version of relift may have made."""
    return NAMES_BEFORE.get(recorded, recorded)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """Of what was sampled for an iteration."""

    policy_version: int
    guided: tuple[Prefix, ...] = ()
    """Of the groups beside the batch, in their order; those of questions as they are with them."""
    position: Position | None = None
    """Where the order of questions stands after it; None in runs of relift 0.1.0."""

    def to_json(self) -> dict[str, Any]:
        guided = _from_prefixes(self.guided)
        position = {"position": self.position.to_json()} if self.position else {}
        return {"policy_version": self.policy_version, **({"guided": guided} if guided else {}), **position}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        position = Position.from_json(tree["position"]) if "position" in tree else None
        guided = _prefixes(tree.get("guided", ()))
        return cls(policy_version=tree["policy_version"], guided=guided, position=position)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """Of the continuations that the rule asked for, e.g. purpose prefix_search, samples 4, two rounds."""

    policy_version: int
    purpose: Purpose
    samples: int
    """Continuations of each prefix; in the files a question's samples are those of its prefixes in their order."""
    rounds: tuple[tuple[Prefix, ...], ...]

    def to_json(self) -> dict[str, Any]:
        rounds = [_from_prefixes(prefixes) for prefixes in self.rounds]
        return {**asdict(self), "purpose": self.purpose.value, "rounds": rounds}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        rounds = tuple(_prefixes(prefixes) for prefixes in tree["rounds"])
        return cls(**{**tree, "purpose": Purpose(tree["purpose"]), "rounds": rounds})


def _from_prefixes(prefixes: Sequence[Prefix]) -> list[Any]:
    return [[p.question_id, list(p.token_ids), list(p.prompt_ids), p.demonstration_id, p.given] for p in prefixes]


def _prefixes(tree: Sequence[Any]) -> tuple[Prefix, ...]:
    """relift 0.2.0 recorded question and tokens alone."""

    def prefix(question: str, ids: Sequence[int], prompt: Sequence[int] = (), *more: Any) -> Prefix:
        made = Prefix(question_id=question, token_ids=tuple(ids), prompt_ids=tuple(prompt))
        return replace(made, demonstration_id=more[0], given=more[1]) if more else made

    return tuple(prefix(*one) for one in tree)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """Of a batch of questions."""

    decision: Decision
    rounds: int = 1
    """Of rollouts and verdicts that it was found from."""

    def to_json(self) -> dict[str, Any]:
        rounds = {"rounds": self.rounds} if self.rounds > 1 else {}
        return {**{name: list(questions) for name, questions in asdict(self.decision).items()}, **rounds}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """relift 0.1.0 recorded ``hardest`` and ``control`` alone; what is of ``Fates`` was recorded here once."""
        names = [field.name for field in fields(Decision) if field.name in tree]
        found = {name: tuple(tree[name]) for name in names}
        mistakes = tuple((question, text) for question, text in found.pop("mistakes", ()))
        return cls(decision=Decision(**found, mistakes=mistakes), rounds=tree.get("rounds", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """Of what teachers were asked for."""

    owed: tuple[str, ...]
    """Ids of the questions that they had not answered yet."""

    def to_json(self) -> dict[str, Any]:
        return {"asked": list(self.owed)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        return cls(owed=tuple(tree["asked"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRecord:
    """Of the RL update or of all supervised updates of an iteration, with what a replay needs beside their files."""

    version: PolicyVersion
    """After them, without its phase."""
    reports: tuple[UpdateReport, ...]
    uses: tuple[tuple[Use, ...], ...]
    """Demonstrations that each update trained on; of an RL update as its fates name them."""
    lr: float
    rollouts: str = ""
    """Of an RL update: where the phase lies whose rollouts it trained on."""
    verdicts: str = ""
    gated: str = ""
    """Empty in runs of relift 0.1.0, whose updates kept every group as it was."""
    fates: Fates = ALL_KEPT
    """Of the groups of an RL update."""

    @property
    def moved(self) -> bool:
        """Whether any optimizer step was taken; else the version is the one before."""
        return any(report.steps for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        version = asdict(self.version)
        version.pop("phase")
        inputs = {"rollout": self.rollouts, "verify": self.verdicts, "gate": self.gated} if self.rollouts else {}
        fates = {"fates": asdict(self.fates)} if self.fates != ALL_KEPT else {}
        return {
            "version": version,
            "moved": self.moved,
            "reports": [asdict(report) for report in self.reports],
            "uses": [[asdict(use) for use in of_update] for of_update in self.uses],
            "redo": {**inputs, **fates, "lr": self.lr},
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        redo = tree["redo"]
        return cls(
            version=version_from_json(tree["version"]),
            reports=tuple(UpdateReport.of(report) for report in tree["reports"]),
            uses=tuple(tuple(Use(**use) for use in of_update) for of_update in tree["uses"]),
            lr=redo["lr"],
            rollouts=redo.get("rollout", ""),
            verdicts=redo.get("verify", ""),
            gated=redo.get("gate", ""),
            fates=fates_from_json(redo.get("fates", {})),
        )

    def used_by(self, update: int) -> tuple[Use, ...]:
        return self.uses[update] if self.uses else ()


def fates_from_json(tree: Mapping[str, Any]) -> Fates:
    """Also of what gates recorded once, which knew ``dropped`` and ``joined``."""
    return Fates(
        dropped=tuple(tree.get("dropped", ())),
        joined=tuple(tree.get("joined", ())),
        supervised=tuple(Supervise(**answer) for answer in tree.get("supervised", ())),
        distilled=tuple(Distil(**answer) for answer in tree.get("distilled", ())),
        rl_weight=tree.get("rl_weight", 1.0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """Of a held-out evaluation."""

    results: tuple[EvalResult, ...]
    full: bool
    """Whether all held-out questions were asked, not the first few of each benchmark."""

    @property
    def mean(self) -> float:
        """Of the benchmarks' accuracies."""
        return sum(result.avg_at_k for result in self.results) / len(self.results)

    def to_json(self) -> dict[str, Any]:
        return {"results": [asdict(result) for result in self.results], "full": self.full}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        return cls(results=tuple(EvalResult(**result) for result in tree["results"]), full=bool(tree["full"]))


class Record(Protocol):
    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self: ...


R = TypeVar("R", bound=Record)


def find(store: Store, key: str, kind: type[R]) -> R | None:
    """What the phase at a key recorded; None where none is finished. Raises StoreError for a damaged manifest."""
    manifest = store.manifest(key)
    return None if manifest is None else kind.from_json(manifest.facts)


def read(store: Store, key: str, kind: type[R]) -> R:
    """What the finished phase at a key recorded."""
    found = find(store, key, kind)
    assert found is not None, key
    return found


def version_from_json(tree: Mapping[str, Any]) -> PolicyVersion:
    """A version as manifests and checkpoints hold it, without its phase."""
    return PolicyVersion(**{**tree, "kind": UpdateKind(tree["kind"]) if tree["kind"] else None})
