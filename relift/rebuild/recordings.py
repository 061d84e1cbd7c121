"""The recorded phases of a run as batches of its ledger, written as the phases themselves write them.

Nothing is sampled, verified or trained: what a phase found lies in its files and its manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relift.errors import StoreError
from relift.ledger import Ledger, Use
from relift.ledger.kept import Replaced
from relift.phases.tables import demonstrations_from_parquet, groups_from_parquet
from relift.records import (
    EvalResult,
    IterationReport,
    PolicyVersion,
    Purpose,
    Question,
    RolloutGroup,
    UpdateKind,
    UpdateReport,
)
from relift.run.progress import METRICS, metrics_lines
from relift.store.folder import FolderStore
from relift.store.manifest import Manifest

ROLLOUTS, VERDICTS, DEMONSTRATIONS, CONFIRM = (
    "rollouts.parquet",
    "verdicts.parquet",
    "demonstrations.parquet",
    "confirm_",
)
_FACTS = {
    "record": ("hardest", "control"),
    "rl_update": ("version", "reports", "uses"),
    "sft_update": ("version", "reports", "uses"),
    "evaluate": ("results",),
}
"""What a phase's manifest has to say for its rows to be written."""
_PURPOSES = {"record": Purpose.TRAIN, "probe": Purpose.PROBE, "evaluate": Purpose.EVALUATION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A finished phase, e.g. iteration 7, phase ``"record"``, place ``"iterations/00007/record"``."""

    iteration: int
    phase: str
    place: str
    manifest: Manifest

    @property
    def has_confirmed(self) -> bool:
        return any(entry.name.startswith(CONFIRM) for entry in self.manifest.files)


class Recordings:
    """What lies under ``iterations/`` and in ``metrics.jsonl`` of a run."""

    def __init__(self, store: FolderStore, run: str) -> None:
        self._unusable: dict[str, list[str]] = {}
        self._store = store
        self._run = run
        self._writers: dict[str, Callable[[Ledger, Recorded, Mapping[str, Question]], int]] = {
            "record": self._write_training,
            "probe": self._write_probe,
            "source": self._write_demonstrations,
            "rl_update": self._write_updates,
            "sft_update": self._write_updates,
            "evaluate": self._write_evaluation,
        }
        self._reports = self._reported()
        self._phases = [found for place in store.folders("iterations") if (found := self._recorded(place))]

    @property
    def problems(self) -> list[str]:
        """Recordings that cannot be used, a sentence for each reason."""
        return [
            f"{places[0]}{f' and {len(places) - 1} more' if places[1:] else ''} cannot be used: {why}"
            for why, places in self._unusable.items()
        ]

    def replaced(self) -> Replaced:
        """The batches that ``write`` will write."""
        return Replaced(
            keys=frozenset(key for recorded in self._phases for key in self._keys(recorded))
            | {self._key(f"iterations/{number:05d}/close") for number in self._reports},
            groups=frozenset(
                (recorded.iteration, purpose.value)
                for recorded in self._phases
                for purpose in (_PURPOSES.get(recorded.phase), Purpose.CONFIRM if recorded.has_confirmed else None)
                if purpose
            ),
            updates=frozenset(
                (recorded.iteration, recorded.phase.removesuffix("_update"))
                for recorded in self._phases
                if recorded.phase.endswith("_update")
            ),
            evaluations=frozenset(r.iteration for r in self._phases if r.phase == "evaluate"),
            iterations=frozenset(self._reports),
        )

    def write(self, ledger: Ledger, by_id: Mapping[str, Question]) -> int:
        """Write every recorded batch; how many there were. Raises StoreError for a file that is damaged."""
        batches = sum(self._writers[recorded.phase](ledger, recorded, by_id) for recorded in self._phases)
        for number, report in sorted(self._reports.items()):
            ledger.record_iteration(self._key(f"iterations/{number:05d}/close"), report)
        return batches + len(self._reports)

    def missing(self, ledger: Ledger) -> list[str]:
        """What the run once had and the ledger has not, in sentences."""
        said = []
        for what, table, where in (
            ("rollouts", "groups", "purpose = 'train'"),
            ("updates", "updates", "true"),
        ):
            found = {i for (i,) in ledger.execute(f"SELECT DISTINCT iteration FROM {table} WHERE {where}")}
            if lacking := sorted(set(self._reports) - found):
                said.append(
                    f"The {what} of {len(lacking)} iterations ({lacking[0]} to {lacking[-1]}) are lost: their "
                    f"recordings were removed when no checkpoint needed them any more, and no ledger that can be read "
                    f"holds them."
                )
        return said

    def _recorded(self, place: str) -> Recorded | None:
        """The finished phase at a place; None for one that has nothing to do with the ledger or cannot be used."""
        _, number, phase = (*place.split("/"), "", "")[:3]
        if phase not in self._writers or not number.isdigit():
            return None
        try:
            manifest = self._store.manifest(place)
            if manifest is None:
                return None
            recorded = Recorded(iteration=int(number), phase=phase, place=place, manifest=manifest)
            for needed in self._places(recorded):
                source = self._store.manifest(needed)
                if source is None:
                    raise StoreError(f"{needed} is not recorded any more")
                for entry in source.files:
                    self._store.checked_path(needed, entry.name)
            for fact in _FACTS.get(phase, ()):
                _ = manifest.facts[fact]  # StoreError where it is not said
            if phase == "evaluate" and not any(entry.name == VERDICTS for entry in manifest.files):
                raise StoreError("it was recorded by an earlier relift, without the verdicts")
        except StoreError as problem:
            self._unusable.setdefault(str(problem), []).append(place)
            return None
        return recorded

    def _places(self, recorded: Recorded) -> tuple[str, ...]:
        """Whose files a phase's rows are made of."""
        if recorded.phase != "record":
            return (recorded.place,)
        return tuple(f"iterations/{recorded.iteration:05d}/{phase}" for phase in ("rollout", "verify"))

    def _keys(self, recorded: Recorded) -> list[str]:
        place = recorded.place
        if recorded.phase.endswith("_update"):
            return [self._key(f"{place}/{index}") for index in range(len(recorded.manifest.facts["reports"]))]
        keys = [self._key(place)]
        if recorded.phase == "evaluate":
            keys += [self._key(f"{place}/attempts")] + [self._key(f"{place}/confirm")] * recorded.has_confirmed
        return keys

    def _key(self, place: str) -> str:
        return f"{self._run}/{place}"

    def _groups(
        self, rollouts: str, verdicts: str, by_id: Mapping[str, Question], prefix: str = ""
    ) -> list[RolloutGroup]:
        return groups_from_parquet(
            self._store.read(rollouts, prefix + ROLLOUTS), self._store.read(verdicts, prefix + VERDICTS), by_id
        )

    def _write_training(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        rollouts, verdicts = self._places(recorded)
        groups = self._groups(rollouts, verdicts, by_id)
        facts = recorded.manifest.facts
        ledger.record_attempts(
            self._key(recorded.place),
            recorded.iteration,
            groups,
            purpose=Purpose.TRAIN,
            hardest=facts["hardest"],
            control=facts["control"],
        )
        return 1

    def _write_probe(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        groups = self._groups(recorded.place, recorded.place, by_id)
        ledger.record_attempts(self._key(recorded.place), recorded.iteration, groups, purpose=Purpose.PROBE)
        return 1

    def _write_demonstrations(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        offered = demonstrations_from_parquet(self._store.read(recorded.place, DEMONSTRATIONS))
        ledger.record_demonstrations(self._key(recorded.place), recorded.iteration, offered)
        return 1

    def _write_updates(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        facts = recorded.manifest.facts
        tree = dict(facts["version"])
        kind = tree.pop("kind")
        version = PolicyVersion(**tree, kind=UpdateKind(kind) if kind else None)
        for index, report in enumerate(facts["reports"]):
            uses = [Use(**use) for use in facts["uses"][index]] if facts["uses"] else []
            made = UpdateReport.of(report)
            ledger.record_update(self._key(f"{recorded.place}/{index}"), recorded.iteration, made, version, uses)
        return len(facts["reports"])

    def _write_evaluation(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        key, place, iteration = self._key(recorded.place), recorded.place, recorded.iteration
        ledger.record_attempts(
            f"{key}/attempts", iteration, self._groups(place, place, by_id), purpose=Purpose.EVALUATION
        )
        if recorded.has_confirmed:
            again = self._groups(place, place, by_id, CONFIRM)
            ledger.record_attempts(f"{key}/confirm", iteration, again, purpose=Purpose.CONFIRM)
        results = [EvalResult(**tree) for tree in recorded.manifest.facts["results"]]
        ledger.record_evaluations(key, iteration, results)
        return 3 if recorded.has_confirmed else 2

    def _reported(self) -> dict[int, IterationReport]:
        """What metrics.jsonl holds of iterations, without their updates: these are recorded with more."""
        found = {}
        for number, line in metrics_lines(self._store.root / METRICS):
            try:
                report = IterationReport(**{**json.loads(line), "updates": ()})
                found[int(report.iteration)] = report
            except (ValueError, TypeError, RecursionError):
                why = "no iteration of this version of relift stands there"
                self._unusable.setdefault(why, []).append(f"{METRICS} line {number}")
        return found
