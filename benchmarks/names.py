"""Is a page found when somebody asks for it by its name?

    python benchmarks/names.py --data DIR [--sets NAME,...]

Indexes each knowledge base, and the sample handbook, with the fast encoder. Asks for 100 pages of each, chosen at
random among those whose name no other page has: once with the words of the file's name, once with the title. Prints and
writes to results/names.json how many of the pages came first, and how many were among the first three, with
``docsim.search.names`` and without.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from judged import KNOWLEDGE_BASES, load
from machine import commit, machine
from questions import HANDBOOK, handbook

from docsim import Document, Encoder, Index
from docsim.ingest.content import readable
from docsim.ingest.file_names import stem, suffix
from docsim.search.names import named_first

RESULTS = Path(__file__).parent / "results" / "names.json"
ASKED = 100
SEED = 0
_GENERIC = {"index", "_index", "readme"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=",".join((HANDBOOK, *KNOWLEDGE_BASES)))
    options = parser.parse_args()
    sets = {}
    for name in options.sets.split(","):
        judged = handbook() if name == HANDBOOK else load(options.data / name)
        sets[name] = measured(
            [Document(as_file(one["id"]), one["text"], one.get("title", "")) for one in judged.documents]
        )
        print(name, json.dumps(sets[name]), flush=True)
    found = {"sets": sets, "commit": commit(), "machine": machine({})}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def measured(documents: Sequence[Document]) -> dict[str, Any]:
    """Return how many of some pages are found by their names and by their titles."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(Path(folder) / "index", encoder=Encoder.default()) as index,
    ):
        index.sync(documents)
        return {
            "file name": counted(index, unique(documents, file_name)),
            "title": counted(index, unique(documents, lambda one: one.title)),
        }


def as_file(id: str) -> str:
    """Return an id as the path of a file; those of some sets lack a suffix."""
    return id if suffix(id) else f"{id}.md"


def file_name(document: Document) -> str:
    """Return the words of the name of a document's file; that of its folder for a page that stands for the folder."""
    parts = [part for part in document.id.split("/") if part]
    name = stem(parts[-1])
    return readable(parts[-2] if name.lower() in _GENERIC and len(parts) > 1 else name)


def unique(documents: Sequence[Document], name_of: Callable[[Document], str]) -> dict[str, str]:
    """Return the names of some documents, by id, that no other document has."""
    names = {one.id: " ".join(name_of(one).split()) for one in documents}
    counts = Counter(name.casefold() for name in names.values())
    known = sorted(id for id, name in names.items() if name and counts[name.casefold()] == 1)
    return {id: names[id] for id in random.Random(SEED).sample(known, min(ASKED, len(known)))}


def counted(index: Index, names: Mapping[str, str]) -> dict[str, int]:
    """Return how many documents were asked for, came first, and were among the first three."""
    counts = {"asked": len(names)}
    for how, rule in (("", named_first), (" without", lambda snapshot, question, numbers, scores: scores)):
        with mock.patch("docsim.search.retrieval.named_first", rule):
            found = [[hit.id for hit in result.hits] for result in index.search_many(list(names.values()), k=3)]
        counts[f"first{how}"] = sum(hits[:1] == [id] for id, hits in zip(names, found, strict=True))
        counts[f"among three{how}"] = sum(id in hits for id, hits in zip(names, found, strict=True))
    return counts


if __name__ == "__main__":
    main()
