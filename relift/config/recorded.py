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
    """``rl.surrogate``, ``rl.ratio`` and ``rl.clip`` became ``rl.loss``; what was not said had the default of then."""
    rl = tree.get("rl")
    if not isinstance(rl, dict) or not rl.keys() & {"surrogate", "ratio", "clip"}:
        return
    surrogate, ratio = rl.pop("surrogate", "ppo"), rl.pop("ratio", "token")
    clip = rl.pop("clip", {"low": 0.2, "high": 0.28, "dual": 3.0})
    if surrogate == "cispo":
        if isinstance(clip, dict):
            clip.pop("dual", None)
        rl["loss"] = {"kind": "cispo", "clip": clip}
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
