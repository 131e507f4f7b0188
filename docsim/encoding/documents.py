"""Embeddings of documents: split them into passages, encode the passages, and put the rows of each document together.

Everything that encodes documents goes through here, so that a query, a document being indexed and a document being
checked are all encoded in the same way. The passages of all documents are encoded in one call, which is faster than one
call a document; a caller with many documents passes them in batches to bound memory.

Some encoders were trained with a few words before each text, which tell questions from documents: "query: how to boil
lentils", "passage: Rinse the lentils ...". This is the one place that puts these prefixes before texts. A question is
what a user asks in words. A document that others are compared with is encoded like those that are indexed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.models import Document, Passage

__all__ = ["Role", "encode_documents", "encode_passages", "encode_texts", "inputs", "kept_embeddings", "prefix"]

Items = Sequence[tuple[Document, Sequence[Passage]]]

Role = Literal["document", "query"]
"""Whether a text is part of a document, or a question."""


def encode_documents(
    encoder: Encoder, documents: Sequence[Document], *, role: Role = "document"
) -> list[NDArray[np.float32]]:
    """Split documents into passages and encode them.

    Args:
        encoder: What encodes.
        documents: Any documents. One without text has a single empty passage, whose embedding is that of its title.
        role: ``query`` for questions.

    Returns:
        For each document, in the order given, the embeddings of its passages: float32 ``(passages, dim)``, unit rows,
        at least one.
    """
    items = [(document, passages.split(document.text)) for document in documents]
    return encode_passages(encoder, items, role=role, unpadded=True)  # each as if it were alone


def encode_passages(
    encoder: Encoder, items: Items, *, role: Role = "document", unpadded: bool = False
) -> list[NDArray[np.float32]]:
    """Encode chosen passages of documents, such as those that an index has stored.

    Args:
        encoder: What encodes.
        items: Documents, each with passages of its own text.
        role: ``query`` for questions.
        unpadded: See ``Encoder.encode``.

    Returns:
        For each document, in the order given, the embeddings of its passages in the order given: float32
        ``(passages, dim)``, unit rows; ``(0, dim)`` for a document without passages. All are views of one array.
    """
    rows = encoder.encode(_Inputs(encoder, items, role), unpadded=unpadded)
    return [rows[start:end] for start, end in _bounds(items)]


def kept_embeddings(
    encoder: Encoder, items: Items, *, is_stopped: Callable[[], bool] = lambda: False
) -> list[NDArray[np.float16]]:
    """Encode passages of documents as an index keeps them.

    A long document then takes a third of the memory that float32 rows and their copy would.

    Args:
        encoder: What encodes.
        items: Documents, each with passages of its own text.
        is_stopped: Asked now and then whether to give up.

    Returns:
        As ``encode_passages`` does, rounded to float16.

    Raises:
        InterruptedError: It gave up.
    """
    texts = _Inputs(encoder, items, "document")
    rows = np.empty((len(texts), encoder.dim), np.float16)
    encoder.encode_into(rows, texts, is_stopped=is_stopped)
    return [rows[start:end] for start, end in _bounds(items)]


def encode_texts(encoder: Encoder, texts: Sequence[str], *, role: Role) -> NDArray[np.float32]:
    """Encode texts that are short enough to be one passage each, such as questions: float32 ``(len(texts), dim)``."""
    start = prefix(encoder, role)
    return encoder.encode([start + text for text in texts] if start else texts)


def inputs(encoder: Encoder, document: Document, spans: Sequence[Passage], *, role: Role = "document") -> list[str]:
    """Return the text that is encoded for each passage: the prefix, and what ``passages.inputs`` gives."""
    return _Inputs(encoder, [(document, spans)], role)[:]


def prefix(encoder: Encoder, role: Role) -> str:
    """Return what an encoder wants before each text; most want nothing."""
    return encoder.query_prefix if role == "query" else encoder.document_prefix


class _Inputs(Sequence[str]):
    """The text that is encoded for each passage: the prefix, and what ``passages.inputs`` gives.

    Each is made when it is asked for: all of them would be another copy of the documents.
    """

    def __init__(self, encoder: Encoder, items: Items, role: Role) -> None:
        self._prefix = prefix(encoder, role)
        self._passages = [(document, passage) for document, spans in items for passage in spans]

    def __len__(self) -> int:
        return len(self._passages)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self._of(document, passage) for document, passage in self._passages[place]]
        return self._of(*self._passages[place])

    def _of(self, document: Document, passage: Passage) -> str:
        return self._prefix + passages.inputs(document, (passage,))[0]


def _bounds(items: Items) -> list[tuple[int, int]]:
    """Return where the rows of each document start and end."""
    ends = list(accumulate(len(spans) for _, spans in items))
    return list(zip([0, *ends], ends, strict=False))
