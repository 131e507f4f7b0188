"""Embeddings on their way to PostgreSQL and back: rows of ``halfvec`` in the binary formats of COPY and of answers.

A ``halfvec`` is its number of components, two bytes that mean nothing, and each component, big-endian. All rows of a
table are of one size, so NumPy lays out and reads whole tables at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine.postgres.queries import Queries
from docsim.engine.records import Embeddings, Numbers

__all__ = ["Rows", "checksum", "fetched", "literal", "load"]

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_DOCUMENTS = 4_000  # whose embeddings are sent in one value, which has at most 1 GB

Rows = dict[int, Embeddings]
"""The embeddings of documents by number, ``float16 (passages, dim)`` each."""


def checksum(rows: Embeddings) -> int:
    """Return the CRC-32 of a document's embeddings, as the local engine keeps it."""
    return zlib.crc32(np.ascontiguousarray(rows, dtype=np.float16).tobytes())


def literal(query: NDArray[np.floating]) -> str:
    """Return one vector as text for a parameter of type ``halfvec``."""
    return "[" + ",".join(map(repr, query.astype(np.float16).astype(float).tolist())) + "]"


def load(queries: Queries, table: str, found: Sequence[tuple[int, int, NDArray[np.floating]]]) -> None:
    """Load embeddings into a table.

    Args:
        queries: In a transaction.
        table: Its name.
        found: For each document its number, its first passage number, and its rows ``(passages, dim)``.
    """
    if not found:
        return
    counts = np.array([len(rows) for _, _, rows in found])
    stacked = np.concatenate([rows for _, _, rows in found])
    kind = np.dtype(
        [
            ("fields", ">i2"), ("size1", ">i4"), ("document", ">i8"), ("size2", ">i4"), ("passage", ">i8"),
            ("size3", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("row", ">f2", (stacked.shape[1],)),
        ]
    )  # fmt: skip
    content = np.zeros(len(stacked), kind)
    content["fields"], content["size1"], content["size2"] = 3, 8, 8
    content["size3"], content["dim"] = 4 + 2 * stacked.shape[1], stacked.shape[1]
    content["document"] = np.repeat([number for number, _, _ in found], counts)
    content["passage"] = np.concatenate([np.arange(first, first + len(rows)) for _, first, rows in found])
    content["row"] = stacked
    sql = f"COPY {table} (document, passage, embedding) FROM STDIN (FORMAT binary)"
    queries.copy_bytes(sql, _HEADER + content.tobytes() + _END)


def fetched(queries: Queries, table: str, numbers: Numbers, *, dim: int) -> tuple[Numbers, Embeddings]:
    """Return the embeddings of some documents, by ascending document and passage.

    Returns:
        The document of each row, ``int64 (passages,)``, and the rows, ``float16 (passages, dim)``.
    """
    kind = np.dtype([("document", ">i8"), ("dim", ">i2"), ("unused", ">i2"), ("row", ">f2", (dim,))])
    sql = (
        "SELECT string_agg(int8send(document) || halfvec_send(embedding), ''::bytea ORDER BY document, passage)"
        f" FROM {table} WHERE document = ANY(%s::bigint[])"
    )
    found = [np.zeros(0, kind)]
    wanted = np.unique(numbers)
    for start in range(0, len(wanted), _DOCUMENTS):
        (content,) = queries.binary(sql, wanted[start : start + _DOCUMENTS].tolist())
        found.append(np.frombuffer(content or b"", kind))
    together = np.concatenate(found) if len(found) > 2 else found[-1]
    return together["document"].astype(np.int64), together["row"].astype(np.float16)
