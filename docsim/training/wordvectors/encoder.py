"""Encoders straight from word vectors: a word-level tokenizer, and an ``average`` tower over the vectors as they are.

    average   the mean of the vectors of a text's words
    sif       the same with smooth inverse frequencies as weights, ``a / (a + p)`` with ``p`` the word's share of all
              words (Arora, Liang and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017,
              section 3). ``p`` is read off the order of the words by Zipf's law, 1 / (rank H_n), as published files are
              ordered by frequency; the common component is left in, since taking it out did no better.

Unknown words count for nothing. A text without a known word gets a fixed embedding, which is as unlike all others as
the vectors allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder, Preprocessing
from docsim.errors import TrainingError
from docsim.training.towers.artefact import Lineage, Parts, save
from docsim.training.towers.static import PADDING_ID, average_tower
from docsim.training.wordvectors.vectors import WordVectors, load_vectors
from docsim.training.wordvectors.vocabulary import UNKNOWN_ID, Coverage, coverage, vocabulary

__all__ = ["MAX_TOKENS", "SIF", "Made", "Pooling", "encoder_from_vectors", "parts_from_vectors", "token_table"]

Pooling = Literal["average", "sif"]

SIF = 3e-4
"""The constant ``a``, from the middle of the paper's 1e-4 to 1e-3; distillation weighs with the same."""

MAX_TOKENS = 32_768
"""Words of a text that the tower reads; as many as a distilled one."""

_UNKNOWN_WEIGHT = 1e-6  # of the vectors' median length: decides only where a text has nothing else


@dataclass(frozen=True, slots=True)
class Made:
    """An encoder made from word vectors, and what is to be known about it.

    Attributes:
        encoder: As it was saved.
        vectors: What was read, and made from subwords.
        vocabulary: Words that the encoder knows.
        coverage: How much of the corpus is known, subwords included; None without a corpus.
        from_subwords: Words of the corpus that got their vectors from subwords.
    """

    encoder: Encoder
    vectors: WordVectors
    vocabulary: int
    coverage: Coverage | None
    from_subwords: int


def encoder_from_vectors(
    file: str | Path,
    out: str | Path,
    *,
    name: str,
    pooling: Pooling = "average",
    limit: int | None = None,
    corpus: Iterable[str] | None = None,
) -> Made:
    """Make an encoder from a file of word vectors and save it.

    Args:
        file: Word vectors of any format that ``load_vectors`` reads.
        out: Where to write it; an encoder that is there is replaced.
        name: The encoder's name for people.
        pooling: How vectors are weighted.
        limit: Words to read, at least 1: the first ones of the file.
        corpus: Texts, read once. It tells how much the encoder will know of such, and where the vectors have subwords
            (fastText's ``.bin``), the texts' unknown words get vectors too.

    Raises:
        TrainingError: The file is damaged, of no known format, or holds no word that a text can hold.
        EncoderError: ``out`` holds something else.
    """
    vectors = load_vectors(file, limit=limit)
    read = len(vectors.words)
    found = None
    if corpus is not None:
        found = coverage(corpus, vocabulary(vectors.words))
        vectors = vectors.extended([word for word, _ in found.unknown])
        found = found.with_known(set(vectors.words[read:]))
    parts = parts_from_vectors(vectors, pooling=pooling)
    metrics = {} if found is None else {"token_coverage": found.token_share, "word_coverage": found.word_share}
    with Path(file).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    encoder = save(parts, out, name=name, lineage=Lineage(seed=0, material=digest, metrics=metrics))
    known = parts.tokenizer.get_vocab_size() - UNKNOWN_ID - 1
    return Made(encoder, vectors, known, found, len(vectors.words) - read)


def parts_from_vectors(vectors: WordVectors, *, pooling: Pooling = "average") -> Parts:
    """Return the parts of an encoder whose ``average`` tower sums these vectors.

    Raises:
        TrainingError: No word can come out of a text, or all vectors are zero.
    """
    fitted = vocabulary(vectors.words)
    return Parts(
        tower=average_tower(token_table(vectors.matrix[fitted.rows], pooling)),
        tokenizer=fitted.tokenizer,
        preprocessing=Preprocessing(PADDING_ID, UNKNOWN_ID, special_tokens=False, by_word=True),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def token_table(vectors: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Return token vectors times token weights.

    Args:
        vectors: Of the words, ``(words, dim)``, the more frequent ones first.
        pooling: How they are weighted.

    Returns:
        float32 ``(words + 2, dim)``: padding's zeros, the unknown word's vector, next to nothing, and the words'.

    Raises:
        TrainingError: All vectors are zero.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.any():
        raise TrainingError("expected word vectors that are not all zero, found only zeros")
    weights = np.ones(len(vectors))
    if pooling == "sif":
        rank = np.arange(1, len(vectors) + 1)
        weights = SIF / (SIF + 1 / (rank * (1 / rank).sum()))
    known = vectors * weights[:, None]
    smallest = _UNKNOWN_WEIGHT * float(np.median(lengths[lengths > 0] * weights[lengths > 0]))
    table = np.vstack([np.zeros(vectors.shape[1]), smallest * _rarest_direction(vectors), known])
    return table.astype(np.float32)


def _rarest_direction(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the unit vector ``(dim,)`` that the vectors have least of: their last principal axis, not centred."""
    _, axes = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    axis = axes[:, 0]
    return np.asarray(axis * np.sign(axis[np.abs(axis).argmax()]))
