"""Files of embeddings: one for each shard, in Arrow's file format, which other programs read, too.

    FOLDER/<beginning of the fingerprint>/<name of the shard>.arrow

One row is one passage:

    id          the document's id
    digest      SHA-256 of the document's title, text and metadata
    start, end  where the passage is in the document's text, in characters
    key         BLAKE2b, 16 bytes, of the very text that was encoded: title, heading and passage
    embedding   float16 (dim), of unit norm but for rounding

The schema's metadata hold the version of the format, the encoder's name and fingerprint, and a checksum. A file is
written whole or not at all.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from docsim import extras
from docsim.errors import StoreError
from docsim.files import flush, replacing

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder

__all__ = ["FORMAT", "KEY_BYTES", "SUFFIX", "Rows", "Stored", "folder_of", "key", "read", "tidy", "write"]

FORMAT = "1"
SUFFIX = ".arrow"
KEY_BYTES = 16
_FINGERPRINT = 16  # hexadecimal digits in the name of a folder


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file holds, a row for each passage.

    Attributes:
        ids: Ids of documents.
        digests: Their digests.
        starts: Offsets of first characters.
        ends: Offsets one past the last characters.
        keys: What ``key`` gives for each passage.
        embeddings: ``float16 (passages, dim)``, unit rows.
    """

    ids: Sequence[str]
    digests: Sequence[str]
    starts: Sequence[int]
    ends: Sequence[int]
    keys: Sequence[bytes]
    embeddings: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it is looked up in: arrays that lie in the file, which is mapped into memory.

    Attributes:
        keys: ``uint64 (passages, 2)``, the two halves of each key.
        embeddings: ``float16 (passages, dim)``.
    """

    keys: NDArray[np.uint64]
    embeddings: NDArray[np.float16]


def key(text: str) -> bytes:
    """Return what a text is known by in the files."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def folder_of(folder: Path, fingerprint: str) -> Path:
    """Return where the files of an encoder are."""
    return folder / fingerprint[:_FINGERPRINT]


def write(path: Path, rows: Rows, encoder: Encoder) -> None:
    """Write a file, whole or not at all. Others may write the same one meanwhile.

    Raises:
        MissingExtra: The extra ``embed`` is not installed.
        StoreError: It cannot be written.
    """
    batch = _batch(rows, encoder)
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}")  # two may write one shard, where a machine was lost
    try:
        with replacing(temporary) as file, _arrow().ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write embeddings to {path}: {error}") from error


def _batch(rows: Rows, encoder: Encoder) -> Any:
    """Return the rows as a record batch of Arrow, with what is to be known of them as its metadata."""
    pa = _arrow()
    vectors = np.ascontiguousarray(rows.embeddings, np.float16)
    keys = b"".join(rows.keys)
    listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float16()), encoder.dim)
    columns = {
        "id": pa.array(rows.ids, pa.string()),
        "digest": pa.array(rows.digests, pa.string()),
        "start": pa.array(rows.starts, pa.int64()),
        "end": pa.array(rows.ends, pa.int64()),
        "key": pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), len(rows.keys), [None, pa.py_buffer(keys)]),
        "embedding": listed,
    }
    facts = {
        "docsim.format": FORMAT,
        "docsim.encoder": encoder.name,
        "docsim.fingerprint": encoder.fingerprint,
        "docsim.checksum": _checksum(np.frombuffer(keys, np.uint8), vectors),
    }
    return pa.RecordBatch.from_pydict(columns).replace_schema_metadata(facts)


def read(path: Path, encoder: Encoder) -> Stored:
    """Read a file that holds embeddings of an encoder.

    Raises:
        MissingExtra: The extra ``embed`` is not installed.
        StoreError: It cannot be read, is damaged, or another encoder made it.
    """
    pa = _arrow()
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            facts = {name.decode(): value.decode() for name, value in (reader.schema.metadata or {}).items()}
            batch = reader.get_batch(0)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise StoreError(f"the embeddings at {path} cannot be read: {error}") from error
    made = (facts.get("docsim.format"), facts.get("docsim.fingerprint"))
    if made != (FORMAT, encoder.fingerprint):
        raise StoreError(
            f"expected embeddings of {encoder.name} (fingerprint {encoder.fingerprint[:12]}) in format {FORMAT} at "
            f"{path}, found format {made[0]} and fingerprint {(made[1] or 'none')[:12]}"
        )
    stored = _arrays(batch, encoder.dim)
    if facts.get("docsim.checksum") != _checksum(stored.keys, stored.embeddings):
        raise StoreError(f"the embeddings at {path} are damaged; remove the file, and make it again")
    return stored


def _arrays(batch: Any, dim: int) -> Stored:
    keys = np.frombuffer(batch.column("key").buffers()[1], "<u8", count=2 * batch.num_rows).reshape(-1, 2)
    vectors = batch.column("embedding").flatten().to_numpy(zero_copy_only=True)
    return Stored(keys.astype(np.uint64, copy=False), vectors.reshape(-1, dim))


def tidy(folder: Path, names: Sequence[str]) -> int:
    """Remove the files of a folder that belong to no shard of some names; return how many were removed."""
    kept = {f"{name}{SUFFIX}" for name in names}
    old = [path for path in folder.iterdir() if path.name not in kept and path.is_file()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _checksum(keys: NDArray[Any], embeddings: NDArray[np.float16]) -> str:
    hashed = xxhash.xxh3_64(np.ascontiguousarray(keys).view(np.uint8).data)
    hashed.update(np.ascontiguousarray(embeddings).view(np.uint8).data)
    return hashed.hexdigest()


def _arrow() -> Any:
    extras.require("embed", "a file of embeddings")
    import pyarrow
    import pyarrow.ipc

    return pyarrow
