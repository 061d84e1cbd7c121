"""A configuration that a run recorded, in run.json or in its ledger, in the keys of today.

Whatever reads one goes through ``in_todays_keys``: a run of an earlier relift can then still be evaluated, reported,
exported, attached, rebuilt and harvested. A recipe does not: its old keys are refused with their new place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

Translation = Callable[[dict[str, Any]], None]


def in_todays_keys(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a recorded tree as this relift would have written it; without checks, since parts of it may do."""
    tree = copy.deepcopy(dict(recorded))
    for translate in TRANSLATIONS:
        translate(tree)
    return tree


def _loss_by_kind(tree: dict[str, Any]) -> None:
    """``rl.surrogate``, ``rl.ratio`` and ``rl.clip`` became ``rl.loss``."""
    rl = tree.get("rl")
    if not isinstance(rl, dict) or "surrogate" not in rl:
        return
    surrogate, ratio, clip = rl.pop("surrogate"), rl.pop("ratio"), rl.pop("clip")
    if surrogate == "cispo":
        rl["loss"] = {"kind": "cispo", "clip": {bound: clip[bound] for bound in ("low", "high")}}
    else:
        rl["loss"] = {"kind": "gspo" if ratio == "sequence" else "ppo", "clip": clip}


def _rule_has_a_section(tree: dict[str, Any]) -> None:
    """When to teach, and what never, left the section of the supervised update for ``teach``."""
    sft = tree.get("sft")
    if not isinstance(sft, dict):
        return
    rule = {key: sft.pop(key) for key in ("batch_size", "max_updates_per_iteration") if key in sft}
    teach = {"control_share": sft.pop("control_share")} if "control_share" in sft else {}
    if rule or teach:
        tree["teach"] = {"rule": {"kind": "relift", **rule}, **teach}


TRANSLATIONS: tuple[Translation, ...] = (_loss_by_kind, _rule_has_a_section)
"""One for each change of keys, oldest first. Each moves in place what it knows and leaves any other tree as it is."""
