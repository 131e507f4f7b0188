"""The tokenized corpus from which training without labels makes its pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.ingest import passages
from docsim.models import Document
from docsim.training.data.batch_layout import Floats, Ids, epoch_order, tokenize
from docsim.training.towers.average import TOKENS_LAYER
from docsim.training.towers.saving import EncoderParts

__all__ = [
    "MAX_TOKENS",
    "MIN_DOCUMENTS",
    "NEAR_DUPLICATE",
    "TokenizedCorpus",
    "TokenizedDocument",
    "held_out",
    "tokenize_corpus",
]

MIN_DOCUMENTS = 20
"""With fewer documents there would be too few wrong answers to tell the right one from."""

MAX_TOKENS = 20_000
"""Tokens that are used of a document."""

NEAR_DUPLICATE = 0.8
"""From this inner product of their sketches on, two documents are not used as negatives of each other."""

_MIN_TOKENS = 20  # a shorter document cannot be cut into two spans
_DOCUMENTS_AT_ONCE = 256
_SKETCH_DIM = 256


@dataclass(frozen=True, slots=True)
class TokenizedDocument:
    """A document as token ids.

    Attributes:
        id: The document's id.
        title: Ids of its title; empty if it has none.
        body: Ids of its text.
        borders: Positions in ``body`` at which its second and later passages begin, ascending.
    """

    id: str
    title: Ids
    body: Ids
    borders: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenizedCorpus:
    """What training without labels learns from.

    Attributes:
        documents: Documents of at least 20 tokens.
        sketches: Unit rows ``(documents, 256)`` float32. The inner product of two approximates the cosine of the
            documents' sets of tokens, weighted by rarity: near 1 for near-duplicates.
        frequencies: Number of documents that contain each token of the vocabulary, int64 ``(vocabulary,)``.
        digest: SHA-256 (64 hex digits) of the tokens of all documents, those too short to use included.
    """

    documents: tuple[TokenizedDocument, ...]
    sketches: Floats
    frequencies: NDArray[np.int64]
    digest: str

    def inverse_frequencies(self) -> Floats:
        """Return ``log(1 + documents / (1 + frequency))`` of each token, float32 ``(vocabulary,)``.

        Inverse document frequency, smoothed (Spärck Jones, "A statistical interpretation of term specificity", 1972).
        It is highest for tokens that do not occur.
        """
        idf = np.log(1 + len(self.documents) / (1 + self.frequencies.astype(np.float64)))
        return idf.astype(np.float32)


def tokenize_corpus(documents: Iterable[Document], parts: EncoderParts) -> TokenizedCorpus:
    """Tokenize documents for an encoder's tower.

    Raises:
        TrainingError: Fewer than 20 of them have at least 20 tokens, or fewer than 20 are different.
    """
    found, digest = 0, hashlib.sha256()
    # One for each row of token vectors: an imported tokenizer's ids have gaps, so it has fewer tokens than that.
    frequencies = np.zeros(parts.tower.get_layer(TOKENS_LAYER).vocabulary, dtype=np.int64)
    usable: list[TokenizedDocument] = []
    for one in _tokenized(documents, parts):
        found += 1
        digest.update(f"{len(one.title)} {len(one.body)} ".encode() + one.title.tobytes() + one.body.tobytes())
        frequencies[np.unique(np.concatenate([one.title, one.body]))] += 1
        if len(one.body) >= _MIN_TOKENS:
            usable.append(one)
    _check(usable, found)
    return TokenizedCorpus(tuple(usable), _sketches(usable, frequencies), frequencies, digest.hexdigest())


def held_out(corpus: TokenizedCorpus, *, seed: int, share: float = 0.1, least: int = 10, most: int = 500) -> list[int]:
    """Return the numbers of the documents to hold out of training, ascending: a random tenth, at least 10, at most 500.

    Args:
        corpus: Documents.
        seed: Random seed.
        share: Share of the documents to hold out.
        least: Fewest documents to hold out.
        most: Most documents to hold out.
    """
    count = min(most, max(least, int(len(corpus.documents) * share)))
    return sorted(epoch_order(len(corpus.documents), seed=seed, epoch=0)[:count].tolist())


def _tokenized(documents: Iterable[Document], parts: EncoderParts) -> Iterator[TokenizedDocument]:
    """Tokenize passage by passage, so that their borders are known, some documents at a time."""
    waiting: list[Document] = []
    for document in documents:
        waiting.append(document)
        if len(waiting) == _DOCUMENTS_AT_ONCE:
            yield from _tokenized_together(waiting, parts)
            waiting = []
    yield from _tokenized_together(waiting, parts)


def _tokenized_together(documents: Sequence[Document], parts: EncoderParts) -> Iterator[TokenizedDocument]:
    spans = [passages.split(document.text[: 8 * MAX_TOKENS], overlap=0) for document in documents]
    pieces = [
        document.text[span.start : span.end] for document, split in zip(documents, spans, strict=True) for span in split
    ]
    empty = parts.preprocessing.empty_id
    ids = iter(tokenize([*(document.title for document in documents), *pieces], parts))
    titles = [next(ids) for _ in documents]
    for document, title, split in zip(documents, titles, spans, strict=True):
        parts_of_body = [next(ids) for _ in split]
        body = np.concatenate(parts_of_body)[:MAX_TOKENS]
        borders = np.cumsum([len(part) for part in parts_of_body])[:-1]
        own_title = title if title.tolist() != [empty] else title[:0]
        yield TokenizedDocument(document.id, own_title, body, borders[borders < len(body)])


def _check(documents: Sequence[TokenizedDocument], found: int) -> None:
    if len(documents) < MIN_DOCUMENTS:
        raise TrainingError(
            f"expected at least {MIN_DOCUMENTS} documents of {_MIN_TOKENS} tokens or more to train on; found "
            f"{len(documents)} among {found}. Add documents, or train on labelled pairs instead"
        )
    if len({document.body.tobytes() for document in documents}) < MIN_DOCUMENTS:
        raise TrainingError(f"expected at least {MIN_DOCUMENTS} different documents; found the same ones repeatedly")


def _sketches(documents: Sequence[TokenizedDocument], frequencies: NDArray[np.int64]) -> Floats:
    """Project each document's set of tokens, weighted by rarity, onto random directions.

    By the lemma of Johnson and Lindenstrauss, inner products survive with an error of about ``1 / sqrt(256)``.
    """
    directions = np.random.default_rng(0).standard_normal((len(frequencies), _SKETCH_DIM), dtype=np.float32)
    directions *= np.log(1 + len(documents) / np.maximum(frequencies, 1)).astype(np.float32)[:, None]
    sketches = np.stack([directions[np.unique(document.body)].sum(axis=0) for document in documents])
    return cast(Floats, sketches / np.linalg.norm(sketches, axis=1, keepdims=True))
