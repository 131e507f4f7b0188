"""Exports for tests, written by us in the structure that each tool gives them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import forms
from docsim.models import Document, Entry, Failure, Item, LeftOut

__all__ = ["Read", "folder", "read", "zipped"]

Content = object
"""The content of a file: text, bytes, or what is written as JSON."""


class Read:
    """What was read from an export."""

    def __init__(self, items: list[Item]) -> None:
        self.documents = {one.id: one for one in items if isinstance(one, Document)}
        self.failures = [one for one in items if isinstance(one, Failure)]
        self.left_out = {one.path: one.reason for one in items if isinstance(one, LeftOut)}

    def __getitem__(self, id: str) -> Document:
        return self.documents[id]


def read(path: Path, form: str, **how: Any) -> Read:
    """Read an export, which has to be recognised as of a form."""
    assert forms.recognised(path) == form
    items: list[Item] = []
    for item in forms.documents(path, form, forms.How(**how)):
        try:
            items.append(item.load() if isinstance(item, Entry) else item)
        except SourceError as error:
            items.append(Failure(item.path, str(error)))  # type: ignore[union-attr]
    ids = [one.id for one in items if isinstance(one, Document)]
    assert len(ids) == len(set(ids))
    return Read(items)


def zipped(path: Path, files: Mapping[str, Content]) -> Path:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, _bytes(content))
    return path


def folder(path: Path, files: Mapping[str, Content]) -> Path:
    """Write the same as a folder."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(_bytes(content))
    return path


def _bytes(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()
