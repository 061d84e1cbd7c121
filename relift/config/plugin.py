"""Settings that are import paths: one's own code in place of a part that comes with relift.

``kind = "package.module:Name"`` names it, ``settings = { ... }`` is handed to it by name. What is checked here is what
any such part must be before work starts; what it is for, its user checks.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from relift.config.section import Section
from relift.errors import ConfigError, ReliftError

BY_IMPORT = "import path"
"""Tag of ``PluginConfig`` in a union."""
BY_NAME = "name"
"""Tag of the names of what comes with relift, beside it."""
_DIGEST = "__relift_sha256__"


class PluginConfig(Section):
    """One's own, found as Python finds modules or in the working directory; docs/extending.md."""

    kind: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """Its import path, package.module:Name."""
    settings: dict[str, JsonValue] = Field({})
    """Its own settings by name."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, tree: Any) -> Any:
        return {"kind": tree} if isinstance(tree, str) else tree

    @field_validator("settings")
    @classmethod
    def _in_the_order_of_their_names(cls, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Since two files that set the same say the same."""
        return dict(sorted(values.items()))


def by_kind(*kinds: str) -> Discriminator:
    """Picks a member of a union by its ``kind``: ``kinds`` are the members' tags, the first where it says none.

    A kind with a colon is an import path.
    """

    def tag(value: Any) -> str | None:
        kind = value.get("kind", kinds[0]) if isinstance(value, dict) else getattr(value, "kind", None)
        if not isinstance(kind, str):
            return None
        return BY_IMPORT if ":" in kind else kind

    named = ", ".join(repr(kind) for kind in kinds)
    return Discriminator(
        tag,
        custom_error_type="unknown_kind",
        custom_error_message=f"its kind is one of {named} or the import path of your own, such as 'my_module:my_name'",
    )


