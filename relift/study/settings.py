"""Settings of a study's runs: tables laid over each other, as ``--set`` texts, and what of them differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from relift.config import RunConfig

Tree = Mapping[str, Any]
NOT_COMPARED = frozenset({"recipe", "store", "scratch"})
"""They name things, and decide nothing of what a run does."""


def laid_over(below: Tree, above: Tree) -> dict[str, Any]:
    """Both tables as one, key by key, the upper one where they differ; settings of another ``kind`` leave with it."""
    found = dict(below.items())
    if "kind" in above and above["kind"] != below.get("kind", above["kind"]):
        found = {}
    for key, value in above.items():
        old = found.get(key)
        if isinstance(value, Mapping):
            if isinstance(old, str) and old != "off":
                old = {"kind": old}
            found[key] = laid_over(old if isinstance(old, Mapping) else {}, value)
        else:
            found[key] = value
    return found


def nested(tree: Tree) -> dict[str, Any]:
    """The same with ``a.b`` as a key split: {"a.b": 1} -> {"a": {"b": 1}}."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        *above, last = key.split(".")
        inner: dict[str, Any] = {last: nested(value) if isinstance(value, Mapping) else value}
        for part in reversed(above):
            inner = {part: inner}
        found = laid_over(found, inner)
    return found


def as_settings(tree: Tree) -> list[str]:
    """What ``--set`` takes, in the order of the tables: {"rl": {"scale": "std"}} -> ['rl.scale="std"']."""
    return [f"{key}={as_toml(value)}" for key, value in _assignments(tree, RunConfig, "")]


def _assignments(tree: Tree, section: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """A table of names of one's own, such as questions.families, is one value: it takes the place of the recipe's."""
    for key, value in tree.items():
        field = getattr(section, "model_fields", {}).get(key)
        if isinstance(value, Mapping) and not (field and get_origin(field.annotation) is dict):
            inner = field.annotation if field and isinstance(field.annotation, type) else None
            yield from _assignments(value, inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_toml(value: Any) -> str:
    """A value of a TOML file, written again: {"a": [1, "x"]} -> ``{"a" = [1, "x"]}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(inner) for inner in value) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def departures(config: RunConfig) -> dict[str, str]:
    """Dotted key to value as text of every setting that decides what a run does and is not its default.

    A key that is absent has today's default, so that a setting which is new changes nothing of what was recorded.
    Whether a section is on stands under its own key where the default says otherwise.
    """
    return dict(_departures(config, ""))


def _departures(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        key = f"{prefix}{name}"
        if key in NOT_COMPARED or (_may_change(field) and key != "iterations"):
            continue
        value, default = getattr(section, name), field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            if type(default) is not type(value) and not field.is_required():
                yield key, type(value).__name__
            yield from _departures(value, f"{key}.")
        elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
            for number, item in enumerate(value):
                yield f"{key}.{number}", type(item).__name__ if isinstance(item, BaseModel) else repr(item)
                if isinstance(item, BaseModel):
                    yield from _departures(item, f"{key}.{number}.")
        elif value != default:
            yield key, repr(value)


def _may_change(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("may_change"))


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """``key: old -> new`` of every setting that differs; one that is absent stands at its default."""
    keys = sorted(before.keys() | now.keys())
    return [
        f"{key}: {before.get(key, 'default')} -> {now.get(key, 'default')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]
