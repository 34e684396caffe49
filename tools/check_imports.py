#!/usr/bin/env python3
"""Check that no modules under ``src`` import each other in a circle: ``python tools/check_imports.py [ROOT]``.

Every import statement counts: those at module level, those under ``TYPE_CHECKING``, and those inside functions. What
Python imports implicitly (the packages above a module) does not.

The exit status is 1 if there is a circle. Each is printed as the shortest one through its first module.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Module -> the modules of the same tree that it imports.
Graph = Mapping[str, frozenset[str]]


def module_name(path: Path, source: Path) -> str:
    """The dotted name of a file; of the package for an ``__init__.py``."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Pairs of a module and a name imported from it ("" for the module itself).

    :param package: the package in which relative imports start.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, "") for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                base = ".".join([*parents, *([module] if module else [])])
                yield from ((base, alias.name) for alias in names)


def import_graph(source: Path) -> Graph:
    """The imports among the modules of a source tree."""
    files = {module_name(path, source): path for path in sorted(source.rglob("*.py"))}
    graph = {}
    for name, path in files.items():
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        imports = set()
        for module, member in imported_names(ast.parse(path.read_text("utf-8"), str(path)), package):
            submodule = f"{module}.{member}"
            imports.add(submodule if submodule in files else module)
        graph[name] = frozenset((imports & files.keys()) - {name})
    return graph


def shortest_circle(graph: Graph, start: str) -> list[str] | None:
    """The shortest circle through a module, which is its first and its last item; None if there is none."""
    queue = deque([[start]])
    visited = set()
    while queue:
        path = queue.popleft()
        for module in sorted(graph[path[-1]]):
            if module == start:
                return [*path, start]
            if module not in visited:
                visited.add(module)
                queue.append([*path, module])
    return None


def circles(graph: Graph) -> list[list[str]]:
    """Circles that cover every module on any circle, each module in one of them at least."""
    covered: set[str] = set()
    result = []
    for module in graph:
        if module not in covered and (circle := shortest_circle(graph, module)) is not None:
            covered.update(circle)
            result.append(circle)
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="of the repository")
    source = parser.parse_args(arguments).root / "src"
    if not source.is_dir():
        sys.exit(f"error: there is no folder {source}\nhint: name the root of the repository")
    graph = import_graph(source)
    problems = circles(graph)
    for circle in problems:
        print(f"error: import circle: {' -> '.join(circle)}", file=sys.stderr)
    if problems:
        print("hint: move what both sides need to a module below them, or declare a Protocol there", file=sys.stderr)
    else:
        print(f"no import circle among {len(graph)} modules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
