"""What importing drcopt costs, what it offers, and that its modules depend on each other in one direction."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import drcopt

PACKAGE = Path(drcopt.__file__).parent

#: A module imports from lines above its own, and a subpackage from itself. What is not listed comes last.
LAYERS = (
    {"errors", "words"},
    {"support", "checker"},  # the checker shares no code with what it checks
    {"information", "coupling", "components", "coordinates"},
    {"samples"},
    {"distortion", "labels", "portrait"},
    {"classes"},
    {"problem"},
    {"questions", "stakes"},
    {"perception"},
    {"sources", "closed_forms", "formulations", "solution"},
    {"bounds"},
    {"engines", "certify"},  # the wall: engines propose, the judge disposes, and neither knows the other
    {"failures", "forbidden", "mixtures", "other_rows"},
    {"session"},
    {"least_perception"},
    {"law_session", "capped_session"},
    {"class_session"},
    {"decision_session"},
    {"solve"},
    {"bottleneck_curve"},
    {"special_cases"},
    {"plotting"},  # pictures of tables and solutions; nothing there solves
    {"sweeps"},
    {"tables"},
    {"sweep"},
)

#: Imports that the layers would allow and the design does not: engines propose, the certificate disposes.
FORBIDDEN = {
    ("engines", "solution"): "only session.py builds a Solution",
    ("bounds", "solution"): "only session.py builds a Solution",
    ("questions", "problem"): "a quantity and a half-space are of every problem",
    ("formulations", "solution"): "only session.py builds a Solution",
    ("problem", "solution"): "a problem does not know its answers",
    ("solution", "tables"): "a Solution is data",
    ("session", "tables"): "solving touches no disk",
    ("solve", "tables"): "solving touches no disk",
    ("engines", "sources"): "engines see one problem, whatever its source",
    ("engines", "closed_forms"): "an engine that knew the answers would prove nothing about itself",
    ("certify", "closed_forms"): "the judge uses definitions only",
    ("session", "closed_forms"): "an engine that knew the answers would prove nothing about itself",
    ("solve", "closed_forms"): "an engine that knew the answers would prove nothing about itself",
}

#: The longest a module may be.
MOST_LINES = 450

# design.md's public names; extend it with the names of later issues as they arrive.
PUBLIC = [
    "solve_drc",
    "solve",
    "sweep",
    "surface",
    "min_classification_loss",
    "min_rate",
    "min_perception",
    "rate_distortion",
    "information_bottleneck",
    "Problem",
    "Solution",
    "closed_forms.bernoulli.as_printed",
    "closed_forms.bernoulli.exact",
    "closed_forms.gaussian.as_printed",
    "closed_forms.gaussian.exact",
    "closed_forms.binary.exact",
    "closed_forms.binary.rate",
    "closed_forms.binary.classification_loss",
    "closed_forms.binary_perception.exact",
    "closed_forms.binary_perception.rate",
    "closed_forms.uniform.exact",
    "closed_forms.uniform.rate",
    "closed_forms.erasure.exact",
    "closed_forms.erasure.rate",
    "closed_forms.gaussian_perception.as_printed",
    "closed_forms.gaussian_perception.exact",
    "closed_forms.gaussian_perception.rate",
    "closed_forms.gaussian_perception.perception",
    "closed_forms.gaussian_perception.classification_loss",
    "closed_forms.vector_gaussian.exact",
    "closed_forms.vector_gaussian.rate",
    "statistics.holdout",
    "statistics.lower_bound",
    "statistics.tv_interval",
    "statistics.delta_interval",
    "statistics.samples_needed",
    "theorems.validate",
    "plotting.curve",
    "sources.bernoulli",
    "sources.gaussian_grid",
    "sources.images",
    "sources.image_source",
    "sources.named",
    "sources.save",
    "information.entropy",
    "information.mutual_information",
    "information.conditional_entropy",
    "information.divergence",
    "DrcoptError",
    "InputError",
    "OutputError",
    "InfeasibleError",
    "NotSolvedError",
    "CheckpointError",
    "MissingExtraError",
]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))  # the API itself is in here too: unlisted, it may import from everywhere


def unit(path: Path) -> str:
    """The top-level module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and unit of each import from drcopt, wherever in the file it stands; "" for drcopt itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}, line {node.lineno}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "drcopt":
                first = rest.partition(".")[0]
                known = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").is_file()
                yield node.lineno, first if first and known else ""


def layer(name: str) -> int:
    return next((i for i, names in enumerate(LAYERS) if name in names), len(LAYERS))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
