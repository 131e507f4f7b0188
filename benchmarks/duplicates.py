"""How well and how fast are duplicates found?

    python benchmarks/duplicates.py --data ../shared/data [--sets tldr,kubernetes] [--encoder DIR]

Writes benchmarks/results/duplicates.json: for each set the threshold chosen, the groups, and recall: of all pairs of
documents whose wording overlaps that much - compared exhaustively, all with all, no embeddings involved - the share
that the search by embeddings finds. Of the pairs that bug reports' authors marked as duplicates, which are told in
other words, it counts how many are near-duplicates, and the time on the largest set.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from docsim.analysis.duplicates import NEAR_SIMILARITY, Duplicates
from docsim.analysis.shingles import Overlaps
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.ingest.sources import open_source

RESULTS = Path(__file__).parent / "results" / "duplicates.json"
SETS = ("dev/bugs_seamonkey", "dev/tldr", "dev/kubernetes", "dev/mdn", "scale/win32")
EXHAUSTIVE = 15_000  # documents up to which all are compared with all
THRESHOLDS = (0.5, 0.7, 0.9)
PLANTED = (
    ("engineering/how-to-roll-back.md", "operations/rollback-runbook.md"),
    ("people/remote-work-canada.md", "people/remote-work.md"),
    ("customer-success/onboarding-new-customers.md", "sales/handover-to-customer-success.md"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--encoder", type=Path)
    given = parser.parse_args()
    encoder = Encoder.load(given.encoder) if given.encoder else Encoder.default()
    results: dict[str, Any] = {"encoder": encoder.fingerprint, "corpus": planted(encoder), "sets": {}}
    for name in given.sets.split(","):
        results["sets"][name] = measured(given.data / name, encoder)
        print(name, json.dumps(results["sets"][name]))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def planted(encoder: Encoder) -> dict[str, Any]:
    """Count the sample corpus's planted near-duplicates that are found, and what else is."""
    with (
        TemporaryDirectory() as folder,
        indexed(Path(__file__).parent.parent / "corpus/handbook", folder, encoder) as index,
    ):
        found = index.duplicates()
    pairs = {tuple(sorted((group.id, member.id))) for group in found.groups for member in group.members}
    return {"planted": len(PLANTED), "found": len(pairs & set(PLANTED)), "others": len(pairs - set(PLANTED))}


def indexed(source: Path, folder: str, encoder: Encoder) -> Index:
    index = Index.create(Path(folder) / "index", encoder=encoder)
    index.sync(open_source(str(source)).entries())
    return index


def measured(folder: Path, encoder: Encoder) -> dict[str, Any]:
    with TemporaryDirectory() as temporary, indexed(folder / "corpus.jsonl.gz", temporary, encoder) as index:
        started = time.perf_counter()
        found = index.duplicates()
        seconds = time.perf_counter() - started
        kinds = Counter(member.kind for group in found.groups for member in group.members)
        result: dict[str, Any] = {name: value for name, value in asdict(found).items() if name != "groups"}
        result |= {"seconds": seconds, "groups": len(found.groups), "members": dict(kinds)}
        if (folder / "qrels.txt").is_file() and folder.name.startswith("bugs"):
            result["marked"] = marked(folder / "qrels.txt", found)
        if found.documents <= EXHAUSTIVE:
            result["recall"] = {f"{threshold:g}": recall(index, threshold) for threshold in THRESHOLDS}
    return result


def marked(qrels: Path, found: Duplicates) -> dict[str, int]:
    """Count the pairs that people marked as duplicates, and those that share a group."""
    lines = (line.split() for line in qrels.read_text(encoding="utf-8").splitlines())
    pairs = {tuple(sorted((line[0], line[2]))) for line in lines}
    group = {id: number for number, one in enumerate(found.groups) for id in ids(one)}
    together = sum(a in group and group[a] == group.get(b) for a, b in pairs)
    return {"pairs": len(pairs), "in one group": together}


def ids(group: Any) -> Iterator[str]:
    yield group.id
    yield from (member.id for member in group.members)


def recall(index: Index, threshold: float) -> dict[str, float]:
    """Return how many documents have a near-duplicate by exhaustive comparison, and the share of them found.

    Counted are pairs whose wording overlaps by the threshold, and of these, as ``alike``, those with a pair of
    passages that is as similar as near-duplicates have to be.
    """
    with index.engine.snapshot() as snapshot:
        documents = [stored.document for stored in snapshot.scan()]
        vectors = snapshot.embeddings(snapshot.embedded())
    pairs = overlapping([document.text for document in documents], threshold)
    found = {id for group in index.duplicates(threshold=threshold).groups for id in ids(group)}
    result: dict[str, float] = {}
    for name, least in (("", -1.0), ("alike ", NEAR_SIMILARITY)):
        expected = {
            documents[place].id
            for pair in pairs.tolist()
            if best(*(vectors[place].astype(np.float32) for place in pair)) >= least
            for place in pair
        }
        result |= {f"{name}documents": len(expected), f"{name}found": len(expected & found) / max(1, len(expected))}
    return result


def best(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float((one @ other.T).max())


def overlapping(texts: list[str], threshold: float) -> NDArray[np.int64]:
    """Return all pairs of documents whose wording overlaps by ``threshold`` both ways, by comparing all with all."""
    overlaps = Overlaps(texts)
    roots = np.sqrt(overlaps.weights)[overlaps.shingles]
    table = csr_matrix((roots, overlaps.shingles, overlaps.starts), shape=(len(texts), len(overlaps.weights)))
    pairs = []
    for start in range(0, len(texts), 200):
        shared = (table[start : start + 200] @ table.T).tocoo()
        shares = shared.data / np.maximum(overlaps.sums[shared.row + start], overlaps.sums[shared.col])
        near = (shares >= threshold) & (shared.row + start < shared.col)
        pairs.append(np.stack([shared.row[near] + start, shared.col[near]], axis=1))
    found: NDArray[np.int64] = np.concatenate(pairs).astype(np.int64)
    return found[(overlaps.counts[found] >= 8).all(axis=1)]


if __name__ == "__main__":
    main()
