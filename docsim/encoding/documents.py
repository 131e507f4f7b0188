"""Embeddings of documents: split them into passages, encode the passages, and put the rows of each document together.

Everything that encodes documents goes through here, so that a query, a document being indexed and a document being
checked are all encoded in the same way. The passages of all documents are encoded in one call, which is faster than one
call a document; a caller with many documents passes them in batches to bound memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.models import Document, Passage

__all__ = ["encode_documents", "encode_passages"]


def encode_documents(encoder: Encoder, documents: Sequence[Document]) -> list[NDArray[np.float32]]:
    """Split documents into passages and encode them.

    Args:
        encoder: What encodes.
        documents: Any documents. One without text has a single empty passage, whose embedding is that of its title.

    Returns:
        For each document, in the order given, the embeddings of its passages: float32 ``(passages, dim)``, unit rows,
        at least one.
    """
    return encode_passages(encoder, [(document, passages.split(document.text)) for document in documents])


def encode_passages(encoder: Encoder, items: Sequence[tuple[Document, Sequence[Passage]]]) -> list[NDArray[np.float32]]:
    """Encode chosen passages of documents, such as those that an index has stored.

    Args:
        encoder: What encodes.
        items: Documents, each with passages of its own text.

    Returns:
        For each document, in the order given, the embeddings of its passages in the order given: float32
        ``(passages, dim)``, unit rows; ``(0, dim)`` for a document without passages. All are views of one array.
    """
    texts = [passages.inputs(document, spans) for document, spans in items]
    rows = encoder.encode([text for each in texts for text in each])
    ends = np.cumsum([len(each) for each in texts], dtype=np.int64)
    return [rows[end - len(each) : end] for each, end in zip(texts, ends, strict=True)]
