"""How often is a word with a typing error corrected to the word that was meant, and how long does it take?

    python benchmarks/typing_errors.py --data DIR [--quick]

Words of judged sets and of a large unjudged corpus, drawn as often as documents hold them, each get one random slip: a
letter left out, added or changed, or two neighbours swapped. Slips that make a word which documents hold cannot be
noticed, and are drawn again. What is timed, in CPU time, is all that one unknown word adds to a question.
Words are indexed as `docsim index` does; nothing is encoded. Writes benchmarks/results/typing_errors.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.engine.records import KnownWord, QueryTerm
from docsim.engine.words import lexicon, sorted_words, term_postings
from docsim.engine.words.building import Text, segments
from docsim.engine.words.index import WordIndex
from docsim.search.corrections import FEWEST_LETTERS, corrected

RESULTS = Path(__file__).parent / "results" / "typing_errors.json"
SETS = ("dev/sumo_firefox", "dev/businesscentral", "dev/peps", "dev/mdn", "dev/libreoffice_de", "scale/win32")
WORDS = 2_000
ENGLISH, GERMAN = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyzäöüß"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="one small set; write nothing")
    given = parser.parse_args()
    sets = [one for one in SETS[: 1 if given.quick else None] if (given.data / one / "corpus.jsonl.gz").is_file()]
    rows = [measured(given.data / one) for one in sets]
    if not given.quick:
        RESULTS.write_text(json.dumps({"words": WORDS, "sets": rows}, indent=2) + "\n")


def measured(folder: Path) -> dict[str, Any]:
    index = indexed(folder)
    words = Words(index)
    began = time.process_time()
    _ = index.letters
    prepared = time.process_time() - began
    letters = GERMAN if folder.name.endswith("_de") else ENGLISH
    cases = list(slips(words, letters, random.Random(0)))
    corrected(cast(Snapshot, words), cases[0][2])  # loads the library
    right, milliseconds = Counter[str](), []
    for kind, meant, typed in cases:
        began = time.process_time()
        _, corrections = corrected(cast(Snapshot, words), typed)
        milliseconds.append(1000 * (time.process_time() - began))
        right[kind] += bool(corrections) and corrections[0].used == meant
    kinds = Counter(kind for kind, _, _ in cases)
    row = {
        "name": folder.name,
        "documents": index.count,
        "forms": sum(len(one.form_starts) - 1 for one in index.segments),
        "right_first": sum(right.values()) / len(cases),
        "by_slip": {kind: right[kind] / count for kind, count in sorted(kinds.items())},
        "p50_cpu_ms": float(np.percentile(milliseconds, 50)),
        "p99_cpu_ms": float(np.percentile(milliseconds, 99)),
        "prepared_cpu_ms": 1000 * prepared,
    }
    print(json.dumps(row))
    return row


def indexed(folder: Path) -> WordIndex:
    """Index the words of a corpus."""

    def texts() -> Iterator[Text]:
        with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            for number, record in enumerate(map(json.loads, lines), start=1):
                yield Text(number, number, record.get("title", ""), record["text"])

    found = tuple(segments(texts()))
    nothing = (None,) * len(found)
    return WordIndex(found, nothing, nothing)


class Words:
    """As much of a snapshot as corrections ask for."""

    def __init__(self, index: WordIndex) -> None:
        self.index, self.encoder = index, Encoder.default()

    def frequencies(self, terms: Sequence[QueryTerm], *, at_most: int | None = None) -> list[int]:
        return term_postings.frequencies(self.index, terms)

    def words_like(self, word: str, *, edits: int, most: int, where: None = None) -> list[KnownWord]:
        return lexicon.like(self.index, word, edits=edits, most=most, allowed=None)


def slips(words: Words, letters: str, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield kinds of slips, words that were meant, and what was typed instead, which no document holds."""
    every = sorted(
        {one.decode("utf-8", "surrogatepass") for each in words.index.segments for one in sorted_words.every(each)}
    )
    plain = [one for one in every if len(one) >= FEWEST_LETTERS and one.isalpha() and set(one) <= set(letters)]
    counts = words.index.word_counts(plain)
    found = 0
    while found < WORDS:
        (meant,), kind = chance.choices(plain, counts), chance.choice(list(KINDS))
        typed = KINDS[kind](meant, letters, chance)
        if typed == meant or len(typed) < FEWEST_LETTERS or words.frequencies([QueryTerm((typed,))])[0]:
            continue
        found += 1
        yield kind, meant, typed


def left_out(word: str, letters: str, chance: random.Random) -> str:
    place = chance.randrange(len(word))
    return word[:place] + word[place + 1 :]


def added(word: str, letters: str, chance: random.Random) -> str:
    place = chance.randrange(len(word) + 1)
    return word[:place] + chance.choice(letters) + word[place:]


def changed(word: str, letters: str, chance: random.Random) -> str:
    place = chance.randrange(len(word))
    return word[:place] + chance.choice(letters) + word[place + 1 :]


def swapped(word: str, letters: str, chance: random.Random) -> str:
    place = chance.randrange(len(word) - 1)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


KINDS: dict[str, Callable[[str, str, random.Random], str]] = {
    "left out": left_out,
    "added": added,
    "changed": changed,
    "swapped": swapped,
}


if __name__ == "__main__":
    main()
