"""Git: the work tree of a repository. READMEs and other documents are read as in any folder, or as the pages of a site;
of Python files the docstrings are. Other source code is read if ``--include`` says so.
"""

from __future__ import annotations

import ast
import re
import urllib.parse
import warnings
from collections.abc import Iterator

from docsim.errors import SourceError
from docsim.ingest import folders
from docsim.ingest.forms import page, site, site_config
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Entry, Failure, Item, LeftOut

__all__ = ["documents", "recognise"]

_REMOTE = re.compile(
    r"^\s*url\s*=\s*(?:https?://|git://|ssh://|git@)(?:[^@/\s]*@)?([\w.-]+)(?::\d+)?[:/]([\w./~-]+?)(?:\.git)?/?\s*$",
    re.M,
)
_FILES = {"github": "blob/HEAD", "gitlab": "-/blob/HEAD", "bitbucket": "src/HEAD", "codeberg": "src/branch/HEAD"}
_DEEPEST = 3  # classes and functions within each other
_PYTHON = 1 << 21  # the largest module whose docstrings are read, in bytes


def recognise(tree: Tree) -> bool:
    """Return whether a folder is the work tree of a repository."""
    return any(one in (".git", ".git/") or one.startswith(".git/") for one in tree.glance())


def documents(tree: Tree) -> Iterator[Item]:
    """Yield the documents of a repository, and the docstrings of its Python modules."""
    sites, base = site_config.sites(tree), _base(tree)
    for one in tree.documents(also=("*.py",)):
        if not isinstance(one, str):
            yield one
            continue
        url = f"{base}/{urllib.parse.quote(one, errors='replace')}" if base else ""
        is_code = one.endswith(".py") and folders.unread(one, tree.include)  # what the user includes is read as it is
        yield _module(tree, one, url) if is_code else site.item(tree, one, sites, url=url)


def _base(tree: Tree) -> str:
    """Return the address below which the files are read; without the user and password of the remote."""
    try:
        match = _REMOTE.search(tree.text(".git/config"))
    except SourceError:
        return ""
    place = next((place for host, place in _FILES.items() if host in match[1]), "") if match else ""
    return f"https://{match[1]}/{match[2]}/{place}" if match and place else ""


def _module(tree: Tree, path: str, url: str) -> Entry | Failure | LeftOut:
    id = id_of(path)
    try:
        text = _described(tree.read(path), id)
        digest = tree.digest(path, "docstrings", url)
    except SourceError as error:
        return Failure(id, str(error))
    if not text:
        return LeftOut(id, "Python without docstrings")
    return Entry(id, digest, lambda: page.page(id, text, _dotted(id), url=url, language="Python"))


def _dotted(path: str) -> str:
    """Return the name that a module is imported by."""
    name = path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/")
    return name.replace("/", ".")


def _described(data: bytes, path: str) -> str:
    """Return the docstrings of a module as Markdown; empty where there are none, or the file is no Python of today."""
    if len(data) > _PYTHON:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    found = list(_docstrings(module, 1))
    return "\n\n".join([f"# {_dotted(path)}", *found]) if found else ""


def _docstrings(node: ast.AST, level: int) -> Iterator[str]:
    """Yield the docstring of a module, class or function, and those of what is in it, each below a heading."""
    assert isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    told = ast.get_docstring(node)
    if told and level == 1:
        yield told
    for one in node.body:
        if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and level <= _DEEPEST:
            inner = list(_docstrings(one, level + 1))
            said = ast.get_docstring(one)
            if said or inner:
                yield "\n\n".join(filter(None, [f"{'#' * (level + 1)} {_heading(one)}", said, *inner]))


def _heading(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    return (
        f"{node.name}({', '.join(one.arg for one in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])})"
    )
