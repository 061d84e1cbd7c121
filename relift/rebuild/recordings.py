"""The recorded phases of a run as batches of its ledger, written as the phases themselves write them.

Nothing is sampled, verified or trained: what a phase found lies in its files and its manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relift.errors import StoreError
from relift.ledger import Ledger
from relift.ledger.carry_over import Replaced
from relift.phases.tables import completions_from_parquet, demonstrations_from_parquet, groups_from_parquet
from relift.records import IterationReport, PhaseRef, Purpose, Question, RolloutGroup
from relift.run.progress import METRICS, metrics_lines
from relift.run.recorded import (
    WARM_START,
    EvaluationRecord,
    GateRecord,
    R,
    RolloutRecord,
    TrialRecord,
    UpdateRecord,
    iteration_of,
    phase_key,
    phase_of,
    read,
)
from relift.store.folder import FolderStore
from relift.store.manifest import Manifest

ROLLOUTS, VERDICTS, DEMONSTRATIONS = "rollouts.parquet", "verdicts.parquet", "demonstrations.parquet"
CONFIRM = "confirm_"
_RECORDS: Mapping[str, type[GateRecord | TrialRecord | UpdateRecord | EvaluationRecord]] = {
    "gate": GateRecord,
    "trial": TrialRecord,
    "rl_update": UpdateRecord,
    "sft_update": UpdateRecord,
    "evaluate": EvaluationRecord,
}
"""What a phase's manifest has to say for its rows to be written."""
_PURPOSES = {"gate": Purpose.TRAIN, "probe": Purpose.PROBE, "evaluate": Purpose.EVALUATION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A finished phase, e.g. iteration 7, phase ``"gate"``, place ``"iterations/00007/gate"``."""

    iteration: int
    phase: str
    """Its name today."""
    key: str
    manifest: Manifest

    def says(self, kind: type[R]) -> R:
        return kind.from_json(self.manifest.facts)

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
            "gate": self._write_training,
            "probe": self._write_probe,
            "trial": self._write_trials,
            "source": self._write_demonstrations,
            "rl_update": self._write_updates,
            "sft_update": self._write_updates,
            "evaluate": self._write_evaluation,
        }
        self._updated = set[int]()
        """Iterations that reported an update."""
        self._reports = self._reported()
        keys = store.folders("iterations")
        found = (recorded for key in keys if (recorded := self._recorded(key)))
        self._phases = sorted(found, key=lambda recorded: recorded.iteration)  # what was offered first stays
        is_old = any(key.endswith("/record") for key in keys)
        self._report_key = "close" if is_old else "report_iteration"

    @property
    def problems(self) -> list[str]:
        """Recordings that cannot be used, a sentence for each reason."""
        return [
            f"{keys[0]}{f' and {len(keys) - 1} more' if keys[1:] else ''} cannot be used: {why}"
            for why, keys in self._unusable.items()
        ]

    def replaced(self) -> Replaced:
        """The batches that ``write`` will write."""
        return Replaced(
            keys=frozenset(key for recorded in self._phases for key in self._batch_keys(recorded))
            | {self._batch_key(phase_key(number, self._report_key)) for number in self._reports},
            groups=frozenset(
                (recorded.iteration, purpose.value) for recorded in self._phases for purpose in self._purposes(recorded)
            ),
            updates=frozenset(
                (recorded.iteration, recorded.phase.removesuffix("_update"))
                for recorded in self._phases
                if recorded.phase.endswith("_update") and recorded.iteration != WARM_START
            ),
            epochs=frozenset(
                recorded.says(UpdateRecord).version.number
                for recorded in self._phases
                if recorded.phase == "sft_update" and recorded.iteration == WARM_START
            ),
            evaluations=frozenset(r.iteration for r in self._phases if r.phase == "evaluate"),
            iterations=frozenset(self._reports),
        )

    def write(self, ledger: Ledger, by_id: Mapping[str, Question]) -> int:
        """Write every recorded batch; how many there were. Raises StoreError for a file that is damaged."""
        batches = sum(self._writers[recorded.phase](ledger, recorded, by_id) for recorded in self._phases)
        for number, report in sorted(self._reports.items()):
            ledger.record_iteration(self._batch_key(phase_key(number, self._report_key)), report)
        return batches + len(self._reports)

    def missing(self, ledger: Ledger) -> list[str]:
        """What the run once had and the ledger has not, in sentences."""
        said = []
        for what, table, where, reported in (
            ("rollouts", "groups", "purpose = 'train'", set(self._reports)),
            ("updates", "updates", "true", self._updated),
        ):
            found = {i for (i,) in ledger.execute(f"SELECT DISTINCT iteration FROM {table} WHERE {where}")}
            if lacking := sorted(reported - found):
                said.append(
                    f"The {what} of {len(lacking)} iterations ({lacking[0]} to {lacking[-1]}) are lost: their "
                    f"recordings were removed when no checkpoint needed them any more, and no ledger that can be read "
                    f"holds them."
                )
        return said

    def _recorded(self, key: str) -> Recorded | None:
        """The finished phase at a key; None for one that has nothing to do with the ledger or cannot be used."""
        _, number, folder = (*key.split("/"), "", "")[:3]
        iteration = iteration_of(number)
        phase = "sft_update" if iteration == WARM_START and folder.isdigit() else phase_of(folder)
        if phase not in self._writers or iteration is None:
            return None
        try:
            manifest = self._store.manifest(key)
            if manifest is None:
                return None
            recorded = Recorded(iteration=iteration, phase=phase, key=key, manifest=manifest)
            for needed in self._phase_keys(recorded):
                source = self._store.manifest(needed)
                if source is None:
                    raise StoreError(f"{needed} is not recorded any more")
                for entry in source.files:
                    self._store.checked_path(needed, entry.name)
            if phase in _RECORDS:
                recorded.says(_RECORDS[phase])  # StoreError where something is not said
            self._beside(recorded)
            if phase == "evaluate" and not any(entry.name == VERDICTS for entry in manifest.files):
                raise StoreError("it was recorded by an earlier relift, without the verdicts")
        except StoreError as problem:
            self._unusable.setdefault(str(problem), []).append(key)
            return None
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            why = f"its manifest is of another version of relift, or was changed ({problem!r})"
            self._unusable.setdefault(why, []).append(key)
            return None
        return recorded

    def _phase_keys(self, recorded: Recorded) -> tuple[str, ...]:
        """Whose files a phase's rows are made of."""
        if recorded.phase != "gate":
            return (recorded.key,)
        return (*self._rounds(recorded, "rollout"), *self._rounds(recorded, "verify"))

    def _rounds(self, recorded: Recorded, phase: str) -> tuple[str, ...]:
        """Of a phase whose files a gate read, one key for each round."""
        rounds = recorded.says(GateRecord).rounds
        return PhaseRef(key=phase_key(recorded.iteration, phase), sha256="", rounds=rounds).keys

    def _purposes(self, recorded: Recorded) -> list[Purpose]:
        found = [_PURPOSES[recorded.phase]] if recorded.phase in _PURPOSES else []
        found += [Purpose.CONFIRM] * recorded.has_confirmed
        found += [recorded.says(TrialRecord).purpose] if recorded.phase == "trial" else []
        return found + self._beside(recorded)

    def _beside(self, recorded: Recorded) -> list[Purpose]:
        """Of the groups beside its iteration's batch, which the gate writes."""
        if recorded.phase != "gate":
            return []
        prefixes = read(self._store, self._phase_keys(recorded)[0], RolloutRecord).guided
        return sorted({prefix.purpose for prefix in prefixes})

    def _batch_keys(self, recorded: Recorded) -> list[str]:
        key = recorded.key
        if recorded.phase.endswith("_update"):
            return [self._batch_key(f"{key}/{index}") for index in range(len(recorded.says(UpdateRecord).reports))]
        batch_keys = [self._batch_key(key)]
        batch_keys += [self._batch_key(f"{key}/{purpose}") for purpose in self._beside(recorded)]
        if recorded.phase == "evaluate":
            batch_keys += [self._batch_key(f"{key}/attempts")] + [
                self._batch_key(f"{key}/confirm")
            ] * recorded.has_confirmed
        return batch_keys

    def _batch_key(self, key: str) -> str:
        return f"{self._run}/{key}"

    def _groups(
        self, rollouts: Sequence[str], verdicts: Sequence[str], by_id: Mapping[str, Question], prefix: str = ""
    ) -> list[RolloutGroup]:
        contents = (self._store.read(key, prefix + ROLLOUTS) for key in rollouts)
        completions = [found for content in contents for found in completions_from_parquet(content)]
        return groups_from_parquet(completions, [self._store.read(key, prefix + VERDICTS) for key in verdicts], by_id)

    def _write_training(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        rollouts, verdicts = (self._rounds(recorded, phase) for phase in ("rollout", "verify"))
        groups = self._groups(rollouts, verdicts, by_id)
        decision = recorded.says(GateRecord).decision
        purposes = self._beside(recorded)
        for purpose in purposes:
            beside = self._groups(rollouts[:1], verdicts[:1], by_id, f"{purpose}_")
            batch_key = self._batch_key(f"{recorded.key}/{purpose}")
            ledger.record_attempts(batch_key, recorded.iteration, beside, purpose=purpose)
        ledger.record_attempts(
            self._batch_key(recorded.key),
            recorded.iteration,
            groups,
            purpose=Purpose.TRAIN,
            hardest=decision.hardest,
            control=decision.control,
        )
        return 1 + len(purposes)

    def _write_probe(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        groups = self._groups([recorded.key], [recorded.key], by_id)
        ledger.record_attempts(self._batch_key(recorded.key), recorded.iteration, groups, purpose=Purpose.PROBE)
        return 1

    def _write_trials(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        groups, purpose = self._groups([recorded.key], [recorded.key], by_id), recorded.says(TrialRecord).purpose
        ledger.record_attempts(self._batch_key(recorded.key), recorded.iteration, groups, purpose=purpose)
        return 1

    def _write_demonstrations(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        demonstrations = demonstrations_from_parquet(self._store.read(recorded.key, DEMONSTRATIONS))
        ledger.record_demonstrations(self._batch_key(recorded.key), recorded.iteration, demonstrations)
        return 1

    def _write_updates(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        update = recorded.says(UpdateRecord)
        for index, report in enumerate(update.reports):
            batch_key = self._batch_key(f"{recorded.key}/{index}")
            ledger.record_update(batch_key, recorded.iteration, report, update.version, update.used_by(index))
        return len(update.reports)

    def _write_evaluation(self, ledger: Ledger, recorded: Recorded, by_id: Mapping[str, Question]) -> int:
        batch_key, key, iteration = self._batch_key(recorded.key), recorded.key, recorded.iteration
        ledger.record_attempts(
            f"{batch_key}/attempts", iteration, self._groups([key], [key], by_id), purpose=Purpose.EVALUATION
        )
        if recorded.has_confirmed:
            again = self._groups([key], [key], by_id, CONFIRM)
            ledger.record_attempts(f"{batch_key}/confirm", iteration, again, purpose=Purpose.CONFIRM)
        ledger.record_evaluations(batch_key, iteration, recorded.says(EvaluationRecord).results)
        return 3 if recorded.has_confirmed else 2

    def _reported(self) -> dict[int, IterationReport]:
        """What metrics.jsonl holds of iterations, without their updates: these are recorded with more."""
        found = {}
        for number, line in metrics_lines(self._store.root / METRICS):
            try:
                tree = json.loads(line)
                report = IterationReport.of({**tree, "updates": ()})
                found[int(report.iteration)] = report
                if tree.get("updates"):
                    self._updated.add(report.iteration)
            except (ValueError, TypeError, RecursionError):
                why = "no iteration of this version of relift stands there"
                self._unusable.setdefault(why, []).append(f"{METRICS} line {number}")
        return found
