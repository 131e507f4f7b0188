"""How well questions are answered: nDCG@10 by words, by embeddings and by both.

    python benchmarks/questions.py --data DIR [--teacher DIR] [--encoders fast,accurate,teacher,DIR] [--sets NAME,...]

The sets are the sample handbook with its questions, and the judged sets whose queries are questions or a few words.
Each encoder has an index of its own, kept in ``.bench``. ``--teacher`` is a folder of all-MiniLM-L6-v2. Results are
added to ``results/questions.json``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from judged import Judged, load, ndcg_at_10

from docsim import Document, Encoder, Index
from docsim.ingest.sources import open_source
from docsim.models import MODES, Entry

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "questions"
RESULTS = Path(__file__).parent / "results" / "questions.json"
HANDBOOK = "sample handbook"
SETS = (HANDBOOK, "sumo_firefox", "hint3_tickets", "medline", "cranfield", "cacm", "scifact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--encoders", default="fast,accurate", help="fast, accurate, teacher or directories")
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.sets.split(","):
        judged = handbook() if name == HANDBOOK else load(options.data / name)
        for which in options.encoders.split(","):
            encoder = encoder_named(which, options.teacher)
            row = measured(judged, encoder)
            found.setdefault(name, {})[which] = {"encoder": encoder.fingerprint[:12], **row}
            print(name, which, json.dumps(row), flush=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def handbook() -> Judged:
    """Return the sample knowledge base and its questions as a judged set."""
    folder, qrels = ROOT / "corpus", defaultdict[str, dict[str, int]](dict)
    for line in (folder / "qrels.txt").read_text(encoding="utf-8").splitlines():
        query, _, document, grade = line.split()
        qrels[query][document] = int(grade)
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = {one["id"]: one["text"] for one in map(json.loads, lines) if one["id"] in qrels}
    read = [entry.load() for entry in open_source(str(folder / "handbook")).entries() if isinstance(entry, Entry)]
    documents = [{"id": one.id, "title": one.title, "text": one.text} for one in read]
    return Judged(HANDBOOK, documents, queries, dict(qrels), exclude_self=False)


def encoder_named(name: str, teacher: Path) -> Encoder:
    """Return a shipped encoder, the imported teacher, or the encoder in a directory."""
    if name != "teacher":
        return Encoder.load(name)
    from docsim.training.imports.importing import import_encoder

    kept = KEPT / "teacher"
    return Encoder.load(kept) if kept.is_dir() else import_encoder(teacher, kept)


def measured(judged: Judged, encoder: Encoder) -> dict[str, float]:
    """Return nDCG@10 in each mode."""
    documents = [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]
    texts = {id: text for id, text in judged.queries.items() if text is not None}
    with Index.create(KEPT / encoder.fingerprint[:12] / judged.name, encoder=encoder) as index:
        index.sync(documents)
        row: dict[str, float] = {}
        for mode in MODES:
            results = index.search_many(list(texts.values()), 11, mode=mode)
            run = {
                id: [hit.id for hit in result.hits if not (judged.exclude_self and hit.id == id)][:10]
                for id, result in zip(texts, results, strict=True)
            }
            row[mode] = round(ndcg_at_10(run, judged.qrels), 4)
    return row


if __name__ == "__main__":
    main()
