"""Terms: the words that two texts share as the full-text index sees them, stemmed, and how rare each is."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass

from docsim.engine.local.schema import TOKENIZE
from docsim.engine.local.store import Store

__all__ = ["SharedTerm", "shared_terms"]

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """A term that both texts hold.

    Attributes:
        term: The stem that the full-text index keeps.
        words: The forms in which the texts hold it, lower-cased, ascending.
        documents: Indexed documents that hold it: the fewer, the more it tells.
        a: How often the first text holds it.
        b: How often the second does.
    """

    term: str
    words: tuple[str, ...]
    documents: int
    a: int
    b: int


def shared_terms(store: Store, a: str, b: str) -> list[SharedTerm]:
    """Return the terms that two texts share, the rarest first.

    Args:
        store: Whose documents are counted.
        a: A text, its title included.
        b: Another.
    """
    counts = [Counter(word.casefold() for word in _WORD.findall(text)) for text in (a, b)]
    stems = _stems(sorted(counts[0].keys() | counts[1].keys()))
    shared: dict[str, list[str]] = {}
    for word, stem in stems.items():
        shared.setdefault(stem, []).append(word)
    held = {stem: [sum(count[word] for word in words) for count in counts] for stem, words in shared.items()}
    both = [stem for stem, (in_a, in_b) in held.items() if in_a and in_b]
    documents = _document_frequencies(store, both)
    found = [SharedTerm(stem, tuple(shared[stem]), documents.get(stem, 0), *held[stem]) for stem in both]
    return sorted(found, key=lambda one: (one.documents, one.term))


def _stems(words: list[str]) -> dict[str, str]:
    """Return the stem of each word, by the tokenizer that the full-text index uses."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(word, tokenize = '{TOKENIZE}')")
        connection.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(words, instance)")
        connection.executemany("INSERT INTO words (rowid, word) VALUES (?, ?)", enumerate(words))
        return {words[row]: stem for stem, row in connection.execute("SELECT term, doc FROM stems")}
    finally:
        connection.close()


def _document_frequencies(store: Store, stems: list[str]) -> dict[str, int]:
    """Return how many indexed documents hold each stem; stems that none holds are left out."""
    store.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab(main, documents_fts, row)")
    sql = "SELECT term, doc FROM temp.terms WHERE term IN (SELECT value FROM json_each(?))"
    return dict(store.rows(sql, json.dumps(stems)))
