"""Constants of the code, read from its source without importing it: training alone takes ten seconds to import.

A place is ``package.module:NAME``. Further names lead into what is assigned there: a field of a class by its default,
an argument of a call by its keyword, an element of a tuple by its number.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

__all__ = ["constant"]


def constant(place: str) -> int | float | str:
    """Return the constant at a place.

    Raises:
        ValueError: There is no such module or name, or it is not a plain number or string.
    """
    module, _, path = place.partition(":")
    name, *further = path.split(".")
    node: ast.AST | None = _assigned(_parsed(module).body, name)
    for part in further:
        node = _inside(node, part)
    value = _number(node)
    if value is None:
        raise ValueError(f"there is no constant at {place}; mend docs/facts.py")
    return value


def _parsed(module: str) -> ast.Module:
    package, *rest = module.split(".")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no package {package}; install it, or mend docs/facts.py")
    path = Path(spec.origin).parent.joinpath(*rest)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        raise ValueError(f"there is no module {module}; mend docs/facts.py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(body: list[ast.stmt], name: str) -> ast.AST | None:
    """Return what a name stands for in a module or class."""
    for statement in body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return statement
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if statement.target.id == name:
                return statement.value
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return statement.value
                if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                    names = [one.id for one in target.elts if isinstance(one, ast.Name)]
                    if name in names:
                        return statement.value.elts[names.index(name)]
    return None


def _inside(node: ast.AST | None, part: str) -> ast.AST | None:
    if isinstance(node, ast.ClassDef):
        return _assigned(node.body, part)
    if isinstance(node, ast.Call):
        return next((one.value for one in node.keywords if one.arg == part), None)
    if isinstance(node, ast.Tuple) and part.isdigit() and int(part) < len(node.elts):
        return node.elts[int(part)]
    return None


def _number(node: ast.AST | None) -> int | float | str | None:
    """Return a literal, or a power of two written as a shift."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        left, right = _number(node.left), _number(node.right)
        return left << right if isinstance(left, int) and isinstance(right, int) else None
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str) else None
