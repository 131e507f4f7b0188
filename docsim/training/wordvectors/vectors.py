"""Word vectors: pre-trained embeddings of single words, read from the files that people publish.

    word2vec text      ``words dim``, then ``word n n n ...`` line by line; fastText's ``.vec`` is the same
    word2vec binary    ``words dim``, then ``word `` and ``dim`` little-endian floats, again and again
    GloVe text         ``word n n n ...`` line by line, no first line
    fastText binary    fastText's ``.bin``, with and without its magic number, with vectors of character n-grams

What a file is, is read off its first bytes; its name says nothing. Any of them may be gzipped. gensim parses the binary
formats. Text is parsed here, as gensim takes no word that holds a space, which the largest GloVe file has, and does not
say which line is wrong. fastText files are walked through first: gensim never returns from one that is cut short.
"""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.wordvectors import fasttext

__all__ = ["WordVectors", "load_vectors"]

Subwords = Callable[[str], NDArray[np.float32]]
"""Gives a word's vector, ``float32 (dim,)``, from those of its character n-grams; all zero if it has none."""

_HEAD = 1 << 18  # bytes that are read to tell what a file is
_LINES = 20  # lines, at most, that a text file's dimension is read off
_HEADER = re.compile(rb"[ \t]*(\d{1,12})[ \t]+(\d{1,6})[ \t\r]*\n")
_NUMBER_IN_WORD = re.compile(rb" [-+]?\d*\.?\d+(e[-+]?\d+)?$", re.IGNORECASE)
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")  # how gensim spells bytes that are no UTF-8
_REPLACED = re.compile("\ufffd")  # and how it does in the other binary format
_ARCHIVES = {b"PK\x03\x04": "a ZIP archive", b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz"}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Words and their vectors, in the order of the file: by frequency, in most.

    Attributes:
        words: Each once.
        matrix: ``float32 (len(words), dim)``, as in the file: neither centred nor scaled.
        format: What the file is: ``word2vec text``, ``word2vec binary``, ``GloVe text`` or ``fastText binary``.
        skipped: Words left out: not UTF-8, empty, there before, or with a number that is not finite.
        subwords: Gives vectors to words that the file lacks, or None; only fastText's ``.bin`` can.
    """

    words: tuple[str, ...]
    matrix: NDArray[np.float32]
    format: str
    skipped: int = 0
    subwords: Subwords | None = None

    def extended(self, words: Sequence[str]) -> WordVectors:
        """Return these and the vectors that ``subwords`` gives to further words, where it has one."""
        known = set(self.words)
        new = [] if self.subwords is None else [word for word in dict.fromkeys(words) if word not in known]
        rows = {word: self.subwords(word) for word in new} if self.subwords else {}
        found = {word: row for word, row in rows.items() if row.any()}
        if not found:
            return self
        matrix = np.vstack([self.matrix, *found.values()]).astype(np.float32)
        return replace(self, words=(*self.words, *found), matrix=matrix)


def load_vectors(path: str | Path, *, limit: int | None = None) -> WordVectors:
    """Read word vectors of any of the formats.

    Args:
        path: The file; gzipped or not.
        limit: Words to read, at least 1: the first ones of the file.

    Raises:
        TrainingError: The file cannot be read, is none of the formats, is cut short, or holds no usable word.
    """
    path = Path(path)
    try:
        with _plain(path) as file:
            vectors = _read(file, path, limit)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(f"could not read the word vectors in {path}: {reason}") from error
    if not vectors.words or vectors.skipped > len(vectors.words):
        raise TrainingError(
            f"expected words in UTF-8 with finite vectors in {path}, found {len(vectors.words)} among "
            f"{len(vectors.words) + vectors.skipped}; the file is damaged, or in another encoding"
        )
    return vectors


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """Give the file itself, or a temporary one with what is gzipped in it."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    if not zipped:
        yield path
        return
    with TemporaryDirectory() as directory:
        file = Path(directory) / "vectors"
        with gzip.open(path, "rb") as packed, file.open("wb") as target:
            shutil.copyfileobj(packed, target, 1 << 20)
        yield file


def _read(file: Path, path: Path, limit: int | None) -> WordVectors:
    """Tell what ``file`` is, and read it; ``path`` is its name in messages."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD).removeprefix(_BOM)
    header = _HEADER.match(head)
    if fasttext.is_one(head):
        return _fasttext(file, path, limit)
    if header is None:
        dim = _dim(head)
        if dim is None:
            raise TrainingError(_refusal(head, path))
        return _text(file, path, _Expected(dim, None, limit))
    count, dim = int(header[1]), int(header[2])
    if count < 1 or dim < 1:
        raise TrainingError(f"expected words and components in {path}, its first line says {count} and {dim}")
    if _entry(head[header.end() :].split(b"\n", 1)[0], dim) is not None:
        return _text(file, path, _Expected(dim, count, limit))
    return _binary(file, path, _Expected(dim, count, limit))


def _refusal(head: bytes, path: Path) -> str:
    if not head:
        return f"expected word vectors in {path}, the file is empty"
    for magic, what in _ARCHIVES.items():
        if head.startswith(magic):
            return f"expected word vectors in {path}, the file is {what}; unpack it first"
    return f"expected word vectors in {path}, in a word2vec, GloVe or fastText format; it is something else"


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a file says of itself, and what is wanted of it: components, words, and how many words to read."""

    dim: int
    count: int | None
    limit: int | None

    @property
    def wanted(self) -> int | None:
        """Words to read; None for all there are."""
        given = [number for number in (self.count, self.limit) if number is not None]
        return min(given) if given else None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line: a word and its numbers."""

    name: bytes
    row: list[float]


def _entry(line: bytes, dim: int) -> _Entry | None:
    """Return a line's word and its last ``dim`` fields as numbers, or None if it holds something else."""
    fields = line.split()
    if len(fields) < dim:
        return None
    name = b" ".join(fields[:-dim])
    try:
        return None if _NUMBER_IN_WORD.search(name) else _Entry(name, [float(field) for field in fields[-dim:]])
    except ValueError:
        return None


def _dim(head: bytes) -> int | None:
    """Return the dimension of text without a first line that says so, or None if it is no such text."""
    lines = [line for line in head.split(b"\n")[:_LINES] if line.strip()]
    if not lines:
        return None
    dim = Counter(len(line.split()) for line in lines).most_common(1)[0][0] - 1
    readable = sum(_entry(line, dim) is not None for line in lines)
    return dim if dim >= 1 and 2 * readable >= len(lines) else None


def _text(file: Path, path: Path, expected: _Expected) -> WordVectors:
    """Read ``word n n n ...`` line by line."""
    words: dict[str, None] = {}
    numbers = array("f")
    read = 0
    with file.open("rb") as stream:
        for place, line in _lines(stream, headed=expected.count is not None):
            if read == expected.wanted:
                break
            entry = _entry(line, expected.dim)
            if entry is None:
                raise TrainingError(
                    f"expected a word and {expected.dim} numbers in line {place} of {path}, got something else; the "
                    "file is damaged or cut short"
                )
            read += 1
            word = _decoded(entry.name)
            if word and word not in words:
                words[word] = None
                numbers.extend(entry.row)
    _check_count(read, path, expected)
    matrix = np.array(numbers, dtype=np.float32).reshape(-1, expected.dim)
    kind = "GloVe text" if expected.count is None else "word2vec text"
    return _finite(WordVectors(tuple(words), matrix, kind, read - len(words)))


def _finite(vectors: WordVectors) -> WordVectors:
    """Return the words whose numbers are all finite."""
    kept = np.flatnonzero(np.isfinite(vectors.matrix).all(axis=1))
    words = tuple(vectors.words[row] for row in kept)
    skipped = vectors.skipped + len(vectors.words) - len(words)
    return replace(vectors, words=words, matrix=vectors.matrix[kept], skipped=skipped)


def _lines(stream: IO[bytes], *, headed: bool) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of every line that is not blank, but for the first one of a headed file."""
    if stream.read(len(_BOM)) != _BOM:
        stream.seek(0)
    for place, line in enumerate(stream, start=1):
        if line.strip() and not (headed and place == 1):
            yield place, line


def _decoded(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _check_count(read: int, path: Path, expected: _Expected) -> None:
    if expected.wanted is not None and read < expected.wanted and expected.count is not None:
        raise TrainingError(
            f"expected {expected.count} words in {path}, as its first line says, found {read}; the file is cut short"
        )


def _binary(file: Path, path: Path, expected: _Expected) -> WordVectors:
    """Read word2vec's C format."""
    from gensim.models import KeyedVectors

    size = file.stat().st_size
    if (expected.count or 0) * (4 * expected.dim + 1) > size:
        raise TrainingError(
            f"expected {expected.count} vectors of {expected.dim} components in {path}, as its first line says; it has "
            f"only {size} bytes, so it is cut short or something else"
        )
    loaded = _parsed(  # gensim opens addresses as well as files; an absolute path is never one
        path,
        lambda: KeyedVectors.load_word2vec_format(
            str(file.absolute()), binary=True, unicode_errors="replace", limit=expected.wanted
        ),
    )
    return _usable(loaded, "word2vec binary", lost=(expected.wanted or 0) - len(loaded), bad=_REPLACED)


def _fasttext(file: Path, path: Path, limit: int | None) -> WordVectors:
    """Read fastText's own format."""
    with file.open("rb") as stream:
        fasttext.check(stream, path)
    from gensim.models.fasttext import load_facebook_vectors

    loaded = _parsed(path, lambda: load_facebook_vectors(str(file.absolute())))
    vectors = _usable(loaded, "fastText binary", lost=0, bad=_ESCAPED)
    if limit is not None:
        vectors = replace(vectors, words=vectors.words[:limit], matrix=vectors.matrix[:limit])
    has_subwords = loaded.bucket > 0 and 0 < loaded.max_n >= loaded.min_n
    return replace(vectors, subwords=loaded.get_vector) if has_subwords else vectors


def _parsed(path: Path, parse: Callable[[], Any]) -> Any:
    """Return what gensim makes of a file; it would log a line about each word that is no UTF-8."""
    logger = logging.getLogger("gensim")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return parse()
    except Exception as error:  # gensim has no error type of its own
        raise TrainingError(f"could not read the word vectors in {path}; the file is damaged ({error})") from error
    finally:
        logger.setLevel(level)


def _usable(loaded: Any, kind: str, *, lost: int, bad: re.Pattern[str]) -> WordVectors:
    """Return gensim's words but for those in which it has replaced what is no UTF-8."""
    kept = [row for row, word in enumerate(loaded.index_to_key) if word and not bad.search(word)]
    words = tuple(loaded.index_to_key[row] for row in kept)
    matrix = np.ascontiguousarray(loaded.vectors[kept], dtype=np.float32)
    return _finite(WordVectors(words, matrix, kind, skipped=lost + len(loaded.index_to_key) - len(kept)))
