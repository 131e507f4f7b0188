"""Copying: an index as it is at one moment, to another folder, while others write to it.

The databases are copied by SQLite, each in one transaction. What belongs to the generations and words that the copied
database names is copied after it. Encoders never change, so a generation that is still there has its own. FAISS files
and words are derived: one that was written meanwhile does not match, and the copy is made again; after a few times it
is made from what is stored.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from docsim.engine.local import checks, encoders, repairs, word_storage
from docsim.engine.local.store import Store
from docsim.engine.records import Copied
from docsim.engine.words import segment
from docsim.errors import EncoderError, StoreError

__all__ = ["copy"]

_TRIES = 3
"""Copies that are made while others write faster than files are copied."""


def copy(path: Path, target: Path) -> Copied:
    """Copy the index at ``path`` to ``target``, a folder that does not exist yet, and verify the copy.

    Raises:
        StoreError: There is no finished index, it is damaged, or the copy cannot be written.
    """
    with encoders.explained(target):
        if not _has_copied(path, target):
            repairs.repair(target, index_type=None, recall=None, wait=False)
            if problems := _problems(target):
                raise StoreError(f"the copy of {path} is not sound, nor is the index, probably: {problems[0]}")
        with closing(Store(target, writable=False)) as store:
            documents, revision, generations = store.counts().documents, store.revision(), len(store.generations())
        for database in target.glob("*.db"):
            with closing(sqlite3.connect(database)) as opened:
                opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # whoever closes it now removes the log
        shutil.copymode(path, target)
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return Copied(documents, revision, generations, size)


def _has_copied(path: Path, target: Path) -> bool:
    """Copy an index until the copy is sound; return whether it is."""
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True, mode=0o700)
        try:
            _copy(path, target)
        except FileNotFoundError:  # a generation or a segment was removed meanwhile
            continue
        if not _problems(target):
            return True
    return False


def _problems(path: Path) -> list[str]:
    """Return what is wrong with a copy, a sentence each."""
    with closing(Store(path, writable=False)) as store:
        found = checks.problems(path, store)
        for generation in store.generations():
            try:
                encoders.check(path, generation)
            except EncoderError as error:
                found.append(str(error))
    return found


def _copy(path: Path, target: Path) -> None:
    for database in sorted(path.glob("*.db")):
        _copy_database(database, target / database.name)
    with closing(Store(target, writable=False)) as store:
        if store.generation() is None:
            raise StoreError(f"expected a finished index at {path}, found one that was never finished")
        numbers = [one.number for one in store.generations()]
        words = [segment.path_of(word_storage.folder(path), row.digest) for row in word_storage.rows(store)]
    files = [file for number in numbers for file in _files(path, number)]
    files += [file for file in words if file.exists()]  # what is missing is made again from the texts
    for file in files:
        copied = target / file.relative_to(path)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copied)


def _copy_database(source: Path, target: Path) -> None:
    uri = source.absolute().as_uri()
    try:
        try:
            _copy_opened(f"{uri}?mode=ro", target)
        except sqlite3.OperationalError:  # in a folder that cannot be written to, such as a backup's
            if source.with_name(f"{source.name}-wal").exists():
                raise
            _copy_opened(f"{uri}?immutable=1", target)
    except sqlite3.Error as error:
        raise StoreError(f"could not copy {source} to {target.parent}: {error}") from error
    shutil.copymode(source, target)


def _copy_opened(uri: str, target: Path) -> None:
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as opened, closing(sqlite3.connect(target)) as copied:
        opened.backup(copied)


def _files(path: Path, number: int) -> list[Path]:
    """Return the files of a generation, without those that are being written.

    Raises:
        FileNotFoundError: It was removed since the database was copied.
    """
    folder = encoders.directory(path, number)
    if not folder.is_dir():
        with closing(Store(path, writable=False)) as store:
            if store.generation(number) is None:
                raise FileNotFoundError(folder)
    found = (file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in found if not any(part.endswith(".tmp") for part in file.relative_to(path).parts))
