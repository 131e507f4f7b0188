"""Encoding one shard: read its documents, split and encode them, and write its file.

The same shard gives the same file, whichever process or machine encodes it, and however often. A file that is there
already is left alone, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from docsim.bulk import files
from docsim.bulk.files import Rows
from docsim.bulk.shards import Shard
from docsim.encoding.documents import inputs, kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.encoding.norms import are_unit
from docsim.engine.retrying import retried
from docsim.errors import EncoderError, FingerprintMismatch, SourceError
from docsim.index import Index
from docsim.ingest import passages
from docsim.ingest.sources import open_source
from docsim.models import Document, Entry, Failure, Passage

__all__ = ["Done", "Job", "embed_shard", "path_of"]

Split = tuple[Document, Sequence[Passage], str]
"""A document, its passages and its digest."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every shard of a run has in common; plain values, which other processes and machines can be given.

    Attributes:
        encoder: The encoder's directory; every machine has to reach it under this path.
        fingerprint: The encoder's fingerprint.
        dim: How many components it keeps.
        out: Where the files go; every machine has to reach it under this path.
        index: The address of the index that is read; empty where files are.
        threads: How many threads encode, at least 1.
    """

    encoder: str
    fingerprint: str
    dim: int
    out: str
    index: str = ""
    threads: int = 1

    def load(self) -> Encoder:
        """Load the encoder.

        Raises:
            EncoderError: It is missing or damaged.
            FingerprintMismatch: It is another one by now.
        """
        return _encoder(self)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a shard.

    Attributes:
        name: The shard's name.
        documents: How many documents its file has; 0 where the file was there already.
        passages: How many passages.
        made: Whether the file was written now.
        seconds: How long it took.
        failures: Documents that could not be read, a sentence each.
    """

    name: str
    documents: int
    passages: int
    made: bool
    seconds: float
    failures: tuple[str, ...] = ()


def path_of(job: Job, name: str) -> Path:
    """Return where the file of a shard is."""
    return files.folder_of(Path(job.out), job.fingerprint) / f"{name}{files.SUFFIX}"


def embed_shard(shard: Shard, job: Job) -> Done:
    """Encode the documents of a shard into its file, unless the file is there.

    Raises:
        EncoderError: The encoder is missing, damaged or another one, or gives something other than unit vectors.
        SourceError: The shard's file cannot be read.
        StoreError: The index cannot be read, or the file cannot be written.
    """
    started = time.perf_counter()
    path = path_of(job, shard.name)
    if path.exists():
        return Done(shard.name, 0, 0, False, time.perf_counter() - started)
    failures: list[str] = []
    documents = _indexed(job.index, shard) if shard.numbers else list(_read(shard, failures))
    rows = encoded(job.load(), documents)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, rows, job.load())
    seconds = time.perf_counter() - started
    return Done(shard.name, len(documents), len(rows.ids), True, seconds, tuple(failures))


def encoded(encoder: Encoder, documents: Sequence[Split]) -> Rows:
    """Return what a file holds of some documents.

    Raises:
        EncoderError: The encoder gives something other than unit vectors.
    """
    vectors = kept_embeddings(encoder, [(document, spans) for document, spans, _ in documents])
    embeddings = np.concatenate(vectors) if vectors else np.empty((0, encoder.dim), np.float16)
    if not are_unit(embeddings):
        raise EncoderError(f"expected unit vectors from the encoder {encoder.name}, got others, perhaps NaN")
    flat = [(document.id, digest, span) for document, spans, digest in documents for span in spans]
    texts = [text for document, spans, _ in documents for text in inputs(encoder, document, spans)]
    return Rows(
        [id for id, _, _ in flat],
        [digest for _, digest, _ in flat],
        [span.start for _, _, span in flat],
        [span.end for _, _, span in flat],
        [files.key(text) for text in texts],
        embeddings,
    )


def _indexed(address: str, shard: Shard) -> list[Split]:
    """Return the documents of a shard that the index still holds."""
    return _of_index(_index(address), shard)


@retried
def _of_index(index: Index, shard: Shard) -> list[Split]:
    with index.engine.snapshot() as snapshot:
        found = snapshot.documents(shard.numbers)
        spans = snapshot.passages(list(found))
        return [(one.document, spans[number], one.digest) for number, one in found.items()]


def _read(shard: Shard, failures: list[str]) -> Iterator[Split]:
    """Yield the documents in a file, and add why some cannot be read to ``failures``."""
    for item in open_source(shard.file).entries():
        if isinstance(item, Failure):
            failures.append(f"{item.path}: {item.reason}")
            continue
        try:
            document = item.load() if isinstance(item, Entry) else item
        except SourceError as error:
            failures.append(f"{item.path if isinstance(item, Entry) else shard.file}: {error}")
            continue
        if isinstance(document, Document):
            yield document, passages.split(document.text), document.digest()


@lru_cache(maxsize=1)
def _encoder(job: Job) -> Encoder:
    encoder = Encoder.load(job.encoder, threads=job.threads)
    if encoder.fingerprint != job.fingerprint:
        encoder = Encoder.load(job.encoder, dim=job.dim, threads=job.threads)
    if encoder.fingerprint != job.fingerprint:
        raise FingerprintMismatch(
            f"expected the encoder with the fingerprint {job.fingerprint[:12]} at {job.encoder}, found "
            f"{encoder.fingerprint[:12]}; every machine has to see the same encoder there"
        )
    return encoder


@lru_cache(maxsize=1)
def _index(address: str) -> Index:
    return Index.open(address)
