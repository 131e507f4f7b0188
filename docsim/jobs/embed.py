"""Encoding in bulk: the documents of an index, or of files of records, into files of embeddings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from docsim import extras
from docsim.bulk import files, on_ray, processes, shards
from docsim.bulk.embedding import Done, Job, path_of
from docsim.bulk.shards import Shard
from docsim.encoding.encoder import Encoder
from docsim.errors import StoreError, UsageError
from docsim.index import Index
from docsim.progress import SILENT, Progress

__all__ = ["BulkOptions", "EmbeddedInBulk", "Where", "embed"]

Where = Literal["processes", "ray"]
"""What encodes: processes of this machine, or Ray."""


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How to encode in bulk.

    Attributes:
        on: What encodes.
        address: Of a Ray cluster, ``auto`` for the one that Ray finds; by default one is made of this machine.
        workers: How many encode at a time, at least 1; by default one for every ``threads`` cores.
        threads: How many threads each of them has, at least 1.
        shard: How many documents of an index are encoded into one file.

    Raises:
        UsageError: A number is below 1, or there is an address without Ray.
    """

    on: Where = "processes"
    address: str | None = None
    workers: int | None = None
    threads: int = 1
    shard: int = shards.DOCUMENTS

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("threads", self.threads), ("shard", self.shard)):
            if value is not None and value < 1:
                raise UsageError(f"expected {name} to be 1 or more, got {value}")
        if self.address is not None and self.on != "ray":
            raise UsageError(f"expected the address of a Ray cluster with Ray only, got one with {self.on}")


@dataclass(frozen=True, slots=True)
class EmbeddedInBulk:
    """What was encoded.

    Attributes:
        folder: Where the files are.
        fingerprint: The encoder's fingerprint.
        shards: How many files there are.
        made: How many of them were written now.
        documents: How many documents were encoded now.
        passages: How many passages were encoded now.
        seconds: How long it took.
        failures: Documents that could not be read, a sentence each.
    """

    folder: Path
    fingerprint: str
    shards: int
    made: int
    documents: int
    passages: int
    seconds: float
    failures: tuple[str, ...] = field(default=())


def embed(
    given: Index | Sequence[Path],
    encoder: Encoder,
    out: Path,
    options: BulkOptions = BulkOptions(),
    *,
    progress: Progress = SILENT,
) -> EmbeddedInBulk:
    """Encode documents into files, one for each shard; files that are there already are left alone.

    Killed and called again, it goes on. At its end there are the files of these documents, and no others of the same
    encoder.

    Args:
        given: An index whose documents are encoded as they are divided there, or files of records, such as JSONL.
        encoder: What encodes.
        out: Where the files go.
        options: How to do it.
        progress: Told what is being done.

    Raises:
        UsageError: There is nothing to encode, or a file is none.
        MissingExtra: The extra ``embed``, or ``ray`` where Ray is asked for, is not installed.
        DocsimError: A shard cannot be encoded, or there is no such cluster; the shards that were done stay.
    """
    started = time.perf_counter()
    _require_extras(options)
    every = _divided(given, options)
    job = _job(given, encoder, out, options)
    folder = _made(path_of(job, "").parent)
    waiting = [one for one in every if not path_of(job, one.name).exists()]
    progress.begin("shards", len(every), len(every) - len(waiting))
    done = []
    for one in _run(waiting, job, options):
        done.append(one)
        progress.advance()
    files.tidy(folder, [one.name for one in every])
    made = [one for one in done if one.made]
    return EmbeddedInBulk(
        folder=folder,
        fingerprint=encoder.fingerprint,
        shards=len(every),
        made=len(made),
        documents=sum(one.documents for one in made),
        passages=sum(one.passages for one in made),
        seconds=time.perf_counter() - started,
        failures=tuple(failure for one in done for failure in one.failures),
    )


def _require_extras(options: BulkOptions) -> None:
    extras.require("embed", "encoding in bulk")
    if options.on == "ray":
        extras.require("ray", "encoding on Ray")


def _divided(given: Index | Sequence[Path], options: BulkOptions) -> Sequence[Shard]:
    """Return the shards of an index, or of files of records."""
    found = shards.of_index(given, documents=options.shard) if isinstance(given, Index) else shards.of_files(given)
    if not found:
        raise UsageError("expected at least one document to encode, found none")
    return found


def _job(given: Index | Sequence[Path], encoder: Encoder, out: Path, options: BulkOptions) -> Job:
    return Job(
        encoder=str(encoder.path.absolute()),
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        out=str(out.absolute()),
        index=_absolute(given.engine.address) if isinstance(given, Index) else "",
        threads=options.threads,
    )


def _absolute(address: str) -> str:
    """Return the address of an index as other processes, with other working directories, can be given it."""
    return address if "://" in address else str(Path(address).absolute())


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write embeddings to {folder}: {error}") from error
    return folder


def _run(waiting: Sequence[Shard], job: Job, options: BulkOptions) -> Iterator[Done]:
    if not waiting:
        return iter(())
    if options.on == "ray":
        return on_ray.run(waiting, job, workers=options.workers, address=options.address)
    workers = options.workers or max(1, (os.cpu_count() or 1) // options.threads)
    return processes.run(waiting, job, workers=min(workers, len(waiting)))
