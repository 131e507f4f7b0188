"""The texts that the default encoder learns from, and what its teacher makes of them.

Runs of sentences, from a few words to a passage, and titles, since people ask in few words and documents answer in
many: of Wikipedia, of papers' titles and abstracts, of textbooks and of C++ documentation. Papers from before 2016 are
left out, whose licence forbids commercial use.

    DATA/wiki-*.jsonl.gz  DATA/acl_title_abstract.jsonl.gz  DATA/openstax.jsonl.gz  DATA/cppdocs.jsonl.gz

each a line of {"id", "title", "text"} per document.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder

SOURCES = {"wiki-*": 2, "acl_title_abstract": 2, "openstax": 60, "cppdocs": 5}
"""Files, and the most runs that are taken of one document."""

LEAST_WORDS, MOST_WORDS = 4, 96
TITLES = 0.25
"""Share of documents whose title is a text of its own."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_YEAR = re.compile(r"^(?:(\d{4})\.|[A-Z](\d\d)-)")
_AT_ONCE = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Page:
    """One document."""

    source: str
    title: str
    text: str


def pages(data: Path) -> Iterator[Page]:
    """Yield the documents of all sources, in the order of their files."""
    for pattern in SOURCES:
        for file in sorted(data.glob(f"{pattern}.jsonl.gz")):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    one = json.loads(line)
                    if pattern != "acl_title_abstract" or is_free(one["id"]):
                        yield Page(pattern, one["title"], one["text"])


def is_free(id: str) -> bool:
    """Return whether a paper's id tells that it is of 2016 or later."""
    found = _YEAR.match(id)
    if not found:
        return False
    year = int(found[1]) if found[1] else 2000 + int(found[2])
    return 2016 <= year < 2060


def runs(page: Page, random: np.random.Generator) -> Iterator[str]:
    """Yield runs of whole sentences of a page, one after another, each of about a random number of words.

    The numbers are log-uniform from 4 to 96, so that short texts are as frequent as long ones.
    """
    most = SOURCES[page.source]
    sentences = [one for one in _SENTENCE.split(page.text) if one.strip()]
    start = int(random.integers(max(1, len(sentences) // 2)))  # not always the definition that a page begins with
    start *= int(random.random() < 0.5)
    found = 0
    while start < len(sentences) and found < most:
        wanted = math.exp(random.uniform(math.log(LEAST_WORDS), math.log(MOST_WORDS)))
        words: list[str] = []
        while start < len(sentences) and len(words) < wanted:
            words += sentences[start].split()
            start += 1
        if len(words) >= LEAST_WORDS:
            found += 1
            yield " ".join(words[:MOST_WORDS])


def texts(data: Path, *, seed: int, most: int) -> list[str]:
    """Return at most ``most`` different texts in a random order, the same for the same seed and files."""
    random = np.random.default_rng([seed, 17])
    found: dict[str, None] = {}
    for page in pages(data):
        if page.title and random.random() < TITLES:
            found.setdefault(page.title)
        found.update(dict.fromkeys(runs(page, random)))
    all_of_them = list(found)
    return [all_of_them[row] for row in random.permutation(len(all_of_them))[:most]]


def embeddings(teacher: Encoder, asked: list[str], cache: Path) -> Floats:
    """Return the teacher's embeddings, unit rows ``(texts, width)``, kept in ``cache`` 4,096 texts a file."""
    cache.mkdir(parents=True, exist_ok=True)
    blocks = []
    for begin in range(0, len(asked), _AT_ONCE):
        some = asked[begin : begin + _AT_ONCE]
        digest = hashlib.sha256("\0".join([teacher.fingerprint, *some]).encode("utf-8", "surrogatepass")).hexdigest()
        file = cache / f"{digest[:32]}.npy"
        if not file.is_file():
            temporary = cache / f".{digest[:32]}.tmp.npy"
            np.save(temporary, teacher.encode(some).astype(np.float16))
            temporary.replace(file)
            print(f"teacher: {begin + len(some)} of {len(asked)}", flush=True)
        blocks.append(np.load(file).astype(np.float32))
    return np.concatenate(blocks)
