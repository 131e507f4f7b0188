"""The judged sets: corpus, queries and relevance judgements, as their folders hold them.

    python benchmarks/judged.py FOLDER RUN.json

prints the nDCG@10 of a file that holds ranked document ids for every query.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KNOWLEDGE_BASES = ("handbook18f", "businesscentral", "kubernetes", "tldr", "peps", "mdn")
OTHERS = ("bugs_seamonkey", "scifact", "cranfield", "cacm", "medline")
MAX_QUERIES = 500


@dataclass(frozen=True)
class Judged:
    """One set.

    ``queries`` maps a query's id to its text, or to None when the query is the document of that id; the document of the
    query's id is left out of its own result when ``exclude_self``.
    """

    name: str
    documents: list[dict[str, str]]
    queries: dict[str, str | None]
    qrels: dict[str, dict[str, int]]
    exclude_self: bool


def load(folder: Path) -> Judged:
    """Read a set; of more than 500 queries a fixed sample is taken."""
    facts = json.loads((folder / "set.json").read_text())
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "qrels.txt").read_text().splitlines():
        query, _, document, grade = line.split()
        qrels[query][document] = int(grade)
    ids = sorted(id for id, judged in qrels.items() if any(grade > 0 for grade in judged.values()))
    if len(ids) > MAX_QUERIES:
        ids = sorted(random.Random(0).sample(ids, MAX_QUERIES))
    texts: dict[str, str | None] = {}
    if facts["queries"] != "documents":
        for line in (folder / facts["queries"]).read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            texts[str(record["id"])] = record["text"]
    queries = {id: texts.get(id) for id in ids}
    return Judged(facts["name"], documents, queries, {id: qrels[id] for id in ids}, facts["exclude_self"])


def per_query(run: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> NDArray[np.float64]:
    """Return nDCG@10 of each judged query, in the order of their ids; 0 for one without an answer."""
    import ir_measures

    scored = {query: {id: float(-rank) for rank, id in enumerate(ids)} for query, ids in run.items()}
    found = {one.query_id: one.value for one in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, scored)}
    return np.array([found.get(query, 0.0) for query in sorted(qrels)])


def ndcg_at_10(run: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> float:
    """Return mean nDCG@10 of ranked document ids per query."""
    return float(per_query(run, qrels).mean())


if __name__ == "__main__":
    print(json.dumps({"ndcg": ndcg_at_10(json.loads(Path(sys.argv[2]).read_text()), load(Path(sys.argv[1])).qrels)}))
