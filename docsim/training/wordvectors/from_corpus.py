"""An encoder made of documents alone: a vocabulary of their own, and token vectors by latent semantic analysis.

For languages that the shipped vocabularies spell out letter by letter. Tokens are pieces of words that a unigram model
finds (Kudo 2018, https://arxiv.org/abs/1804.10959), also where no spaces stand between words. Token vectors are the
right singular vectors of a table of passages and tokens, weighted by tf-idf (Deerwester et al. 1990), so two tokens are
alike when they stand in the same passages. Training on the documents goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.training.towers.average import MAX_TOKENS, average_tower
from docsim.training.towers.saving import EncoderParts

__all__ = ["VOCABULARY", "corpus_parts"]

VOCABULARY = 16_000
"""Tokens, at most. Few documents have fewer."""

_DIM = 256
_PASSAGE = 128  # tokens
_MOST_PASSAGES = 40_000  # of more, evenly spread ones are analysed
_LONGEST_TOKEN = 16
_OVERSAMPLED, _ITERATIONS = 32, 4
_PADDING, _UNKNOWN = "[PAD]", "[UNK]"


def corpus_parts(texts: Sequence[str], *, seed: int = 0) -> EncoderParts:
    """Return a static encoder of 256 components whose vocabulary and token vectors come from some texts.

    Args:
        texts: Whole documents.
        seed: Random seed.

    Raises:
        TrainingError: The texts have too few words or passages.
    """
    tokenizer = _tokenizer(texts)
    passages = _passages(tokenizer, texts)
    size = tokenizer.get_vocab_size()
    if min(size, len(passages)) < 16:
        raise TrainingError(
            f"expected documents with at least 16 passages and 16 tokens to make a vocabulary of; got {len(passages)} "
            f"and {size}"
        )
    return EncoderParts(
        tower=average_tower(_vectors(passages, size, seed)),
        tokenizer=tokenizer,
        preprocessing=Preprocessing(0, 1, special_tokens=False),
        kind="average",
        max_tokens=MAX_TOKENS,
    )


def _tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Return a tokenizer of lower-case pieces of words; runs of CJK letters count as words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[_PADDING, _UNKNOWN],
        unk_token=_UNKNOWN,
        max_piece_length=_LONGEST_TOKEN,
        show_progress=False,
    )
    try:
        tokenizer.train_from_iterator(texts, trainer)
    except Exception as error:  # the library has no error type of its own
        raise TrainingError(f"expected documents to make a vocabulary of; the tokenizer could not ({error})") from error
    return _rounded(tokenizer)


def _rounded(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer whose pieces don't depend on the order in which threads added up their frequencies."""
    content = json.loads(tokenizer.to_str())
    special, pieces = content["model"]["vocab"][:2], content["model"]["vocab"][2:]
    if any(score is None for _, score in pieces):
        raise TrainingError("expected documents to make a vocabulary of; they hold no words")
    rounded = sorted((-round(score, 6), piece) for piece, score in pieces)
    content["model"]["vocab"] = [*special, *([piece, -score] for score, piece in rounded)]
    return Tokenizer.from_str(json.dumps(content))


def _passages(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    passages = [one[start : start + _PASSAGE] for one in ids for start in range(0, len(one), _PASSAGE)]
    return passages[:: max(1, -(-len(passages) // _MOST_PASSAGES))]


def _vectors(passages: Sequence[Sequence[int]], size: int, seed: int) -> NDArray[np.float32]:
    """Return each token's vector times its inverse document frequency, ``(size, 256)``; padding's is zero."""
    table = _table(passages, size)
    frequency = np.bincount(table.indices, minlength=size)
    weights = np.log((len(passages) + 1) / (frequency + 1)).astype(np.float32)
    table.data = (1 + np.log(table.data)) * weights[table.indices]
    lengths = np.sqrt(np.bincount(np.repeat(np.arange(len(passages)), np.diff(table.indptr)), table.data**2))
    table.data /= np.repeat(np.maximum(lengths, 1e-9), np.diff(table.indptr)).astype(np.float32)
    kept = min(_DIM, *table.shape)
    vectors = np.zeros((size, _DIM), np.float32)
    vectors[:, :kept] = _singular_vectors(table, kept, seed) * weights[:, None]
    vectors[0] = 0
    return vectors


def _singular_vectors(table: csr_array, count: int, seed: int) -> NDArray[np.float32]:
    """Return the first right singular vectors of a table, ``(columns, count)``, by four random subspace iterations.

    Halko, Martinsson and Tropp 2011, https://arxiv.org/abs/0909.4061; ten times as fast as SciPy's exact ones.
    """
    width = min(count + _OVERSAMPLED, *table.shape)
    basis = np.random.default_rng(seed).standard_normal((table.shape[1], width)).astype(np.float32)
    with threadpool_limits(1):  # several threads are slower here, and add up in varying order
        for _ in range(_ITERATIONS):
            basis = np.linalg.qr(table @ basis)[0]
            basis = np.linalg.qr(table.T @ basis)[0]
        rotation = np.linalg.svd(table @ basis, full_matrices=False)[2]
    return np.asarray(basis @ rotation.T[:, :count], np.float32)


def _table(passages: Sequence[Sequence[int]], size: int) -> csr_array:
    """Return how often each token stands in each passage, float32 ``(passages, size)``."""
    ends = np.cumsum([0, *map(len, passages)])
    ids = np.concatenate([np.asarray(one, np.int32) for one in passages])
    table = csr_array((np.ones(len(ids), np.float32), ids, ends), shape=(len(passages), size))
    table.sum_duplicates()
    return table
