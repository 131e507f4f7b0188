"""Segments: the words of some documents, as arrays that are mapped from one file.

    documents    number, first passage, words in title and text, words in the title, language
    forms        every folded word, sorted; for typos and words that begin alike
    exact        hashes of folded words, ascending, and where the rows of each start
    stems        hashes of stems, ascending, and where the rows of each start and end
    rows         the document's slot, and how often it holds the word, those in the title counting twice
    positions    of the words of the exact rows, ascending in each row

A stem that stands for one word only has no rows of its own: it points to those of the word. A slot is a document's
place in its segment. A file holds a line of JSON, which says where each array lies, and then the arrays; it is named
after its checksum. A segment never changes.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from docsim.errors import StoreError
from docsim.files import replacing

__all__ = ["FORMAT", "Segment", "hashes", "load", "path_of", "ragged", "save", "stem_hashes"]

FORMAT = 2
"""Of files and of what the analyzers make of a text: segments of another format are built again from the texts."""

_MAGIC = "docsim words"
_ALIGNMENT = 64
_CHECKED_WHOLE = 64_000_000  # bytes; the checksum of a larger file covers samples, as reading it takes too long
_BLOCK, _BLOCKS = 16_384, 256


@dataclass(frozen=True, slots=True)
class Segment:
    """The words of some documents.

    Attributes:
        numbers: Document numbers, ``int64 (documents,)``.
        firsts: The first passage number of each document, ascending, ``int64 (documents,)``: it tells one version of a
            document from the next.
        lengths: Words in title and text, ``int32 (documents,)``.
        titles: Words in the title, ``int32 (documents,)``.
        languages: Places in ``docsim.text.languages.LANGUAGES``, ``uint8 (documents,)``.
        exact: Hashes of words, ascending, ``uint64 (words,)``.
        starts: Where the rows of each word start, ``int64 (words + 1,)``.
        places: Where the positions of each word start, ``int64 (words + 1,)``.
        stems: Hashes of stems, ascending, ``uint64 (stems,)``.
        stem_starts: Where the rows of each stem start, ``int64 (stems,)``.
        stem_ends: Where they end, ``int64 (stems,)``.
        slots: The document of each row, ``int32 (rows,)``, ascending for each word or stem.
        weights: How often it holds the word, those in the title counting ``TITLE_WEIGHT`` times, unsigned ``(rows,)``.
        counts: How often it holds the word, unsigned ``(rows of words,)``.
        positions: Where, unsigned.
        forms: The words, UTF-8, one after the other, sorted, ``uint8``.
        form_starts: Where each begins, ``int64 (words + 1,)``.
    """

    numbers: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    titles: NDArray[np.int32]
    languages: NDArray[np.uint8]
    exact: NDArray[np.uint64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    stems: NDArray[np.uint64]
    stem_starts: NDArray[np.int64]
    stem_ends: NDArray[np.int64]
    slots: NDArray[np.int32]
    weights: NDArray[np.unsignedinteger[Any]]
    counts: NDArray[np.unsignedinteger[Any]]
    positions: NDArray[np.unsignedinteger[Any]]
    forms: NDArray[np.uint8]
    form_starts: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.numbers)


def hashes(words: list[str]) -> NDArray[np.uint64]:
    """Return the hash of each folded word, ``uint64 (n,)``."""
    return np.fromiter(
        (xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) for word in words), np.uint64, len(words)
    )


def stem_hashes(stems: list[str]) -> NDArray[np.uint64]:
    """Return the hash of each stem, ``uint64 (n,)``."""
    return hashes([f"~{stem}" for stem in stems])


def ragged(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of some runs of consecutive places, one run after the other, ``int64 (sum of counts,)``."""
    places: NDArray[np.int64]
    places = np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return places


def path_of(folder: Path, digest: str) -> Path:
    """Return the path of the segment that has a checksum."""
    return folder / f"{digest}.words"


def save(segment: Segment, folder: Path) -> str:
    """Write a segment to a file, atomically; return its checksum (128-bit XXH3, 32 hex digits).

    Raises:
        OSError: It cannot be written; no partial file is left.
    """
    folder.mkdir(exist_ok=True)
    arrays = {field.name: np.ascontiguousarray(getattr(segment, field.name)) for field in fields(Segment)}
    told, offset = {}, 0
    for name, array in arrays.items():
        told[name] = [array.dtype.newbyteorder("<").str, len(array), offset]
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps({"kind": _MAGIC, "format": FORMAT, "arrays": told}).encode() + b"\n"
    header = header.rjust(-(-len(header) // _ALIGNMENT) * _ALIGNMENT)
    with replacing(folder / "segment") as file:
        file.write(header)
        for array in arrays.values():
            file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
            file.write(bytes(-array.nbytes % _ALIGNMENT))
    written = folder / "segment"
    with written.open("rb") as file:
        digest = _digest(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    written.replace(path_of(folder, digest))
    return digest


def load(folder: Path, digest: str, *, whole: bool = False) -> Segment:
    """Map a segment into memory.

    Args:
        folder: Where the file lies.
        digest: Its checksum.
        whole: Check every byte, also of a large file.

    Raises:
        StoreError: It is missing or damaged.
    """
    path = path_of(folder, digest)
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if _digest(content) != digest:
            raise ValueError("checksum")
        start = content.find(b"\n") + 1
        told = json.loads(content[:start])
        arrays = {name: _array(content, start, *told["arrays"][name]) for name in Segment.__slots__}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is missing or damaged; repair the index", hint="docsim repair") from error
    return Segment(**arrays)


def _array(content: mmap.mmap, start: int, dtype: str, count: int, offset: int) -> NDArray[Any]:
    return np.frombuffer(content, np.dtype(dtype), count, start + offset)


def _digest(content: mmap.mmap) -> str:
    """Return a checksum of a file; for a large one, of its size and of samples."""
    if len(content) <= _CHECKED_WHOLE:
        return xxhash.xxh3_128(content).hexdigest()
    digest = xxhash.xxh3_128(str(len(content)).encode())
    for offset in np.linspace(0, len(content) - _BLOCK, _BLOCKS, dtype=np.int64).tolist():
        digest.update(content[offset : offset + _BLOCK])
    return digest.hexdigest()
