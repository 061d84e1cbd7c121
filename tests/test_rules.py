"""The layers, the slim imports, the recipes, the words and the contracts of CONTRIBUTING, as tests."""

from __future__ import annotations

import ast
import re
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
# Heavy libraries belong to the packages that need them.
PACKAGES_OF = {
    "torch": {"policy", "learning", "arithmetic", "opening"},
    "duckdb": {"ledger", "exchange"},
    "matplotlib": {"report", "study"},
    "math_verify": {"verifier"},
    "vllm": {"policy"},
    "peft": {"policy"},
    "boto3": {"store"},
    "botocore": {"store"},
    "prefect": set(),
}


CODE = [path for layer in ("relift", "flows", "tasks") for path in sorted((ROOT / layer).rglob("*.py"))]
REFERENCES = {
    "RunRef",
    "PhaseRef",
    "CheckpointRef",
    "PolicyVersion",
    "IterationReport",
    "int",
    "float",
    "bool",
    "str",
    "None",
}
# Each has the field's word, or had several meanings (CONTRIBUTING, Words).
GAVE_WAY = {
    "place": "a key, slot, position, index, path or location", "places": "keys, slots, positions, paths or locations",
    "place_of": "phase_key or checkpoint_key", "desk": "a queue", "story": "a history", "pace": "a rate or a stopwatch",
    "room": "a package, or space", "told": "posted, or what it is", "tell": "post, or what it does",
    "Departure": "LeavingEvent", "Left": "LeavingRecord",
}  # fmt: skip
MEANS_ANOTHER = {("relift/report/data.py", "Departure")}  # of a recipe from the defaults


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


@pytest.mark.parametrize("library", PACKAGES_OF)
def test_a_heavy_library_stays_in_its_packages(library: str) -> None:
    for path in (ROOT / "relift").rglob("*.py"):
        package = path.relative_to(ROOT / "relift").parts[0]
        if package not in PACKAGES_OF[library]:
            assert library not in imported(path), f"{path.relative_to(ROOT)} imports {library}"


@pytest.mark.parametrize(
    "module", ["relift", "flows.cli.main", "relift.config", "relift.config.recipe", "relift.interleave"]
)
def test_an_import_loads_neither_torch_nor_prefect(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'prefect', 'transformers', 'duckdb'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == []


def test_a_task_takes_and_returns_references_alone() -> None:
    tasks = 0
    for path in (ROOT / "tasks").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            decorators = [d for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Call)]
            made = [d for d in decorators if isinstance(d.func, ast.Name) and d.func.id == "task"]
            if not made or not isinstance(node, ast.AsyncFunctionDef):
                continue
            tasks += 1
            kept = {k.arg: ast.unparse(k.value) for k in made[0].keywords}.get("persist_result")
            assert kept == "False", f"{path.name}: the result of {node.name} would be stored by Prefect"
            hints = [*(argument.annotation for argument in node.args.args), node.returns]
            names = {n.id for hint in hints if hint for n in ast.walk(hint) if isinstance(n, ast.Name)}
            assert names <= REFERENCES, f"{path.name}: {node.name} passes {sorted(names - REFERENCES)}"
    assert tasks > 8


def test_nothing_out_of_a_store_is_unpickled() -> None:
    found = {
        str(p.relative_to(ROOT)) for p in CODE if re.search(r"import pickle|pickle\.load|torch\.load\(", p.read_text())
    }
    assert found == {"relift/ledger/asking.py"}, "its pickle comes from a child of its own, and from no file"


def test_a_word_that_gave_way_names_nothing() -> None:
    for path in CODE:
        file = str(path.relative_to(ROOT))
        for name, line in _defined(path):
            for word in {name, name.strip("_")} & GAVE_WAY.keys():
                assert (file, word) in MEANS_ANOTHER, f"{file}:{line} names something {word!r}: say {GAVE_WAY[word]}"


def test_every_contract_that_is_cited_stands_in_contributing_and_is_held_by_its_tests() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 12))
    for number, tests in rows:
        held = re.findall(r"`(tests/[^`]+)::(\w+)`", tests)
        assert held, f"contract {number} is held by no test"
        for file, test in held:
            assert (ROOT / file).is_file(), f"contract {number}: {file}"
            assert f"def {test}(" in (ROOT / file).read_text(), f"contract {number}: {file}::{test}"
    for path in [*CODE, *(ROOT / "tests").rglob("*.py")]:
        if path == Path(__file__):
            continue
        text = path.read_text()
        assert set(re.findall(r"\bcontract (\d+)", text)) <= {number for number, _ in rows}, path
        wrong = re.search(r"method note|of the design\b", text)
        assert wrong is None, f"{path} cites the {wrong[0] if wrong else ''}, which the repository does not hold"


def test_every_file_that_a_packages_map_names_is_there() -> None:
    maps = 0
    for path in (ROOT / "relift").rglob("__init__.py"):
        named = set(re.findall(r"(?<![\w/])[\w/]+\.(?:py|sql)\b", ast.get_docstring(ast.parse(path.read_text())) or ""))
        maps += bool(named)
        gone = [file for file in sorted(named) if not (ROOT / file).is_file() and not list(path.parent.rglob(file))]
        assert not gone, f"{path.relative_to(ROOT)} names {gone}"
    assert maps > 5


def _defined(path: Path) -> list[tuple[str, int]]:
    """Classes, functions, parameters, fields and variables that a file names, each with its line."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.name, node.lineno))
        elif isinstance(node, ast.arg):
            found.append((node.arg, node.lineno))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append((node.id, node.lineno))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.append((node.attr, node.lineno))
    return found


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


def package(module: str) -> str:
    """A folder of relift, or the module itself where it stands on top."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("what", ["file", "package"])
def test_nothing_imports_what_imports_it_however_far_around(what: str) -> None:
    """Neither a file of relift nor a folder of it; imports inside functions and for type checkers count as well."""
    imports: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        node = name if what == "file" else package(name)
        needed = {needed if what == "file" else package(needed) for needed in _modules_imported(path)}
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
    "relift/records.py": "every record that crosses a package, read side by side",
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
