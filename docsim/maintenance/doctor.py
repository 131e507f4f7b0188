"""The doctor: looks at what an index needs to work well - packages, files, permissions, room - and says how it is.

It is quick and changes nothing. ``docsim.maintenance.verify`` compares everything that is stored with everything else.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from docsim import __version__, extras
from docsim.encoding.norms import are_unit
from docsim.errors import DocsimError
from docsim.index import Index
from docsim.maintenance.status import read_generations, read_sources

__all__ = ["Check", "checks"]

State = Literal["ok", "warning", "failed"]

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "lustre")
"""File systems on which SQLite's locks and shared memory may not work."""

_LEAST_FREE = 100e6
_OLD_DAYS = 30
_PACKAGES = ("onnxruntime", "faiss-cpu", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        name: What was looked at.
        state: ``ok``; ``warning`` where something may go wrong; ``failed`` where it does.
        told: What is the case, and what to do about it.
    """

    name: str
    state: State
    told: str


def checks(path: Path | None) -> Iterator[Check]:
    """Yield what is found, in the order in which it is looked at.

    Args:
        path: The index's directory; None to look at the environment only.
    """
    yield from _environment()
    if path is None:
        return
    try:
        with Index.open(path) as index:
            yield from _of_index(index)
    except DocsimError as error:
        yield Check("index", "failed", str(error))
    yield from _files(path)


def _environment() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("docsim", "ok", f"{__version__} on Python {version}")
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    told = ", ".join(found) + (f"; not installed: {', '.join(missing)}" if missing else "")
    yield Check("packages", "failed" if missing else "ok", f"{told}; SQLite {sqlite3.sqlite_version}")
    have = [name for name in extras.PACKAGES if extras.available(name)]
    lack = [name for name in extras.PACKAGES if name not in have]
    told = f"installed: {', '.join(have) or 'none'}"
    yield Check(
        "extras", "ok", told + (f'; not installed: {", ".join(lack)} (pip install "docsim[all]")' if lack else "")
    )


def _of_index(index: Index) -> Iterator[Check]:
    counts, generation = index.counts(), index.generation()
    yield Check(
        "index", "ok", f"{counts.documents} documents, generation {generation.number} at {index.engine.address}"
    )
    yield _tried("encoder", lambda: _encoder(index))
    yield _tried("search", lambda: _search(index))
    yield from _generations(index)
    yield from _sources(index)


def _tried(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except DocsimError as error:
        return Check(name, "failed", str(error))


def _encoder(index: Index) -> Check:
    encoder = index.encoder
    if not are_unit(encoder.encode(["docsim"]).astype(np.float32)):
        return Check("encoder", "failed", f"{encoder.name} gives something else than unit vectors")
    return Check("encoder", "ok", f"{encoder.name}, {encoder.dim} dimensions, fingerprint {encoder.fingerprint[:12]}")


def _search(index: Index) -> Check:
    found = index.search("docsim", 1)
    warnings = index.engine.search_facts().warnings
    if warnings:
        return Check("search", "warning", warnings[0])
    return Check("search", "ok", f"a question is answered in {found.took_ms:.0f} ms")


def _generations(index: Index) -> Iterator[Check]:
    found = read_generations(index)
    retired = sum(one.bytes for one in found if one.state == "retired")
    yield Check("generations", "ok", f"{len(found)}; earlier ones take {retired / 1e6:.1f} MB")
    for one in found:
        if one.state == "building" and not index.engine.is_rebuilding():
            how = "did not pass the gate" if one.passed is False else "is unfinished"
            told = f"{one.number} {how}, and nobody works on it; go on or drop it with docsim reindex"
            yield Check("generations", "warning", told)


def _sources(index: Index) -> Iterator[Check]:
    for one in read_sources(index):
        if one.gone:
            yield Check("source", "warning", f"{one.location} is gone; docsim forget removes its documents")
        elif not one.complete:
            yield Check("source", "warning", f"{one.location} was not read completely; index it again")
        elif (days := _days(one.finished)) > _OLD_DAYS:
            yield Check("source", "warning", f"{one.location} was read {days:.0f} days ago; index it again")
        else:
            yield Check("source", "ok", f"{one.location}, {one.documents} documents, read {one.finished}")
    if failures := len(index.engine.sources().failures()):
        yield Check("failures", "warning", f"{failures} documents could not be read; docsim status lists them")


def _days(instant: str | None) -> float:
    if instant is None:
        return 0.0
    found = datetime.fromisoformat(instant)
    return (datetime.now(UTC) - found.replace(tzinfo=found.tzinfo or UTC)).total_seconds() / 86400


def _files(path: Path) -> Iterator[Check]:
    if not path.is_dir():
        return
    if os.access(path, os.W_OK):
        yield Check("writing", "ok", f"this user may write to {path}")
    else:
        yield Check("writing", "warning", f"this user may only read {path}: search it, and serve it without tokens")
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield Check("permissions", "failed", f"everybody may write to {path}: chmod o-w {path}")
    elif mode & (stat.S_IROTH | stat.S_IXOTH):
        told = f"everybody on this machine may read {path}; if that is too many: chmod o-rwx {path}"
        yield Check("permissions", "ok", told)
    else:
        yield Check("permissions", "ok", f"others on this machine may not read {path}")
    for file in (path / "serving.db", path / "use.db"):
        if file.exists() and file.stat().st_mode & 0o077:
            yield Check("permissions", "failed", f"others may read {file}: chmod 600 {file}")
    yield _room(path)
    if (kind := _file_system(path)) in _NETWORK:
        yield Check("file system", "warning", f"{kind}: locks may not work there; keep the index on a local disk")


def _room(path: Path) -> Check:
    free = shutil.disk_usage(path).free
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    told = f"{free / 1e9:.1f} GB free, the index takes {size / 1e9:.3f} GB"
    if free < _LEAST_FREE:
        return Check("disk", "failed", f"{told}: too little to write to it")
    if free < size:
        return Check("disk", "warning", f"{told}: too little to re-index it or to back it up here")
    return Check("disk", "ok", told)


def _file_system(path: Path) -> str:
    """Return the kind of file system that a path lies on; empty where that cannot be told."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    place = path.resolve()
    holding = [(where, kind) for where, kind in mounts if place.is_relative_to(where.replace("\\040", " "))]
    return max(holding, key=lambda one: len(one[0]), default=("", ""))[1]
