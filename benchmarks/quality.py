"""How good is what docsim finds, beside what people use instead: nDCG@10, dense and fused with BM25, one harness.

    python benchmarks/quality.py --data DIR --teacher DIR [--vectors FILE] [--encoder NAME=DIR] [--sets A,B] [--train]
                                 [--keep]

Contenders: BM25 (bm25s, stemmed), the average of GloVe vectors (``--vectors``), model2vec's distillation of the
teacher, the teacher itself (all-MiniLM-L6-v2, 256 tokens), docsim's default encoder, and with ``--train`` that after
``docsim train`` on the set's own documents, without labels, alone and with ``--teacher``. ``--encoder`` adds others.
docsim's encoders are scored by passages, as an index does, and so is model2vec once more; the others embed whole
documents. Embeddings and models are kept in ``--cache``. Writes benchmarks/results/quality.json after every set; sets
that are in it stay unless they are measured again, and with ``--keep`` so do the figures of others than docsim.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import self_supervision
import Stemmer
from judged import KNOWLEDGE_BASES, OTHERS, Judged, load, ndcg_at_10
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.search.scoring import rank

RESULTS = Path(__file__).parent / "results" / "quality.json"
CACHE = Path(__file__).parents[1] / ".bench" / "quality"
DOCSIM = Path(sys.executable).with_name("docsim")
CANDIDATES = 100
"""Documents that each side of a fusion proposes."""

Scores = NDArray[np.float32]
"""Of every document for every query, ``(queries, documents)``, higher is better."""
Row = dict[str, dict[str, float]]
"""Of each system, nDCG@10 alone and with BM25."""
Encode = Callable[[list[str]], NDArray[np.float32]]


def whole_texts(judged: Judged) -> tuple[list[str], list[str]]:
    """Return the texts of documents and of queries, each as one."""
    documents = [f"{one['title']}\n{one['text']}".strip() for one in judged.documents]
    by_id = dict(zip((one["id"] for one in judged.documents), documents, strict=True))
    return documents, [by_id[id] if text is None else text for id, text in judged.queries.items()]


def by_bm25(judged: Judged) -> Scores:
    """Lucene's BM25 with English stop words and Porter's second stemmer."""
    stemmer = Stemmer.Stemmer("english")
    documents, queries = (
        bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
        for texts in whole_texts(judged)
    )
    index = bm25s.BM25()
    index.index(documents, show_progress=False)
    known = index.vocab_dict
    rows = [[word for word in words if word in known] for words in queries]
    nothing = np.zeros(len(documents), np.float32)
    return np.stack([index.get_scores(words) if words else nothing for words in rows]).astype(np.float32)


def by_whole_texts(judged: Judged, encode: Encode, *, name: str, cache: Path) -> Scores:
    """Inner products of one embedding per text."""
    documents, queries = whole_embeddings(judged, encode, name=name, cache=cache)
    return queries @ documents.T


def whole_embeddings(
    judged: Judged, encode: Encode, *, name: str, cache: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return one embedding of each document and of each query; what was embedded before is read from ``cache``."""
    documents, queries = whole_texts(judged)
    given = [text for text in judged.queries.values() if text is not None]
    texts = documents + given
    digest = hashlib.sha256("\0".join([name, *texts]).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    file = cache / f"{judged.name}-{digest}.npy"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, encode(texts))
    rows = dict(zip(texts, np.load(file), strict=False))
    return np.stack([rows[text] for text in documents]), np.stack([rows[text] for text in queries])


@dataclass(frozen=True, slots=True)
class Encoding:
    """A function as an encoder."""

    encode: Encode


def by_passages(judged: Judged, encoder: self_supervision.Encodes) -> Scores:
    """As an index scores, but every document: by passages and centroids."""
    rows = self_supervision.passages(encoder, self_supervision.documents(judged))
    texts = self_supervision.queries(judged)
    asked = self_supervision.passages(encoder, texts) if texts else {}
    vectors = list(rows.values())
    scores = np.empty((len(judged.queries), len(vectors)), dtype=np.float32)
    for number, query in enumerate(judged.queries):
        ranked = rank(asked[query] if query in asked else rows[query], vectors)
        scores[number, [one.position for one in ranked]] = [one.score for one in ranked]
    return scores


def fused(first: Scores, second: Scores) -> Scores:
    """Sum of z-scores over the union of both sides' best; a document that neither proposes comes after all others."""
    result = np.full(first.shape, -np.inf, dtype=np.float32)
    for row, sides in zip(result, zip(first, second, strict=True), strict=True):
        chosen = np.unique(np.concatenate([np.argsort(-side, kind="stable")[:CANDIDATES] for side in sides]))
        row[chosen] = sum((side[chosen] - side[chosen].mean()) / (side[chosen].std() + 1e-9) for side in sides)
    return result


def ndcg(judged: Judged, scores: Scores) -> float:
    ids = [one["id"] for one in judged.documents]
    run = {}
    for query, row in zip(judged.queries, scores, strict=True):
        best = [ids[place] for place in np.argsort(-row, kind="stable")[:11]]
        run[query] = [id for id in best if not (judged.exclude_self and id == query)][:10]
    return ndcg_at_10(run, judged.qrels)