def by_name(*names: str) -> Discriminator:
    """Picks between ``names`` of what comes with relift and an import path, alone or as the kind of a section."""

    def tag(value: Any) -> str | None:
        kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", value)
        if isinstance(kind, str) and ":" in kind:
            return BY_IMPORT
        return BY_NAME if isinstance(value, str) and value in names else None

    named = ", ".join(repr(name) for name in names)
    return Discriminator(
        tag,
        custom_error_type="unknown_name",
        custom_error_message=f"it is one of {named} or the import path of your own, such as 'my_module:MyName', with "
        f"settings as {{ kind = 'my_module:MyName', settings = {{ ... }} }}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One's own function or class with the settings it was given, e.g. path ``"my_losses:floored"``."""

    path: str
    target: Callable[..., Any]
    settings: Mapping[str, Any]
    """By name, each of the type that its parameter is annotated with."""
    sha256: str
    """Of the file that it lies in; of other files that this imports nothing is known."""

    def __call__(self, *given: Any) -> Any:
        return self.target(*given, **self.settings)

    def made(self, what: str, *given: Any) -> Any:
        """An object of its class. Raises ConfigError, which begins with ``what``, where it cannot be made."""
        try:
            return self(*given)
        except ReliftError:
            raise
        except Exception as problem:
            raise ConfigError(f"{what} fails when it is made: {type(problem).__name__}: {problem}") from problem


def load_plugin(
    path: str,
    *,
    kind: str,
    key: str,
    parameters: Sequence[str] = (),
    made_with: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plugin:
    """What ``package.module:Name`` is: something to call with ``parameters`` and, by name, with its settings.

    A class takes ``made_with`` instead, where that is given. ``kind`` ("loss") and ``key`` ("rl.loss") are words for
    the messages. The working directory is looked through last, in a worker process as in the one that started it.
    Raises ConfigError for what cannot be imported or called so, and for settings that it does not take.
    """
    module = _imported(path, key)
    name = path.partition(":")[2]
    try:
        target = getattr(module, name)
    except AttributeError:
        near = difflib.get_close_matches(name, [n for n in vars(module) if not n.startswith("_")], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{key}.kind={path!r}: {module.__file__} has no {name!r}.{hint}") from None
    except Exception as problem:  # of a module's own __getattr__
        raise ConfigError(
            f"{key}.kind={path!r}: asking for {name!r} fails: {type(problem).__name__}: {problem}"
        ) from problem
    if made_with is not None and inspect.isclass(target):
        parameters = made_with
    taken = require_parameters(target, parameters, what=f"{key}.kind={path!r}", kind=kind)
    validated = _validated(taken, settings or {}, f"{key}.settings", owner=target)
    return Plugin(path=path, target=target, settings=validated, sha256=plugin_digest(module))


def plugin_digest(module: ModuleType) -> str:
    """SHA-256 of a module's file, as it was when this process first asked: later, the code that runs is still that."""
    digest = vars(module).get(_DIGEST)
    if digest is None:
        source = inspect.getsourcefile(module) or module.__file__
        assert source is not None  # checked when it was imported
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        setattr(module, _DIGEST, digest)
    return str(digest)


def imported_digest(path: str) -> str:
    """Of ``package.module:Name`` where ``load_plugin`` gave it in this process, else ""."""
    return str(getattr(sys.modules.get(path.partition(":")[0]), _DIGEST, ""))


def require_parameters(target: Any, parameters: Sequence[str], *, what: str, kind: str) -> list[inspect.Parameter]:
    """What ``target`` takes beside ``parameters``, which come first; raises ConfigError where it takes others.

    ``what`` names the target and ``kind`` its part in a run, for the message.
    """
    article = "an" if kind[0] in "aeiou" else "a"
    wanted = (
        f"{article} {kind} is something to call that takes ({', '.join((*parameters, '...'))}), its own settings last"
    )
    if not callable(target):
        raise ConfigError(f"{what} is {type(target).__name__}; {wanted}")
    if any(
        test(one)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for one in (target, target.__call__)
    ):
        raise ConfigError(f"{what} is an async function, which nobody awaits; {wanted}")
    try:
        taken = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"{what} does not say what it takes ({problem}); {wanted}") from problem
    first, rest = taken[: len(parameters)], taken[len(parameters) :]
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if [p.name for p in first if p.kind in by_position] != list(parameters) or any(
        p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL) for p in rest
    ):
        raise ConfigError(f"{what} takes ({', '.join(map(str, taken))}); {wanted}")
    return rest


def _imported(path: str, key: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last: no file there takes the place of an installed module
    name = path.partition(":")[0]
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # SystemExit too
        fails = f"importing {name} fails: {type(problem).__name__}: {problem}"
        what = f"the module {name} was not found" if _is_missing(problem, name) else fails
        raise ConfigError(
            f"{key}.kind={path!r}: {what}. Modules are looked for where Python finds its own "
            f"(PYTHONPATH) and in the working directory, {here}."
        ) from problem
    if getattr(module, "__file__", None) is None:
        what = "a folder without a file __init__.py" if hasattr(module, "__path__") else "a part of Python itself"
        raise ConfigError(f"{key}.kind={path!r}: {name} is {what}, which can hold no code of yours")
    return module


def _is_missing(problem: BaseException, name: str) -> bool:
    """Whether the module itself is not there, rather than one that it imports."""
    return isinstance(problem, ModuleNotFoundError) and f"{name}.".startswith(f"{problem.name}.")


def _validated(
    taken: Sequence[inspect.Parameter], settings: Mapping[str, Any], key: str, *, owner: Any
) -> dict[str, Any]:
    """The settings that were given, each as its parameter is annotated."""
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken)
    named = [p for p in taken if p.kind is not inspect.Parameter.VAR_KEYWORD]
    # Under names of our own, since pydantic takes neither model_config nor one that begins with an underscore.
    field_of = {p.name: f"setting_{index}" for index, p in enumerate(named)}
    fields: dict[str, Any] = {
        field_of[p.name]: (
            _annotation(p, owner),
            Field(... if p.default is inspect.Parameter.empty else p.default, alias=p.name),
        )
        for p in named
    }
    options = ConfigDict(extra="allow" if is_open else "forbid", arbitrary_types_allowed=True, protected_namespaces=())
    try:
        model = create_model("Settings", __config__=options, **fields).model_validate(dict(settings))
    except ValidationError as problem:
        raise ConfigError(
            "\n".join(_explained(fault, key, [p.name for p in named]) for fault in problem.errors())
        ) from None
    return {name: getattr(model, field_of[name]) if name in field_of else value for name, value in settings.items()}


def _annotation(parameter: inspect.Parameter, owner: Any) -> Any:
    """What it says, where ``from __future__ import annotations`` made a text of it; anything where it says nothing."""
    said = parameter.annotation
    if said is inspect.Parameter.empty:
        return Any
    if not isinstance(said, str):
        return said
    while isinstance(owner, functools.partial):
        owner = owner.func
    if inspect.isclass(owner):
        owner = owner.__init__
    elif not inspect.isroutine(owner):
        owner = type(owner).__call__
    try:
        return eval(said, getattr(inspect.unwrap(owner), "__globals__", {}))
    except Exception:
        return Any  # a name for the type checker alone


def _explained(fault: Any, key: str, known: Sequence[str]) -> str:
    name = str(fault["loc"][0])
    path = ".".join((key, *map(str, fault["loc"])))
    if fault["type"] == "extra_forbidden":
        if len(fault["loc"]) > 1:  # of a model that it is annotated with
            return f"{path}: no such setting"
        near = difflib.get_close_matches(name, known, n=1)
        listed = f"known here: {', '.join(known)}" if known else "it takes none"
        return f"{path}: no such setting ({f'did you mean {key}.{near[0]}?' if near else listed})"
    if fault["type"] == "missing":
        return f"{path}: missing; it has no default"
    return f"{path}: {fault['msg'].removeprefix('Value error, ')} (got {fault['input']!r})"
