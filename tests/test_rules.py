"""The layers, the slim imports and the recipes, as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from relift.config.recipe import load_recipe, recipe_names

ROOT = Path(__file__).parent.parent
MAY_NOT_IMPORT = {
    "relift": {"prefect", "tasks", "flows"},
    "tasks": {"flows", "torch", "transformers", "duckdb"},
    "flows": {"torch", "transformers", "duckdb", "numpy"},
}
# Heavy libraries belong to the rooms that need them (design, The house).
ROOMS_OF = {
    "torch": {"policy", "learning", "arithmetic", "opening"},
    "duckdb": {"ledger", "exchange"},
    "matplotlib": {"report"},
    "math_verify": {"verifier"},
    "vllm": {"policy"},
    "peft": {"policy"},
    "boto3": {"store"},
    "botocore": {"store"},
    "prefect": set(),
}


def imported(path: Path) -> set[str]:
    """Top-level names of every import in a file, those inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("layer", MAY_NOT_IMPORT)
def test_a_layer_does_not_look_upward(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        wrong = imported(path) & MAY_NOT_IMPORT[layer]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("library", ROOMS_OF)
def test_a_heavy_library_stays_in_its_rooms(library: str) -> None:
    for path in (ROOT / "relift").rglob("*.py"):
        room = path.relative_to(ROOT / "relift").parts[0]
        if room not in ROOMS_OF[library]:
            assert library not in imported(path), f"{path.relative_to(ROOT)} imports {library}"


@pytest.mark.parametrize(
    "module", ["relift", "flows.cli.main", "relift.config", "relift.config.recipe", "relift.interleave"]
)
def test_an_import_loads_neither_torch_nor_prefect(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'prefect', 'transformers', 'duckdb'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == []


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads(name: str) -> None:
    assert load_recipe(name).recipe == name


def test_every_setting_is_described_for_the_form_in_the_prefect_ui() -> None:
    from relift.config import RunConfig

    schema = RunConfig.model_json_schema()
    for section, tree in {**schema["$defs"], "RunConfig": schema}.items():
        for key, field in tree.get("properties", {}).items():
            described = field.get("description") or "$ref" in field or "anyOf" in field or "allOf" in field
            assert described, f"{section}.{key} has no description"


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.glob("relift/**/*.py")
}


def room(module: str) -> str:
    """A folder of relift, or the module itself where it stands on top."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("what", ["file", "room"])
def test_nothing_imports_what_imports_it_however_far_around(what: str) -> None:
    """Neither a file of relift nor a folder of it; imports inside functions and for type checkers count as well."""
    imports: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        node = name if what == "file" else room(name)
        needed = {needed if what == "file" else room(needed) for needed in _modules_imported(path)}
        imports.setdefault(node, set()).update(needed - {node})
    while leaves := {name for name, needed in imports.items() if not needed & imports.keys()}:
        for name in leaves:
            del imports[name]
    assert not imports, f"these import each other, or what does: {sorted(imports)}"


def _modules_imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 300, 60, 8
MAY_BE_LARGER = {
    "relift/records.py": "every record that crosses a room, read side by side",
    "relift/policy/vllm_engine.py": "one engine from start to end; its halves would share all of its state",
    "relift/verifier/forms/shapes.py": "one recursive grammar: each rule calls the one that tries them all",
    "flows/cli/main.py:verify": "a command line: its parameters are its options",
    "relift/learning/head.py:forward": "autograd's signature",
    "relift/learning/attention.py:packed_attention": "the signature that transformers calls",
}
"""Files and functions over the limits, each with the reason why it is better so."""


def test_functions_fit_on_a_screen_and_files_are_read_at_one_sitting() -> None:
    """Lines with docstrings and comments; parameters without self and cls."""
    larger: set[str] = set()
    for path in [path for layer in MAY_NOT_IMPORT for path in (ROOT / layer).rglob("*.py")]:
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if text.count("\n") > MOST_LINES:
            larger.add(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_large(node):
                larger.add(f"{name}:{node.name}")
    assert larger - MAY_BE_LARGER.keys() == set(), "split these by what they are about, or say why they are better so"
    assert MAY_BE_LARGER.keys() - larger == set(), "these keep to the limits now and need no exception"


def is_large(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    taken = function.args
    every = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *filter(None, (taken.vararg, taken.kwarg))]
    count = sum(parameter.arg not in ("self", "cls") for parameter in every)
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    return count > MOST_PARAMETERS or lines > MOST_FUNCTION_LINES
