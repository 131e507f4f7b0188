"""Shards: pieces of work that are small, independent, and named after their content.

The name of a shard follows from what is in it. A run that was stopped finds the files that it wrote by their names, and
a document that has changed since gives its shard another name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index

__all__ = ["DOCUMENTS", "Shard", "of_files", "of_index"]

DOCUMENTS = 256
"""Numbers of documents in a shard: some seconds for an encoder that reads words in context."""

_NAME = 24  # hexadecimal digits of a name


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of work.

    Attributes:
        name: Follows from its content; the name of its file without the suffix.
        numbers: The numbers of its documents in an index; empty for a file.
        file: The absolute path of a file of records; empty for documents of an index.
        documents: How many documents it holds; 0 where that is not known before it is read.
    """

    name: str
    numbers: tuple[int, ...] = ()
    file: str = ""
    documents: int = 0


@retried
def of_index(index: Index, *, documents: int = DOCUMENTS) -> list[Shard]:
    """Divide the documents of an index by number, as they are at one moment.

    Args:
        index: The index.
        documents: How many numbers a shard covers, at least 1. A document keeps its number, so a change concerns one
            shard only.

    Raises:
        UsageError: ``documents`` is below 1.
    """
    if documents < 1:
        raise UsageError(f"expected 1 document or more in a shard, got {documents}")
    with index.engine.snapshot() as snapshot:
        counts = snapshot.passage_counts()
        facts = (
            (one.number, f"{one.document.id}\0{one.digest}\0{counts.get(one.number, 0)}")
            for one in snapshot.scan(characters=0)
        )
        return list(_divided(facts, documents))


def _divided(facts: Iterable[tuple[int, str]], documents: int) -> Iterator[Shard]:
    """Yield the shards of documents that are given by number and what tells their content."""
    for _, group in groupby(facts, lambda fact: fact[0] // documents):
        members = list(group)
        numbers = tuple(number for number, _ in members)
        yield Shard(_named([text for _, text in members]), numbers, documents=len(numbers))


def of_files(files: Sequence[Path]) -> list[Shard]:
    """Return one shard for each file of records.

    Raises:
        UsageError: One is not a file, or is given twice.
    """
    found = {}
    for file in files:
        if not file.is_file():
            raise UsageError(f"expected files of records, got {file}, which is none")
        place = os.path.realpath(file)
        if place in found:
            raise UsageError(f"expected each file once, got {file} twice")
        facts = file.stat()
        found[place] = Shard(_named([place, str(facts.st_size), str(facts.st_mtime_ns)]), file=place)
    return list(found.values())


def _named(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x01".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:_NAME]
