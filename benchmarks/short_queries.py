"""Short queries: does one percentile mean the same at any length, and do words find the identifiers made of them?

    python benchmarks/short_queries.py --data ../shared/data/dev

``percentiles``: the median percentile of the first hit, in a dense search, of each corpus' own questions and of those
made for the others, whole and cut to their first words. ``identifiers``: of pages of mdn that have an identifier of two
to four words in their title (``createElement``), how many are among the first ten for its words ("create element"), for
the identifier as it is written, and for its words when they are not run together. Writes results/short_queries.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from judged import load

from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.models import Mode
from docsim.search import query_terms

RESULTS = Path(__file__).parent / "results" / "short_queries.json"
CORPUS = Path(__file__).parent.parent / "corpus"
SETS = ("scifact", "cranfield")
QUESTIONS = 200
LENGTHS = {"whole": None, "4 words": 4, "2 words": 2}
MODES: tuple[Mode, ...] = ("lexical", "hybrid")
IDENTIFIERS = 400
WAYS = {"words": query_terms.MOST_JOINED, "words, not run together": 0, "identifier": query_terms.MOST_JOINED}

_IDENTIFIER = re.compile(r"\b[A-Za-z]*[a-z][A-Z][A-Za-z]*\b")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    found = {"percentiles": percentiles(data), "identifiers": identifiers(data)}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@contextmanager
def indexed(source: Path) -> Iterator[Index]:
    with TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        index.sync(open_source(str(source)).entries())
        yield index


def percentiles(data: Path) -> dict[str, dict[str, dict[str, float]]]:
    questions, found = asked(data), {}
    for name in questions:
        source = CORPUS / "handbook" if name == "handbook" else data / name / "corpus.jsonl.gz"
        with indexed(source) as index:
            others = [text for other in questions if other != name for text in questions[other]]
            found[name] = {
                "its own": {length: first_hits(index, questions[name], most) for length, most in LENGTHS.items()},
                "others'": {length: first_hits(index, others, most) for length, most in LENGTHS.items()},
            }
        print(name, json.dumps(found[name]), flush=True)
    return found


def asked(data: Path) -> dict[str, list[str]]:
    """Return the first questions of each corpus."""
    lines = (CORPUS / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    own = {"handbook": [json.loads(line)["text"] for line in lines]}
    sets = {name: [text for text in load(data / name).queries.values() if text] for name in SETS}
    return {name: texts[:QUESTIONS] for name, texts in (own | sets).items()}


def first_hits(index: Index, texts: list[str], most: int | None) -> float:
    """Return the median percentile of the first hits of questions, cut to their first words."""
    results = index.search_many([" ".join(text.split()[:most]) for text in texts], 1, mode="dense")
    return float(np.median([result.hits[0].percentile for result in results]))


def identifiers(data: Path) -> list[dict[str, object]]:
    chosen = sample(load(data / "mdn").documents)
    rows: list[dict[str, object]] = []
    with indexed(data / "mdn" / "corpus.jsonl.gz") as index:
        for way, most in WAYS.items():
            texts = [name if way == "identifier" else " ".join(parts(name)).lower() for _, name in chosen]
            for mode in MODES:
                with mock.patch.object(query_terms, "MOST_JOINED", most):
                    found = index.search_many(texts, 10, mode=mode)
                places = [[hit.id for hit in one.hits] for one in found]
                ranks = [
                    ids.index(id) + 1 if id in ids else np.inf for ids, (id, _) in zip(places, chosen, strict=True)
                ]
                among, reciprocal = float(np.mean(np.isfinite(ranks))), float(np.mean(1 / np.array(ranks)))
                rows.append({"asked by": way, "mode": mode, "among ten": among, "reciprocal rank": reciprocal})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def sample(documents: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return ids of documents and the last identifier in the title of each, as many as ``IDENTIFIERS``."""
    named = [(one["id"], _IDENTIFIER.findall(one["title"])) for one in documents]
    found = [(id, names[-1]) for id, names in named if names and 2 <= len(parts(names[-1])) <= 4]
    return random.Random(0).sample(found, IDENTIFIERS)


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def parts(name: str) -> list[str]:
    """Return the words that an identifier is made of, as docsim cuts it."""
    return _HUMP.split(name)


if __name__ == "__main__":
    main()
