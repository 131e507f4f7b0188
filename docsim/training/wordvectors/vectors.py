"""Reading word vectors: pre-trained embeddings of single words, in the formats in which they are published.

    word2vec text      ``words dim``, then lines of ``word n n n ...``; fastText's ``.vec`` is the same
    word2vec binary    ``words dim``, then for each word ``word `` and ``dim`` little-endian floats
    GloVe text         lines of ``word n n n ...`` without a first line of counts
    fastText binary    fastText's ``.bin``, in its older and newer version, with vectors of character n-grams

The format is detected from the content, not the name, and files may be gzipped. gensim parses the binary formats. Text
is parsed here, because gensim does not support words that contain spaces, which the largest GloVe file has, and does
not report which line is wrong. fastText files are checked first, because gensim never returns from truncated ones.
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
from typing import IO, TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.wordvectors import fasttext

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

__all__ = ["WordVectors", "load_vectors"]

Subwords = Callable[[str], NDArray[np.float32]]
"""Makes a word's vector, ``float32 (dim,)``, from those of its character n-grams; all zero if it has none."""

Loaded = TypeVar("Loaded")

_HEAD = 1 << 18  # bytes that are read to detect the format
_LINES = 20  # most lines from which the dimension of a text file is inferred
_HEADER = re.compile(rb"[ \t]*(\d{1,12})[ \t]+(\d{1,6})[ \t\r]*\n")
_NUMBER_IN_WORD = re.compile(rb" [-+]?\d*\.?\d+(e[-+]?\d+)?$", re.IGNORECASE)
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")  # how gensim's fastText reader replaces bytes that are not UTF-8
_REPLACED = re.compile("\ufffd")  # how gensim's word2vec reader replaces them
_ARCHIVES = {b"PK\x03\x04": "a ZIP archive", b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz"}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Words and their vectors in the order of the file, which in most files is by frequency.

    Attributes:
        words: Words, without duplicates.
        matrix: ``float32 (len(words), dim)``, as in the file: neither centred nor scaled.
        format: ``word2vec text``, ``word2vec binary``, ``GloVe text`` or ``fastText binary``.
        skipped: Number of words left out: empty, repeated, not UTF-8, or with a number that is not finite.
        subwords: Makes vectors for words that the file lacks; None except for fastText's ``.bin``.
    """

    words: tuple[str, ...]
    matrix: NDArray[np.float32]
    format: str
    skipped: int = 0
    subwords: Subwords | None = None

    def extended(self, words: Sequence[str]) -> WordVectors:
        """Return these vectors, and those that ``subwords`` makes for further words."""
        known = set(self.words)
        new = [] if self.subwords is None else [word for word in dict.fromkeys(words) if word not in known]
        rows = {word: self.subwords(word) for word in new} if self.subwords else {}
        found = {word: row for word, row in rows.items() if row.any()}
        if not found:
            return self
        matrix = np.vstack([self.matrix, *found.values()]).astype(np.float32)
        return replace(self, words=(*self.words, *found), matrix=matrix)


def load_vectors(path: str | Path, *, limit: int | None = None) -> WordVectors:
    """Read word vectors in any of the formats.

    Args:
        path: The file, gzipped or not.
        limit: Number of words to read from the start of the file, at least 1; None for all.

    Raises:
        TrainingError: The file cannot be read, is in another format or cut short, or has no usable word.
    """
    path = Path(path)
    try:
        with _plain(path) as file:
            vectors = _read(file, path, limit)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(f"expected word vectors in {path}; the file cannot be read: {reason}") from error
    if not vectors.words or vectors.skipped > len(vectors.words):
        raise TrainingError(
            f"expected words in UTF-8 with finite vectors in {path}; only {len(vectors.words)} of "
            f"{len(vectors.words) + vectors.skipped} are. The file is damaged, or in another encoding"
        )
    return vectors


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """Yield the file itself, or a temporary file with its unzipped content."""
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
    """Detect the format of ``file`` and read it; ``path`` is its name in error messages."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD).removeprefix(_BOM)
    header = _HEADER.match(head)
    if fasttext.is_fasttext(head):
        return _fasttext(file, path, limit)
    if header is None:
        dim = _infer_dim(head)
        if dim is None:
            raise TrainingError(_refusal(head, path))
        return _text(file, path, _Header(dim, None, limit))
    count, dim = int(header[1]), int(header[2])
    if count < 1 or dim < 1:
        raise TrainingError(
            f"expected at least 1 word and 1 component in {path}; its first line says {count} and {dim}"
        )
    if _parse_line(head[header.end() :].split(b"\n", 1)[0], dim) is not None:
        return _text(file, path, _Header(dim, count, limit))
    return _binary(file, path, _Header(dim, count, limit))


def _refusal(head: bytes, path: Path) -> str:
    if not head:
        return f"expected word vectors in {path}; the file is empty"
    for magic, what in _ARCHIVES.items():
        if head.startswith(magic):
            return f"expected word vectors in {path}; the file is {what}. Unpack it first"
    return f"expected word vectors in word2vec, GloVe or fastText format in {path}; it is in another format"


@dataclass(frozen=True, slots=True)
class _Header:
    """Numbers of components and words according to the file, and the number of words to read."""

    dim: int
    count: int | None
    limit: int | None

    @property
    def wanted(self) -> int | None:
        """Number of words to read; None for all."""
        given = [number for number in (self.count, self.limit) if number is not None]
        return min(given) if given else None


@dataclass(frozen=True, slots=True)
class _Line:
    """A word and its numbers."""

    name: bytes
    row: list[float]


def _parse_line(line: bytes, dim: int) -> _Line | None:
    """Return a line's word and its last ``dim`` fields as numbers, or None if it is not such a line."""
    fields = line.split()
    if len(fields) < dim:
        return None
    name = b" ".join(fields[:-dim])
    try:
        return None if _NUMBER_IN_WORD.search(name) else _Line(name, [float(field) for field in fields[-dim:]])
    except ValueError:
        return None


def _infer_dim(head: bytes) -> int | None:
    """Return the dimension of text without a first line of counts, or None if it is not such text."""
    lines = [line for line in head.split(b"\n")[:_LINES] if line.strip()]
    if not lines:
        return None
    dim = Counter(len(line.split()) for line in lines).most_common(1)[0][0] - 1
    readable = sum(_parse_line(line, dim) is not None for line in lines)
    return dim if dim >= 1 and 2 * readable >= len(lines) else None


def _text(file: Path, path: Path, expected: _Header) -> WordVectors:
    """Read lines of ``word n n n ...``."""
    words: dict[str, None] = {}
    numbers = array("f")
    read = 0
    with file.open("rb") as stream:
        for place, line in _lines(stream, headed=expected.count is not None):
            if read == expected.wanted:
                break
            entry = _parse_line(line, expected.dim)
            if entry is None:
                raise TrainingError(
                    f"expected a word and {expected.dim} numbers in line {place} of {path}; got something else. The "
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
    """Yield number and content of every line that is not blank, except for the first line of a file with a header."""
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


def _check_count(read: int, path: Path, expected: _Header) -> None:
    if expected.wanted is not None and read < expected.wanted and expected.count is not None:
        raise TrainingError(
            f"expected {expected.count} words in {path}, as its first line says; got {read}. The file is cut short"
        )


def _binary(file: Path, path: Path, expected: _Header) -> WordVectors:
    """Read word2vec's binary format."""
    from gensim.models import KeyedVectors

    size = file.stat().st_size
    if (expected.count or 0) * (4 * expected.dim + 1) > size:
        raise TrainingError(
            f"expected {expected.count} vectors of {expected.dim} components in {path}, as its first line says; it has "
            f"only {size} bytes, so it is cut short or in another format"
        )
    loaded = _parsed(  # gensim opens addresses as well as files; an absolute path is never one
        path,
        lambda: KeyedVectors.load_word2vec_format(
            str(file.absolute()), binary=True, unicode_errors="replace", limit=expected.wanted
        ),
    )
    return _usable(loaded, "word2vec binary", lost=(expected.wanted or 0) - len(loaded), bad=_REPLACED)


def _fasttext(file: Path, path: Path, limit: int | None) -> WordVectors:
    """Read fastText's binary format."""
    with file.open("rb") as stream:
        fasttext.check(stream, path)
    from gensim.models.fasttext import load_facebook_vectors

    loaded = _parsed(path, lambda: load_facebook_vectors(str(file.absolute())))
    vectors = _usable(loaded, "fastText binary", lost=0, bad=_ESCAPED)
    if limit is not None:
        vectors = replace(vectors, words=vectors.words[:limit], matrix=vectors.matrix[:limit])
    has_subwords = loaded.bucket > 0 and 0 < loaded.max_n >= loaded.min_n
    return replace(vectors, subwords=loaded.get_vector) if has_subwords else vectors


def _parsed(path: Path, parse: Callable[[], Loaded]) -> Loaded:
    """Return what gensim reads from a file, without the line that it logs for each word that is not UTF-8."""
    logger = logging.getLogger("gensim")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return parse()
    except Exception as error:  # gensim raises many types
        raise TrainingError(f"expected word vectors in {path}; the file is damaged ({error})") from error
    finally:
        logger.setLevel(level)


def _usable(loaded: KeyedVectors, kind: str, *, lost: int, bad: re.Pattern[str]) -> WordVectors:
    """Return the words in which gensim did not have to replace bytes that are not UTF-8."""
    kept = [row for row, word in enumerate(loaded.index_to_key) if word and not bad.search(word)]
    words = tuple(loaded.index_to_key[row] for row in kept)
    matrix = np.ascontiguousarray(loaded.vectors[kept], dtype=np.float32)
    return _finite(WordVectors(words, matrix, kind, skipped=lost + len(loaded.index_to_key) - len(kept)))
