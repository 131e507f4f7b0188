"""Forms: the exports of tools, each read by one small module.

A form has two functions:

    recognise(tree)   whether a tree of files is an export of this form; looks at names and the beginning of a few files
    documents(tree)   yields a ``Document`` for every page, an ``Entry`` for what is read later, failures

Files of the tree that a form never opens are told as left out, so that nothing is lost silently. Packages of others add
forms by an entry point in the group ``docsim.sources``, which names a module or an object with these two functions.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from docsim.errors import SourceError, UsageError
from docsim.ingest import conversion_pool, file_names, trees
from docsim.ingest.forms import since as dates
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Document, Item, LeftOut

logger = logging.getLogger(__name__)

__all__ = ["FILES", "GROUP", "NAMES", "Form", "How", "documents", "names", "recognised"]

GROUP = "docsim.sources"
"""The entry points that add forms."""

FILES = "files"
"""The form of what is no export: every file is a document."""

NAMES = (
    *("slack", "notion", "confluence", "mail", "mediawiki", "obsidian", "openapi", "tickets", "git", "site"),
    FILES,
)
"""The forms that docsim knows, in the order in which they are tried; each is a module of this package."""


class Form(Protocol):
    """What a module of a form has."""

    def recognise(self, tree: Tree) -> bool:
        """Return whether a tree is an export of this form."""

    def documents(self, tree: Tree) -> Iterable[Item]:
        """Yield the documents of a tree, what cannot be read, and what is left out."""


def names() -> tuple[str, ...]:
    """Return the names of all forms, those of other packages first."""
    return (*_added(), *NAMES)


def recognised(path: Path) -> str:
    """Return the form of what is at a path; empty for a plain folder or file.

    Raises:
        SourceError: An archive is damaged, encrypted, or unpacks to more than is safe to read.
        OSError: It cannot be read.
    """
    with trees.opened(path) as tree:
        for name in names():
            try:
                if name != FILES and _form(name).recognise(tree):
                    return name
            except (SourceError, OSError):
                continue
    return FILES if trees.is_archive(path) else ""


@dataclass(frozen=True, slots=True)
class How:
    """How an export is read.

    Attributes:
        include: Patterns of the names of files that are read whatever their suffix.
        since: A date in ISO 8601; documents that were last changed before are left out.
        conversion: How files are converted.
    """

    include: tuple[str, ...] = ()
    since: str | None = None
    conversion: conversion_pool.Conversion = conversion_pool.USUAL


def documents(path: Path, form: str, how: How = How()) -> Iterator[Item]:
    """Yield the documents of an export. Entries are to be loaded or started before the next one is asked for.

    Args:
        path: A folder, an archive or a file.
        form: One of ``names()``.
        how: How it is read.

    Raises:
        SourceError: The source as a whole cannot be read, or is not of this form.
    """
    with trees.opened(path, include=how.include) as tree:
        tree.how = how.conversion
        told = set[str]()
        for item in dates.since(_guarded(_form(form), tree, form), how.since or ""):
            told.add(item.id if isinstance(item, Document) else item.path)
            yield item
        if "files" in tree.__dict__:  # else the form has gone by ``tree.documents``, which tells by itself
            yield from tree.told
            opened = tree.used | told
            yield from (LeftOut(id_of(one), _suffix(one)) for one in tree.files if one not in opened)
    conversion_pool.rest()


def _guarded(form: Form, tree: Tree, name: str) -> Iterator[Item]:
    """Yield what a form yields; whatever the content of an export makes it raise becomes an error in plain words."""
    try:
        yield from form.documents(tree)
    except (SourceError, UsageError, OSError):
        raise
    except Exception as error:
        logger.debug("%s could not be read as %s", tree.place, name, exc_info=True)
        reason = f"expected an export of {name}, got one that it could not read ({type(error).__name__})"
        raise SourceError(f"{reason}; read its files as they are", hint=f"--as {FILES}") from error


def _suffix(path: str) -> str:
    return file_names.suffix(path) or "file without a suffix"


def _form(name: str) -> Form:
    """Return a form.

    Raises:
        UsageError: There is none of this name, or the package that has it cannot be imported.
    """
    if one := _added().get(name):
        try:
            return cast(Form, one.load())
        except Exception as error:
            raise UsageError(f"could not load the form {name} from {one.value}: {error}") from error
    if name not in NAMES:
        raise UsageError(f"expected a form that is one of {', '.join(names())}, got {name!r}")
    return cast(Form, importlib.import_module(f"docsim.ingest.forms.{name}"))


@functools.cache
def _added() -> Mapping[str, importlib.metadata.EntryPoint]:
    """Return the forms of other packages, by name; looking for them takes a tenth of a second."""
    return {one.name: one for one in importlib.metadata.entry_points(group=GROUP)}
