"""Recipes: short TOML files of departures from the defaults, and what the command line sets on top."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from relift.config import RunConfig
from relift.config.recorded import in_todays_keys
from relift.errors import ConfigError
from relift.store.manifest import digest

RECIPES = Path(__file__).parent.parent / "recipes"


def recipe_names() -> list[str]:
    """The recipes that come with relift."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str, settings: Sequence[str] = ()) -> RunConfig:
    """The configuration of a recipe (a shipped name or a path to a TOML file) with ``a.b=c`` settings applied.

    Raises ConfigError naming the key, what it got and what it takes.
    """
    path = _find(name_or_path)
    try:
        tree = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} is not TOML: {problem}") from problem
    tree.setdefault("recipe", path.stem)
    _apply_all(tree, settings)
    return validated(tree, origin=str(path))


def recorded_config(tree: Mapping[str, Any], settings: Sequence[str] = (), *, origin: str) -> RunConfig:
    """The configuration of a run as it was stored, with ``a.b=c`` settings applied; raises ConfigError."""
    tree = in_todays_keys(tree)
    _apply_all(tree, settings)
    return validated(tree, origin=origin)


def validated(tree: dict[str, Any], *, origin: str) -> RunConfig:
    """The frozen configuration of a plain tree; ConfigError with every fault, one a line."""
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as problem:
        faults = "\n".join(f"  {_explain(fault)}" for fault in problem.errors())
        raise ConfigError(f"{origin} cannot be used:\n{faults}") from None


def fingerprint(config: RunConfig) -> str:
    """Digest of everything that may not change when a run is resumed."""
    return digest(sorted(leaves(config, fixed_only=True)))


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """One line per setting that may not change and did: ``key: old -> new``."""
    before, after = dict(leaves(old, fixed_only=True)), dict(leaves(new, fixed_only=True))
    keys = sorted(before.keys() | after.keys())
    return [
        f"{k}: {before.get(k, 'absent')} -> {after.get(k, 'absent')}" for k in keys if before.get(k) != after.get(k)
    ]


def leaves(section: BaseModel, prefix: str = "", *, fixed_only: bool = False) -> Iterator[tuple[str, str]]:
    """(dotted key, value as text) of every setting."""
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        if fixed_only and isinstance(extra, dict) and extra.get("may_change"):
            continue
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.", fixed_only=fixed_only)
        elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
            for number, item in enumerate(value):
                path = f"{prefix}{name}.{number}"
                if isinstance(item, BaseModel):
                    yield from leaves(item, f"{path}.", fixed_only=fixed_only)
                else:
                    yield path, repr(item)
        else:
            yield f"{prefix}{name}", repr(value)


def _find(name_or_path: str) -> Path:
    shipped = RECIPES / f"{name_or_path}.toml"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    near = difflib.get_close_matches(name_or_path, recipe_names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"there is no recipe {name_or_path!r}.{hint} Shipped: {', '.join(recipe_names())}; or give the path of a "
        f"TOML file."
    )


def _apply_all(tree: dict[str, Any], settings: Sequence[str]) -> None:
    """Kinds first: the settings of another kind leave with it."""
    for setting in sorted(settings, key=lambda setting: not setting.partition("=")[0].strip().endswith(".kind")):
        _apply(tree, setting)


def _apply(tree: dict[str, Any], setting: str) -> None:
    parts, value = split_setting(setting)
    node: Any = tree
    for part in parts[:-1]:
        node = _below(node, part, setting)
    if not isinstance(node, dict):
        raise ConfigError(f"--set {setting!r}: {'.'.join(parts[:-1])} is a list; set the whole of it, or a.0.b in it")
    if parts[-1] == "kind" and node.get("kind", value) != value:
        node.clear()
    node[parts[-1]] = value


def split_setting(setting: str) -> tuple[list[str], Any]:
    """Key and value of ``a.b=c``; raises ConfigError."""
    key, separator, text = setting.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"--set {setting!r} is not of the form a.b=value, e.g. --set rollout.samples=16")
    return parts, _value(text.strip())


def _below(node: Any, part: str, setting: str) -> Any:
    """The section, or list of them, under a key; in a list the key is a number from 0."""
    if isinstance(node, list):
        item = node[int(part)] if part.isdecimal() and int(part) < len(node) else None
        if isinstance(item, str) and ":" in item:  # an import path alone: the setting is one of its
            item = node[int(part)] = {"kind": item}
        if not isinstance(item, dict):
            raise ConfigError(f"--set {setting!r}: {part} is no section in that list of {len(node)}, counted from 0")
        return item
    child = node.setdefault(part, {})
    if not isinstance(child, dict | list):
        # sft = "off" in the recipe: the setting switches it on again. rl.loss = "cispo": the setting is one of its.
        child = node[part] = {"kind": child} if isinstance(child, str) and child != "off" else {}
    return child


def _value(text: str) -> Any:
    """A TOML value, or the text itself where it is none (so that paths need no quotes)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(fault: Any) -> str:
    path, known = _divided([str(part) for part in fault["loc"]])
    key = ".".join(path) or "the recipe"
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {'.'.join([*path[:-1], near[0]])}?" if near else f"known here: {', '.join(known)}"
        return f"{key}: no such key ({hint})"
    if fault["type"] == "missing":
        return f"{key}: missing; set it in the recipe or with --set {key}=..."
    message = fault["msg"].removeprefix("Value error, ")
    got = "" if fault["type"] == "value_error" else f" (got {fault['input']!r})"
    return f"{key}: {message}{got}"


def _divided(location: Sequence[str]) -> tuple[list[str], list[str]]:
    """(key, keys that are known beside it) of pydantic's way to a fault.

    After a union by kind pydantic names the member, which is no part of the key.
    """
    path = list[str]()
    section: Any = RunConfig
    beside: Any = None
    by_kind: dict[str, Any] = {}
    for part in location:
        if part in by_kind:
            section, by_kind = by_kind[part], {}
            continue
        path.append(part)
        beside = section
        field = section.model_fields.get(part) if section else None
        if field is not None:
            members = list(_members(field.annotation))
            by_kind = {tag: member for member, tag in members if tag}
            section = next((m for m, _ in members if isinstance(m, type) and issubclass(m, BaseModel)), None)
    return path, list(beside.model_fields) if beside else []


def _members(annotation: Any) -> Iterator[tuple[Any, str]]:
    """(type, its tag in a union by kind, else "") of all that a field, or an item of its list, may be."""
    inner, *more = get_args(annotation) or (annotation,)
    tag = next((each.tag for each in more if isinstance(each, Tag)), "")
    if tag or not get_args(annotation) or get_origin(annotation) is Literal:
        yield (inner if tag else annotation), tag
    else:
        for argument in (inner,) if get_origin(annotation) is Annotated else (inner, *more):
            yield from _members(argument)
