"""Print the figures of a source tree: modules, functions, docstrings, assertions, and names from the inner parts of libraries.

    python -m bench.figures services operator            # the code that ships
    python -m bench.figures chaos bench tests            # what stands beside it
    python -m bench.figures --internals services         # also list each inner name of another library

The same command measures any other checkout, so that two states can be compared. Nothing is imported; files are only parsed.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median, quantiles

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
OURS = ("laneway", "services", "chaos", "bench", "tests")
"""Top-level names of our own packages, `services` being the old one."""
DOCUMENTED = {"_exit", "_asdict", "_fields", "_make", "_replace"}
"""Names of Python itself that are public though they begin with an underscore."""
REPLACEABLE = {"sys.stdout", "sys.stderr", "sys.excepthook", "threading.excepthook"}
"""What Python's documentation says may be assigned."""


@dataclass(frozen=True)
class Module:
    """One Python file."""

    path: Path
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> int:
        """Physical lines, comments and blank lines included."""
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)


def read(roots: Iterable[Path]) -> list[Module]:
    """Return every Python file below the roots."""
    paths = (path for root in roots for path in sorted(root.rglob("*.py")))
    return [Module(path, path.read_text()) for path in paths if "__pycache__" not in path.parts]


def functions(module: Module) -> Iterator[Function]:
    """Yield every function and method, nested ones included."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Count the lines from `def` to the end, without the docstring."""
    first = function.body[0]
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if ast.get_docstring(function) else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def public(module: Module) -> Iterator[tuple[str, bool]]:
    """Yield each public module, class, function and method, and whether it has a docstring. Dunder methods do not count."""
    if not module.path.stem.startswith("_") or module.path.stem in ("__init__", "__main__"):
        yield str(module.path), ast.get_docstring(module.tree) is not None
    yield from _public_in(module.tree, str(module.path))


def _public_in(parent: ast.Module | ast.ClassDef, name: str) -> Iterator[tuple[str, bool]]:
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not _repeats(node):
            yield f"{name}:{node.name}", ast.get_docstring(node) is not None
            if isinstance(node, ast.ClassDef):
                yield from _public_in(node, f"{name}:{node.name}")


def _repeats(node: Definition) -> bool:
    """Tell whether it is one more face of a name that has its docstring elsewhere: an overload or a setter."""
    texts = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(texts & {"overload", "setter"})


def internals(modules: Sequence[Module]) -> Iterator[tuple[Module, str]]:
    """Yield each use of a private name of another library, and each assignment to a name of one.

    A private name is ours if the module, or one of ours that it imports from, defines it.
    """
    defined = {_dotted(module): set(_defined(module.tree)) for module in modules}
    for module in modules:
        own, imported = {*DOCUMENTED, *_defined(module.tree)}, _imported(module.tree)
        for source in _imported_of_ours(module.tree):
            own.update(*(names for dotted, names in defined.items() if dotted.endswith(source)))
        for node in ast.walk(module.tree):
            for name in _used(node):
                if name.startswith("_") and not name.endswith("__") and name not in own:
                    yield module, name
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                target = ast.unparse(node)
                if target.partition(".")[0] in imported and target not in REPLACEABLE:
                    yield module, f"{target} = ..."


def _dotted(module: Module) -> str:
    return ".".join(module.path.with_suffix("").parts)


def _imported_of_ours(tree: ast.Module) -> set[str]:
    """Return the modules of ours from which a module imports."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {node.module for node in nodes if node.module and node.module.partition(".")[0] in OURS}


def _imported(tree: ast.Module) -> set[str]:
    """Return the names that a module imports from others than ours."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] not in OURS:
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            yield node.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _used(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    if isinstance(node, ast.Import):
        return [part for alias in node.names for part in alias.name.split(".")]
    return []


def _entries(module: Module) -> int:
    """Count the public functions and classes at the top level."""
    return sum(isinstance(node, Definition) and not node.name.startswith("_") for node in module.tree.body)


def assertions(modules: Iterable[Module]) -> Counter[str]:
    """Count `assert` statements, `pytest.raises` and test functions."""
    found: Counter[str] = Counter()
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assert):
                found["assert statements"] += 1
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
                found["pytest.raises"] += 1
            elif isinstance(node, Function) and node.name.startswith("test_"):
                found["test functions"] += 1
    return found


def figures(modules: Sequence[Module]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table as label and value."""
    largest = max(modules, key=lambda module: module.lines)
    lengths = [length(function) for module in modules for function in functions(module)]
    known = [documented for module in modules for _, documented in public(module)]
    foreign = {(name, module.path) for module, name in internals(modules)}
    outside = [name for name, path in foreign if "compat" not in path.parts]
    yield "modules", f"{len(modules):,}"
    yield "lines", f"{sum(module.lines for module in modules):,}"
    yield "lines of a module, median", f"{median(module.lines for module in modules):.0f}"
    yield "modules beyond 250 lines", str(sum(module.lines > 250 for module in modules))
    yield "largest module", f"{largest.lines} ({largest.path})"
    yield "functions", f"{len(lengths):,}"
    yield (
        "lines of a function, median / p90 / max",
        f"{median(lengths):.0f} / {quantiles(lengths, n=10)[8]:.0f} / {max(lengths)}",
    )
    yield "functions beyond 30 lines", str(sum(lines > 30 for lines in lengths))
    yield "public docstrings", f"{sum(known)} of {len(known)} ({sum(known) / len(known):.1%})"
    yield "inner names of other libraries", f"{len(foreign)}, outside of compat/ {len(outside)}"
    yield (
        "entries in compat/",
        str(sum(_entries(module) for module in modules if "compat" in module.path.parts)),
    )
    for label, count in sorted(assertions(modules).items()):
        yield label, f"{count:,}"


def main() -> int:
    """Print the table for the folders on the command line."""
    parser = argparse.ArgumentParser(description="Print the figures of a source tree.")
    parser.add_argument("roots", nargs="+", type=Path, metavar="folder")
    parser.add_argument("--internals", action="store_true", help="list each inner name of another library")
    parser.add_argument(
        "--undocumented", action="store_true", help="list what is public and has no docstring"
    )
    given = parser.parse_args()
    modules = read(given.roots)
    for label, value in figures(modules):
        print(f"{label:40} {value}")
    if given.internals:
        for (path, name), count in sorted(
            Counter((str(module.path), name) for module, name in internals(modules)).items()
        ):
            print(f"  {path}: {name} ({count})")
    if given.undocumented:
        for module in modules:
            for name, documented in public(module):
                if not documented:
                    print(f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
