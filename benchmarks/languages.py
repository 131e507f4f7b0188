"""How well documents in other languages are found, with the fast encoder and with a vocabulary of the documents' own.

    python benchmarks/languages.py --data DIR [--sets NAME,...] [--queries 200]

For each set, nDCG@10 in each mode of the fast encoder as it is, of what ``docsim train`` makes of it, and of what it
makes of a vocabulary from the documents (``--from corpus``). ``chosen`` is the start that ``docsim adapt`` takes.
Indexes are kept in ``.bench``. Results are added to ``results/languages.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from judged import Judged, load, ndcg_at_10

from docsim import Document, Encoder, Index
from docsim.encoding.spelling import MOST_SPELLED_OUT, spelled_out_share
from docsim.jobs.train import CORPUS, IndexTexts, TrainOptions, train
from docsim.models import MODES

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "languages"
RESULTS = Path(__file__).parent / "results" / "languages.json"
SETS = ("apache_fr", "libreoffice_de", "kubernetes_zh", "jaquad_ja")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--queries", type=int, default=200, help="queries of each set, at most")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.sets.split(","):
        found[name] = compared(load(options.data / name), options.queries)
        print(name, json.dumps(found[name]), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def compared(judged: Judged, queries: int) -> dict[str, Any]:
    """Return the results of a set."""
    fast = Encoder.load("fast")
    texts = [one["text"] for one in judged.documents[:: max(1, len(judged.documents) // 100)]]
    chosen = CORPUS if spelled_out_share(fast, texts) >= MOST_SPELLED_OUT else "fast"
    found: dict[str, Any] = {"chosen": chosen, "queries": min(queries, len(judged.queries))}
    found["fast"] = measured(judged, fast, queries)
    index = folder(judged, fast)
    for start in ("fast", CORPUS):
        out = KEPT / "encoders" / f"{judged.name}-{start}"
        trained = train(IndexTexts(index), out, TrainOptions(start=start))
        found[f"trained from {start}"] = measured(judged, trained.encoder, queries)
    return found


def folder(judged: Judged, encoder: Encoder) -> Path:
    return KEPT / f"{judged.name}-{encoder.fingerprint[:12]}"


def measured(judged: Judged, encoder: Encoder, queries: int) -> dict[str, float]:
    """Return nDCG@10 in each mode."""
    documents = [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]
    asked = dict(list(judged.queries.items())[:queries])
    qrels = {id: judged.qrels[id] for id in asked}
    with Index.create(folder(judged, encoder), encoder=encoder) as index:
        index.sync(documents)
        row: dict[str, float] = {}
        for mode in MODES:
            results = [
                index.similar(id, 11, mode=mode) if text is None else index.search(text, 11, mode=mode)
                for id, text in asked.items()
            ]
            run = {
                id: [hit.id for hit in result.hits if not (judged.exclude_self and hit.id == id)][:10]
                for id, result in zip(asked, results, strict=True)
            }
            row[mode] = round(ndcg_at_10(run, qrels), 4)
    return row


if __name__ == "__main__":
    main()
