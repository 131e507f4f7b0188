"""Encoders made from word vectors: a word-level tokenizer and an ``average`` tower over the vectors as they are.

    average   mean of the vectors of a text's words
    sif       the same, weighted by smooth inverse frequency, ``a / (a + p)`` with ``p`` the word's share of all words
              (Arora, Liang and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017,
              section 3). ``p`` is estimated from the order of the words by Zipf's law, 1 / (rank H_n), since
              published files are ordered by frequency. The paper also removes the common component; that did not help.

Unknown words are ignored. A text without a known word gets a fixed embedding, in the direction that the vectors have
least in common with.
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
from docsim.training.towers.average import MAX_TOKENS, average_tower
from docsim.training.towers.layers import PADDING_ID
from docsim.training.towers.saving import EncoderParts, Lineage, save
from docsim.training.wordvectors.vectors import WordVectors, load_vectors
from docsim.training.wordvectors.vocabulary import UNKNOWN_ID, Coverage, coverage, vocabulary

__all__ = ["SIF", "WordPooling", "WordVectorEncoder", "encoder_from_vectors", "parts_from_vectors", "token_table"]

WordPooling = Literal["average", "sif"]

SIF = 3e-4
"""The constant ``a``, within the paper's range of 1e-4 to 1e-3; distillation uses the same value."""

_UNKNOWN_WEIGHT = 1e-6  # times the vectors' median length: matters only in texts without known words


@dataclass(frozen=True, slots=True)
class WordVectorEncoder:
    """An encoder made from word vectors, and facts about it.

    Attributes:
        encoder: The saved encoder.
        vectors: The vectors that were read, and those made from subwords.
        vocabulary: Number of words that the encoder knows.
        coverage: How much of the corpus it knows, including words made from subwords; None without a corpus.
        from_subwords: Number of words of the corpus whose vectors were made from subwords.
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
    pooling: WordPooling = "average",
    limit: int | None = None,
    corpus: Iterable[str] | None = None,
) -> WordVectorEncoder:
    """Make an encoder from a file of word vectors and save it.

    Args:
        file: Word vectors in any format that ``load_vectors`` reads.
        out: Directory to write; an encoder that is already there is replaced.
        name: Display name of the encoder.
        pooling: How vectors are weighted.
        limit: Number of words to read from the start of the file, at least 1; None for all.
        corpus: Texts, read once, to measure how much of them the encoder knows. If the vectors have subwords
            (fastText's ``.bin``), unknown words of these texts get vectors, too.

    Raises:
        TrainingError: The file is damaged, in an unknown format, or has no word that can occur in a text.
        EncoderError: ``out`` holds something other than an encoder.
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
    return WordVectorEncoder(encoder, vectors, known, found, len(vectors.words) - read)


def parts_from_vectors(vectors: WordVectors, *, pooling: WordPooling = "average") -> EncoderParts:
    """Return the parts of an encoder whose ``average`` tower sums these vectors.

    Raises:
        TrainingError: No word can occur in a text, or all vectors are zero.
    """
    fitted = vocabulary(vectors.words)
    return EncoderParts(
        tower=average_tower(token_table(vectors.matrix[fitted.rows], pooling)),
        tokenizer=fitted.tokenizer,
        preprocessing=Preprocessing(PADDING_ID, UNKNOWN_ID, special_tokens=False, by_word=True),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def token_table(vectors: NDArray[np.float32], pooling: WordPooling) -> NDArray[np.float32]:
    """Return token vectors times token weights.

    Args:
        vectors: Vectors of the words, ``(words, dim)``, the more frequent words first.
        pooling: How they are weighted.

    Returns:
        float32 ``(words + 2, dim)``: zeros for padding, a tiny vector for the unknown word, and the words' vectors.

    Raises:
        TrainingError: All vectors are zero.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.any():
        raise TrainingError("expected word vectors that are not all zero; got only zeros")
    weights = np.ones(len(vectors))
    if pooling == "sif":
        rank = np.arange(1, len(vectors) + 1)
        weights = SIF / (SIF + 1 / (rank * (1 / rank).sum()))
    known = vectors * weights[:, None]
    smallest = _UNKNOWN_WEIGHT * float(np.median(lengths[lengths > 0] * weights[lengths > 0]))
    table = np.vstack([np.zeros(vectors.shape[1]), smallest * _weakest_direction(vectors), known])
    return table.astype(np.float32)


def _weakest_direction(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the direction in which the vectors vary least: their last principal axis, not centred, unit ``(dim,)``."""
    _, axes = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    axis = axes[:, 0]
    return np.asarray(axis * np.sign(axis[np.abs(axis).argmax()]))