class TestEachModule:
    def test_imports_in_one_direction(self, path: Path) -> None:
        here = unit(path)
        for line, there in imported(path):
            what = f"{path.relative_to(PACKAGE)}, line {line}: {here} imports {there or 'the API'}"
            if there != here:
                assert there, f"{what}; import from the module that defines the name"
                allowed = layer(there) < layer(here) or layer(here) == len(LAYERS)
                assert allowed, f"{what}, which stands above it or beside it in LAYERS"
                assert (here, there) not in FORBIDDEN, f"{what}: {FORBIDDEN[here, there]}"

    def test_is_short(self, path: Path) -> None:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines < MOST_LINES, f"{path.name} has {lines} lines: split it"

    def test_says_what_it_is(self, path: Path) -> None:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_layers_name_what_exists() -> None:
    units = {unit(path) for path in modules()}
    assert set().union(*LAYERS) <= units
    assert {name for pair in FORBIDDEN for name in pair} <= units


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HEAVY = ("cvxpy", "clarabel", "scs", "sklearn", "matplotlib", "pandas", "pyarrow", "distributed", "torch")


def test_import_is_light() -> None:
    modules = ("drcopt", "drcopt.solve", "drcopt.sweep", "drcopt.tables", "drcopt.cli", "drcopt.neural")
    code = "import sys\n" + "".join(
        f"import {module}\nprint(*[({module!r}, m) for m in {HEAVY} if m in sys.modules], end='')\n"
        for module in modules
    )
    assert python(code) == ""


def test_a_rate_sweep_needs_no_cone_solver() -> None:
    code = "import drcopt, sys; drcopt.solve(drcopt.sources.bernoulli(), R=0.3); print('cvxpy' in sys.modules)"
    assert python(code) == "False"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name(name: str) -> None:
    value: object = drcopt
    for part in name.split("."):
        value = getattr(value, part)
    assert callable(value)
    assert value.__doc__


@pytest.mark.parametrize("first", ["import drcopt.cli, drcopt.solve, drcopt.sweep", "drcopt.solve, drcopt.sweep"])
def test_a_function_is_not_hidden_by_the_module_of_its_name(first: str) -> None:
    # Importing a submodule sets an attribute of the package, which may be that of the function.
    code = f"import drcopt; {first}; from drcopt import solve, sweep; print(*map(callable, [solve, sweep]))"
    assert python(code) == "True True"


def test_importing_the_package_or_the_command_line_computes_nothing() -> None:
    code = "import drcopt.cli, sys; print({'numpy', 'scipy', 'pandas', 'multiprocessing'} & set(sys.modules))"
    assert python(code) == "set()"


def test_a_module_that_nobody_imported_loads_when_it_is_named() -> None:
    code = "import drcopt; print('newton' in drcopt.engines.ENGINES, hasattr(drcopt, 'nothing'), hasattr(drcopt, '_x'))"
    assert python(code) == "True False False"


def test_names_load_from_where_type_checkers_find_them() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    found = {
        alias.name: node.module.removeprefix("drcopt.")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "drcopt"
        for alias in node.names
    }
    assert found == drcopt._HOME
    assert set(found) <= set(drcopt.__all__)
    for name, home in found.items():
        assert getattr(drcopt, name) is getattr(importlib.import_module(f"drcopt.{home}"), name)


def test_every_export_says_so() -> None:
    """``X as X`` marks a name as public; anything else in __init__ is private or a module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("drcopt"):
            for alias in node.names:
                allowed = alias.name, f"_{alias.name}"
                assert alias.asname in allowed, f"line {node.lineno}: write {alias.name} as {alias.name}"


def test_dir_shows_what_a_user_imports() -> None:
    shown = dir(drcopt)
    assert sorted(drcopt.__all__) == drcopt.__all__ == sorted(set(shown) - {"__version__"})
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    exported = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {name for name in exported if name and name[0] != "_"} <= set(drcopt.__all__)


def public() -> list[tuple[str, object]]:
    """Functions and classes of the public modules, and the methods of the classes that a user meets."""
    found: dict[str, object] = {}
    modules = ("", "distortion", "export", "information", "plotting", "sources", "tables")
    for module in (importlib.import_module(f"drcopt.{name}".rstrip(".")) for name in modules):
        for name in getattr(module, "__all__", None) or vars(module):
            thing = getattr(module, name)
            if callable(thing) and name[0] != "_" and getattr(thing, "__module__", "").startswith("drcopt"):
                found[f"{module.__name__}.{name}"] = thing
    for kind in (drcopt.Problem, drcopt.Solution):
        found |= {f"{kind.__name__}.{name}": getattr(kind, name) for name in vars(kind) if name[0] != "_"}
    return sorted(found.items())


@pytest.mark.parametrize(("name", "thing"), public())
def test_every_public_name_explains_itself(name: str, thing: object) -> None:
    """A docstring, and in it every parameter by name, or a reference to where it stands."""
    if not callable(thing) and not isinstance(thing, (property, functools.cached_property)):
        return
    doc = inspect.getdoc(thing) or ""
    assert doc, name
    if not inspect.isfunction(thing) or "keywords as" in doc.lower():
        return
    missing = [
        p for p in inspect.signature(thing).parameters if p not in ("self", "cls") and not re.search(rf"\b{p}\b", doc)
    ]
    assert not missing, f"{name} does not explain {', '.join(missing)}"
