"""Files of word vectors in every format, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

__all__ = ["BUCKETS", "binary", "bucket", "fasttext", "glove", "word2vec"]

Vectors = Mapping[str | bytes, Sequence[float]]

MAGIC, VERSION = 793_712_314, 12
BUCKETS = 7


def _bytes(word: str | bytes) -> bytes:
    return word if isinstance(word, bytes) else word.encode()


def glove(vectors: Vectors) -> bytes:
    """Return GloVe's text."""
    return b"".join(_bytes(word) + b" " + b" ".join(b"%r" % n for n in row) + b"\n" for word, row in vectors.items())


def word2vec(vectors: Vectors) -> bytes:
    """Return word2vec's text, or fastText's ``.vec``."""
    dim = len(next(iter(vectors.values())))
    return b"%d %d\n" % (len(vectors), dim) + glove(vectors)


def binary(vectors: Vectors) -> bytes:
    """Return word2vec's C format, with the newline that the original tool writes after each vector."""
    dim = len(next(iter(vectors.values())))
    rows = (_bytes(word) + b" " + struct.pack(f"<{dim}f", *row) + b"\n" for word, row in vectors.items())
    return b"%d %d\n" % (len(vectors), dim) + b"".join(rows)


def fasttext(
    words: Vectors, ngrams: Sequence[Sequence[float]], *, newer: bool = True, labels: int = 0, quantised: bool = False
) -> bytes:
    """Return fastText's ``.bin`` with n-grams of three letters.

    Args:
        words: The stored vector of each word, to which those of its n-grams are added.
        ngrams: ``BUCKETS`` vectors of n-grams, or none.
        newer: Whether it bears the magic number.
        labels: How many of the words are labels.
        quantised: What the file says of itself.
    """
    dim = len(next(iter(words.values())))
    letters = 3 if ngrams else 0
    settings = struct.pack("<12id", dim, 5, 5, 1, 5, 1, 2, 2, len(ngrams), letters, letters, 100, 1e-4)
    head = (struct.pack("<2i", MAGIC, VERSION) if newer else b"") + settings
    counts = struct.pack("<3iq", len(words), len(words) - labels, labels, 100) + (
        struct.pack("<q", -1) if newer else b""
    )
    entries = b"".join(_bytes(word) + b"\0" + struct.pack("<qb", 100 - i, 0) for i, word in enumerate(words))
    rows = [*words.values(), *ngrams]
    matrix = struct.pack("<2q", len(rows), dim) + b"".join(struct.pack(f"<{dim}f", *row) for row in rows)
    return head + counts + entries + (struct.pack("<?", quantised) if newer else b"") + matrix


def bucket(ngram: str) -> int:
    """Return the place of an n-gram's vector: FNV-1a over signed bytes, as fastText's ``Dictionary::hash`` does."""
    found = 2_166_136_261
    for byte in ngram.encode():
        found ^= byte | 0xFFFFFF00 if byte > 127 else byte
        found = found * 16_777_619 & 0xFFFFFFFF
    return found % BUCKETS
