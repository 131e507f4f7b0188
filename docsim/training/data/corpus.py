"""Material: the documents that training makes its own pairs from, read from an index or a corpus and tokenised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.store import Store
from docsim.errors import SourceError, TrainingError
from docsim.ingest import passages, sources
from docsim.models import Document, Failure
from docsim.training.data.batches import Ids, tokenised
from docsim.training.towers.artefact import Parts

__all__ = ["LEAST_DOCUMENTS", "Material", "Text", "documents_of_corpus", "documents_of_index", "prepared"]

LEAST_DOCUMENTS = 20
"""Fewer documents are refused: there would be too few wrong answers to tell the right one from."""

MOST_DOCUMENTS = 50_000
"""Of more documents, as many are drawn by lot: a training of some hundred steps sees no more."""

MOST_TOKENS = 20_000
"""Tokens that are read of a document."""

_SHORTEST = 20  # tokens; less cannot be cut into two spans
_AT_ONCE = 256
_SKETCH = 256  # components of a sketch


@dataclass(frozen=True, slots=True)
class Text:
    """A tokenised document.

    Attributes:
        id: The document's id.
        title: Ids of its title; empty when it has none.
        body: Ids of its text.
        borders: Where passages after the first begin in ``body``, ascending.
    """

    id: str
    title: Ids
    body: Ids
    borders: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Material:
    """What label-free training learns from.

    Attributes:
        texts: Documents of at least 20 tokens.
        sketches: Unit rows ``(texts, 256)`` float32: the inner product of two is about the cosine of the two documents'
            sets of tokens, rare tokens counting more; near 1 for near-duplicates.
        frequencies: In how many documents each token of the vocabulary occurs, int64 ``(vocabulary,)``.
        digest: SHA-256 (64 hex digits) of the tokens of all documents.
    """

    texts: tuple[Text, ...]
    sketches: NDArray[np.float32]
    frequencies: NDArray[np.int64]
    digest: str

    def inverse_frequencies(self) -> NDArray[np.float32]:
        """Return ``log(1 + documents / frequency)`` for each token, float32 ``(vocabulary,)``; unseen tokens' highest.

        Spärck Jones, "A statistical interpretation of term specificity", 1972, smoothed.
        """
        idf = np.log(1 + len(self.texts) / (1 + self.frequencies.astype(np.float64)))
        return idf.astype(np.float32)


def documents_of_index(path: Path, *, seed: int = 0) -> Iterator[Document]:
    """Yield an index's documents in the order they were added; of more than 50,000, as many drawn by lot.

    Raises:
        StoreError: There is no index, or it is damaged.
    """
    store = Store(path, writable=False)
    try:
        numbers = [number for (number,) in store.rows("SELECT number FROM documents ORDER BY number")]
        if len(numbers) > MOST_DOCUMENTS:
            drawn = np.random.default_rng(seed).choice(len(numbers), MOST_DOCUMENTS, replace=False)
            numbers = [numbers[place] for place in np.sort(drawn)]
        for number in numbers:
            stored = store.document(int(number))
            if stored is not None:
                yield stored.document
    finally:
        store.close()


def documents_of_corpus(argument: str, *, seed: int = 0) -> Iterator[Document]:
    """Yield the documents of a folder or file that can be read; of more than 50,000, as many drawn by lot.

    Raises:
        UsageError: There is no such folder or file.
        TrainingError: There is none that can be read.
    """
    random = np.random.default_rng(seed)
    kept: list[Document] = []
    for number, document in enumerate(_readable(argument)):
        place = number if number < MOST_DOCUMENTS else int(random.integers(number + 1))  # reservoir sampling
        if place == len(kept):
            kept.append(document)
        elif place < MOST_DOCUMENTS:
            kept[place] = document
    if not kept:
        raise TrainingError(f"expected documents to train on in {argument}; none could be read")
    yield from kept


def prepared(documents: Iterable[Document], parts: Parts) -> Material:
    """Tokenise documents for an encoder's tower.

    Raises:
        TrainingError: Fewer than 20 of them have at least 20 tokens, or all are the same.
    """
    vocabulary = parts.tokenizer.get_vocab_size()
    found, digest = 0, hashlib.sha256()
    frequencies = np.zeros(vocabulary, dtype=np.int64)
    texts: list[Text] = []
    for text in _tokenised(documents, parts):
        found += 1
        digest.update(f"{len(text.title)} {len(text.body)} ".encode() + text.title.tobytes() + text.body.tobytes())
        frequencies[np.unique(np.concatenate([text.title, text.body]))] += 1
        if len(text.body) >= _SHORTEST:
            texts.append(text)
    _check(texts, found)
    return Material(tuple(texts), _sketches(texts, frequencies), frequencies, digest.hexdigest())


def _readable(argument: str) -> Iterator[Document]:
    for entry in sources.open_source(argument).entries():
        if not isinstance(entry, Failure):
            try:
                yield entry.load()
            except (SourceError, OSError):
                continue  # ``docsim index`` names what cannot be read; here the rest is enough


def _tokenised(documents: Iterable[Document], parts: Parts) -> Iterator[Text]:
    """Tokenise passage by passage, so that their borders are known; some documents at a time."""
    chunk: list[Document] = []
    for document in documents:
        chunk.append(document)
        if len(chunk) == _AT_ONCE:
            yield from _tokenised_chunk(chunk, parts)
            chunk = []
    yield from _tokenised_chunk(chunk, parts)


def _tokenised_chunk(documents: list[Document], parts: Parts) -> Iterator[Text]:
    spans = [passages.split(document.text[: 8 * MOST_TOKENS], overlap=0) for document in documents]
    pieces = [
        document.text[span.start : span.end] for document, split in zip(documents, spans, strict=True) for span in split
    ]
    empty = parts.preprocessing.empty_id
    ids = iter(tokenised([*(document.title for document in documents), *pieces], parts))
    titles = [next(ids) for _ in documents]
    for document, title, split in zip(documents, titles, spans, strict=True):
        parts_of_body = [next(ids) for _ in split]
        body = np.concatenate(parts_of_body)[:MOST_TOKENS]
        borders = np.cumsum([len(part) for part in parts_of_body])[:-1]
        own_title = title if title.tolist() != [empty] else title[:0]
        yield Text(document.id, own_title, body, borders[borders < len(body)])


def _check(texts: list[Text], found: int) -> None:
    if len(texts) < LEAST_DOCUMENTS:
        raise TrainingError(
            f"expected at least {LEAST_DOCUMENTS} documents of {_SHORTEST} tokens or more to train on; found "
            f"{len(texts)} among {found}. Add documents, or train on pairs with: --pairs FILE"
        )
    if len({text.body.tobytes() for text in texts}) < LEAST_DOCUMENTS:
        raise TrainingError(f"expected at least {LEAST_DOCUMENTS} different documents; found the same ones repeatedly")


def _sketches(texts: list[Text], frequencies: NDArray[np.int64]) -> NDArray[np.float32]:
    """Project each document's set of tokens, weighted by rarity, on random directions.

    Johnson and Lindenstrauss' lemma: inner products survive with an error of about ``1 / sqrt(256)``.
    """
    directions = np.random.default_rng(0).standard_normal((len(frequencies), _SKETCH), dtype=np.float32)
    directions *= np.log(1 + len(texts) / np.maximum(frequencies, 1)).astype(np.float32)[:, None]
    sketches = np.stack([directions[np.unique(text.body)].sum(axis=0) for text in texts])
    return cast(NDArray[np.float32], sketches / np.linalg.norm(sketches, axis=1, keepdims=True))
