"""The house in numbers: how many packages there are, on how many floors, and how many arrows run between them.

A room is a package, or a module that lies beside the packages. An arrow runs from one room to another that it imports,
however often, also when the import happens only inside a function. A room's floor is the longest way down from it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tables import ROOT, table

__all__ = ["floors", "house", "rooms"]

_OPEN = ("engine", "training")
"""Packages that are large enough to count by the packages and modules inside them."""


def _room(module: str) -> str:
    """Return the room that a module lies in, given its dotted name without ``docsim.``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in _OPEN and len(parts) > 1 else parts[0]


def rooms() -> dict[str, set[str]]:
    """Return each room and the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "docsim").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "docsim").with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if not module or module in _OPEN:
            continue
        here = _room(module)
        found.setdefault(here, set())
        found[here] |= {_room(name) for name in _imported(path)} - {here}
    return {room: {one for one in below if one in found} for room, below in found.items()}


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


def floors(found: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room; 1 is the ground.

    Raises:
        ValueError: Two rooms import each other, if through others.
    """
    known: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            raise ValueError(f"the rooms {' -> '.join((*above, room))} import each other")
        if room not in known:
            known[room] = 1 + max((floor(one, (*above, room)) for one in found[room]), default=0)
        return known[room]

    for room in found:
        floor(room, ())
    return known


def house() -> str:
    """Return a table of the floors, the highest first, and how many rooms and arrows there are."""
    found = rooms()
    known = floors(found)
    rows = [["floor", "rooms"]]
    for floor in range(max(known.values()), 0, -1):
        names = sorted(room for room, one in known.items() if one == floor)
        rows.append([str(floor), ", ".join(f"`{name}`" for name in names)])
    arrows = sum(map(len, found.values()))
    return f"{len(found)} rooms on {max(known.values())} floors, {arrows} arrows:\n\n{table(rows)}"


if __name__ == "__main__":
    print(house())