class Contenders:
    """The encoders beside docsim's, each made once, when it is first asked for."""

    def __init__(self, teacher: Path, cache: Path, vectors: Path | None) -> None:
        self.teacher, self.cache, self.vectors = teacher, cache, vectors
        self.minilm = self._made("minilm", "import", teacher)
        self.small_minilm = self._made("minilm-int8", "import", teacher, "--int8")
        self._model2vec: Any = None

    def model2vec(self, texts: list[str]) -> NDArray[np.float32]:
        if self._model2vec is None:
            from distillation import of_model2vec, states_of

            from docsim.training.distill.teacher import load_teacher

            self._model2vec = of_model2vec(states_of(load_teacher(self.teacher)))
        return np.asarray(self._model2vec.encode(texts, max_length=None), dtype=np.float32)

    def scores(self, judged: Judged, known: Iterable[str]) -> dict[str, Scores]:
        """Of those that are not known already."""
        whole = partial(by_whole_texts, judged, cache=self.cache)
        minilm, found = self.minilm, {}
        if self.vectors:
            glove = self._made("glove", "from-vectors", self.vectors)
            found["GloVe average"] = partial(whole, glove.encode, name=glove.fingerprint)
        found["model2vec"] = partial(whole, self.model2vec, name="model2vec")
        found["model2vec, by passages"] = partial(by_passages, judged, Encoding(self.model2vec))
        found["all-MiniLM-L6-v2"] = partial(whole, minilm.encode, name=minilm.fingerprint)
        return {name: score() for name, score in found.items() if name not in known}

    def _made(self, name: str, command: str, source: Path, *options: str) -> Encoder:
        out = self.cache / name
        if not out.is_dir():
            subprocess.run([DOCSIM, "encoder", command, source, "--out", out, "--quiet", *options], check=True)
        return Encoder.load(out)


def measure(judged: Judged, contenders: Contenders, encoders: dict[str, Encoder], known: Row) -> Row:
    """Return each system's nDCG@10, dense and fused."""
    words = by_bm25(judged)
    systems = contenders.scores(judged, known)
    systems |= {name: by_passages(judged, encoder) for name, encoder in encoders.items()}
    found = {"BM25": {"alone": ndcg(judged, words)}, **known}
    for name, scores in systems.items():
        found[name] = {"alone": ndcg(judged, scores), "with BM25": ndcg(judged, fused(words, scores))}
    print(judged.name, {name: {key: round(one, 4) for key, one in row.items()} for name, row in found.items()})
    return found


def summary(sets: dict[str, Any]) -> dict[str, Any]:
    """Return means over the sets that every listed system has, and their ratios to the teacher's."""
    groups: dict[str, Sequence[str]] = {"all": tuple(sets), "knowledge bases": KNOWLEDGE_BASES, "others": OTHERS}
    table: dict[str, Any] = {}
    for group, names in groups.items():
        chosen = [name for name in names if name in sets]
        systems = list(sets[chosen[0]]["systems"]) if chosen else []
        for system in systems:
            rows = [sets[name]["systems"][system] for name in chosen if system in sets[name]["systems"]]
            if len(rows) == len(chosen):
                means = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
                table.setdefault(group, {})[system] = means
        teacher = table.get(group, {}).get("all-MiniLM-L6-v2")
        for means in table.get(group, {}).values() if teacher else ():
            means.update({f"{key}, share of MiniLM's": means[key] / teacher.get(key, means[key]) for key in [*means]})
    return table


def encoders_of(folder: Path, contenders: Contenders, *, train: bool) -> dict[str, Encoder]:
    """docsim's encoders, by what the tables call them."""
    found = {"docsim": Encoder.default(), "docsim, 128 components": Encoder.default(dim=128)}
    if train:
        found["docsim, trained"] = self_supervision.trained(folder)
        found["docsim, trained with MiniLM"] = self_supervision.trained(folder, teacher=contenders.small_minilm)
    return found


def main() -> None:
    options = asked()
    contenders = Contenders(options.teacher, options.cache, options.vectors)
    others = {name: Encoder.load(path) for name, path in (one.split("=", 1) for one in options.encoder)}
    result = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"sets": {}}
    for name in options.sets.split(","):
        judged = load(options.data / name)
        encoders = encoders_of(options.data / name, contenders, train=options.train)
        known = result["sets"].get(name, {}).get("systems", {}) if options.keep else {}
        known = {system: one for system, one in known.items() if system != "BM25" and "docsim" not in system}
        row = measure(judged, contenders, encoders | others, known)
        facts = {"documents": len(judged.documents), "queries": len(judged.queries)}
        result["encoder"] = Encoder.default().fingerprint
        result["sets"][name] = {**facts, "systems": row}
        result["means"] = summary(result["sets"])
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--vectors", type=Path, help="a GloVe file; left out without it")
    parser.add_argument("--encoder", action="append", default=[], metavar="NAME=DIR", help="another encoder to measure")
    parser.add_argument("--sets", default=",".join((*KNOWLEDGE_BASES, *OTHERS)))
    parser.add_argument("--train", action="store_true", help="train the default encoder on each set, too")
    parser.add_argument("--keep", action="store_true", help="measure only docsim, and what has no figures yet")
    parser.add_argument("--cache", type=Path, default=CACHE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
