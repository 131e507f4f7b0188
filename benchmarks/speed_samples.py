"""Documents and queries for ``speed.py``, chosen the same way everywhere and without holding more than is needed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_QUERY = 200
_SENTENCE_END = re.compile(r"[.!?]\s|\n")


def records(corpus: Path) -> Iterator[dict[str, str]]:
    """Yield the records of a gzipped JSONL file."""
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def documents(corpus: Path) -> list[str]:
    """Return every document in full: its title, a line break, its text."""
    return [record["title"] + "\n" + record["text"] for record in records(corpus)]


def queries(corpus: Path, count: int) -> list[str]:
    """Return titles and first sentences, in turn, of documents spread evenly over the corpus."""
    total = count_documents(corpus)
    count = min(count, total)
    chosen = {i * total // count for i in range(count)}
    taken = (record for i, record in enumerate(records(corpus)) if i in chosen)
    return [
        (record["title"] if i % 2 else first_sentence(record["text"])) or record["id"] for i, record in enumerate(taken)
    ]


def first_sentence(text: str) -> str:
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0][:LONGEST_QUERY].strip()


def count_documents(corpus: Path) -> int:
    with gzip.open(corpus, "rb") as lines:
        return sum(1 for _ in lines)


def write_sample(corpus: Path, target: Path, count: int) -> Path:
    """Write ``count`` documents, spread evenly over the corpus, to a file of the same format; return its path."""
    total = count_documents(corpus)
    count = min(count, total)
    chosen = {i * total // count for i in range(count)}
    with gzip.open(corpus, "rb") as lines, gzip.open(target, "wb", compresslevel=1) as out:
        out.writelines(line for i, line in enumerate(lines) if i in chosen)
    return target
