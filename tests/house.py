"""Counts of the house, as one table: `python -m tests.house [FOLDER]`.

Modules and functions by size, who imports whom, and what only one room may do. FOLDER is another
checkout to count in the same way, for instance an older one.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parents[1]
COMMANDS = {"simulation", "kills", "benchmarks"}
"""Folders of `tests` with programs that are run beside the suite."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Module:
    """A file of the product. `imports` has dotted names, for types and in functions as well."""

    name: str
    lines: int
    functions: tuple[int, ...]
    imports: frozenset[str]


def read_module(path: Path, root: Path) -> Module:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    parts = path.relative_to(root).with_suffix("").parts
    return Module(
        name=".".join(parts[:-1] if parts[-1] == "__init__" else parts),
        lines=len(text.splitlines()),
        functions=tuple(
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, FUNCTIONS)
        ),
        imports=frozenset(_imports(ast.walk(tree))),
    )


def _imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def importers(modules: Sequence[Module]) -> dict[str, set[str]]:
    """Each module → the modules that import it, or a name of it."""
    names = {module.name for module in modules}
    found: dict[str, set[str]] = {name: set() for name in names}
    for module in modules:
        for imported in module.imports & names - {module.name}:
            found[imported].add(module.name)
    return found


def cycle(modules: Sequence[Module]) -> list[str]:
    """Return one cycle of imports, or an empty list."""
    names = {module.name for module in modules}
    graph = {
        module.name: {
            name for name in module.imports & names if not f"{module.name}.".startswith(f"{name}.")
        }
        for module in modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def is_of_a_command(path: Path) -> bool:
    """Whether it is of the simulation, the kills or the benchmarks, and no test itself."""
    return path.parent.name in COMMANDS and not path.name.startswith("test_")


def counts(root: Path) -> dict[str, object]:
    modules = [read_module(path, root) for path in sorted((root / "batchgen").rglob("*.py"))]
    tests = {
        path: len(path.read_text("utf-8").splitlines()) for path in (root / "tests").rglob("*.py")
    }
    commands = [size for path, size in tests.items() if is_of_a_command(path)]
    lines = [module.lines for module in modules]
    functions = [size for module in modules for size in module.functions]
    read_by = importers(modules)
    once = [name for name, by in read_by.items() if len(by) == 1]
    with_sqlite = [module.name for module in modules if "sqlite3" in module.imports]
    rooms: dict[str, int] = defaultdict(int)
    for module in modules:
        rooms[module.name.split(".")[1] if "." in module.name else ""] += module.lines
    largest = max(modules, key=lambda module: module.lines)
    return {
        "modules": len(modules),
        "lines of the product": sum(lines),
        "lines of the tests": sum(tests.values()),
        "of these, commands": sum(commands),
        "module, median lines": round(median(lines)),
        "module, most lines": f"{largest.lines} ({largest.name})",
        "modules over 400 lines": sum(size > 400 for size in lines),
        "function, median lines": round(median(functions)),
        "function, 9 in 10 below": round(quantiles(functions, n=10)[-1]),
        "function, most lines": max(functions),
        "imported by one other module": len(once),
        "import cycles": " → ".join(cycle(modules)) or "none",
        "sqlite3 outside of state and emulator": sum(
            name.split(".")[1] not in {"state", "emulator"} for name in with_sqlite
        ),
        "rooms": ", ".join(f"{name or 'top'} {size}" for name, size in sorted(rooms.items())),
    }


def main(arguments: Sequence[str]) -> None:
    root = Path(arguments[0]).resolve() if arguments else HERE
    for name, value in counts(root).items():
        print(f"{name:38} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
