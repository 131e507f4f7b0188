"""How the packages of docsim depend on each other: in how many layers they lie, and how many imports run between them.

A module that lies beside the packages counts as one, too. That one package imports another counts once, however many of
its modules do, and also where it happens only inside a function. The layer of a package is the length of the longest
chain of imports that starts at it; a package that imports no other is in layer 1.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tables import ROOT, table

__all__ = ["imports", "layers", "package_layers"]

_DIVIDED = ("engine", "training")
"""Packages that are large enough to count by the packages and modules inside them."""


def _package(module: str) -> str:
    """Return the package that a module lies in, given its dotted name without ``docsim.``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in _DIVIDED and len(parts) > 1 else parts[0]


def imports() -> dict[str, set[str]]:
    """Return each package and the packages that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "docsim").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "docsim").with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if not module or module in _DIVIDED:
            continue
        here = _package(module)
        found.setdefault(here, set())
        found[here] |= {_package(name) for name in _imported(path)} - {here}
    return {package: {one for one in below if one in found} for package, below in found.items()}


def _imported(path: Path) -> list[str]:
    """Return the modules of docsim that a file imports, without ``docsim.``; not those for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "docsim":
            inside = node.module.removeprefix("docsim").lstrip(".")
            found += [f"{inside}.{alias.name}".lstrip(".") for alias in node.names]
    return found


def layers(found: dict[str, set[str]]) -> dict[str, int]:
    """Return the layer of each package; 1 is the lowest.

    Raises:
        ValueError: Two packages import each other, if through others.
    """
    known: dict[str, int] = {}

    def layer(package: str, above: tuple[str, ...]) -> int:
        if package in above:
            raise ValueError(f"the packages {' -> '.join((*above, package))} import each other")
        if package not in known:
            known[package] = 1 + max((layer(one, (*above, package)) for one in found[package]), default=0)
        return known[package]

    for package in found:
        layer(package, ())
    return known


def package_layers() -> str:
    """Return a table of the layers, the highest first, and how many packages and imports there are."""
    found = imports()
    known = layers(found)
    rows = [["layer", "packages"]]
    for layer in range(max(known.values()), 0, -1):
        names = sorted(package for package, one in known.items() if one == layer)
        rows.append([str(layer), ", ".join(f"`{name}`" for name in names)])
    count = sum(map(len, found.values()))
    return f"{len(found)} packages in {max(known.values())} layers, {count} imports between them:\n\n{table(rows)}"


if __name__ == "__main__":
    print(package_layers())
