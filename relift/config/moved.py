"""Configurations that earlier versions recorded, under today's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_todays_keys(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A whole configuration as a run recorded it, which means what it meant then."""
    rl = dict(tree.get("rl", {}))
    if "surrogate" in rl:
        surrogate, ratio, clip = rl.pop("surrogate"), rl.pop("ratio"), rl.pop("clip")
        if surrogate == "cispo":
            rl["loss"] = {"kind": "cispo", "clip": {bound: clip[bound] for bound in ("low", "high")}}
        else:
            rl["loss"] = {"kind": "gspo" if ratio == "sequence" else "ppo", "clip": clip}
    return {**tree, "rl": rl} if rl else dict(tree)
