"""The gate: which question is hardest, and which hard question is never taught."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from relift.config import GateConfig
from relift.records import RolloutGroup


@dataclass(frozen=True, slots=True)
class Gate:
    """Calls a group hardest by its verdicts alone, so no shaping of rewards can change the answer."""

    config: GateConfig

    def is_hardest(self, group: RolloutGroup) -> bool:
        """No rollout correct, and at least ``min_share`` of all rollouts (and at least one) of a counted status.

        Rollouts that could not be graded (timeout, error, bad_gold) stay in the group's size, so a group that mostly
        failed for our own reasons is not called hardest.
        """
        if not group.is_unsolved:
            return False
        counted = sum(group.count(status) for status in set(self.config.counts))
        return counted > 0 and counted >= self.config.min_share * len(group.rollouts)


def is_control(question_id: str, share: float) -> bool:
    """Whether a question belongs to the control group that is never taught: a fixed ``share`` of all ids, by hash.

    Independent of run and seed, so that runs can be compared on the same controls.
    """
    digest = hashlib.sha256(f"control\0{question_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
