"""What incremental re-embedding could save: how much of an encoder a retraining leaves as it was.

    python benchmarks/incremental.py --data DIR [--sets tldr,peps]

The encoders are those of adapter.py: the default one and two that ``docsim train`` made of it on each set without
labels. A row is a token's vector times its weight, as the tower keeps it. It is unchanged when it is the same bit by
bit, and nearly so when its cosine with the old one is above 0.999 and its length within 1 %. Passages count as
unchanged when every token in them is; how far embeddings move is told by their cosine, old to new, both in the space
that training started from. Writes benchmarks/results/incremental.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from judged import load
from numpy.typing import NDArray
from self_supervision import SETS, documents, trained
from tokenizers import Tokenizer

from docsim.encoding.encoder import TOKENIZER_FILE, Encoder
from docsim.ingest.passages import inputs, split
from docsim.reindex.instant import SAMPLED
from docsim.training.towers.average import token_vectors
from docsim.training.towers.saving import load as load_parts

RESULTS = Path(__file__).parent / "results" / "incremental.json"
THRESHOLDS = (0.99, 0.999, 0.9999)

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def rows_of(encoder: Encoder) -> Floats:
    return token_vectors(load_parts(encoder.path).tower)


def nearly(old: Floats, new: Floats) -> Mask:
    lengths = [np.maximum(np.linalg.norm(rows, axis=1), 1e-12) for rows in (old, new)]
    cosines = (old * new).sum(axis=1) / lengths[0] / lengths[1]
    alike = (cosines > 0.999) & (np.abs(lengths[1] / lengths[0] - 1) < 0.01)
    return np.asarray(alike | ((old == 0) & (new == 0)).all(axis=1), dtype=bool)


def compare(texts: list[str], tokens: list[NDArray[np.int64]], old: Encoder, new: Encoder) -> dict[str, object]:
    before, after = rows_of(old), rows_of(new)
    used = np.zeros(len(before), bool)
    for ids in tokens:
        used[ids] = True
    same, near = (before == after).all(axis=1), nearly(before, after)
    drawn = np.random.default_rng(0).permutation(len(texts))[:SAMPLED]
    some = [texts[i] for i in drawn]
    cosines = (old.encode(some) * new.encode(some)).sum(axis=1)
    return {
        "tokens": len(before),
        "tokens_in_corpus": int(used.sum()),
        "rows_unchanged": float(same.mean()),
        "rows_in_corpus_unchanged": float(same[used].mean()),
        "rows_in_corpus_nearly_unchanged": float(near[used].mean()),
        "passages": len(texts),
        "passages_unchanged": float(np.mean([bool(same[ids].all()) for ids in tokens])),
        "passages_nearly_unchanged": float(np.mean([bool(near[ids].all()) for ids in tokens])),
        "cosine_median": float(np.median(cosines)),
        "cosine_5th_percentile": float(np.percentile(cosines, 5)),
        "cosine_above": {str(limit): float((cosines > limit).mean()) for limit in THRESHOLDS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=SETS)
    options = parser.parse_args()
    default, rows = Encoder.default(), []
    tokenizer = Tokenizer.from_file(str(default.path / TOKENIZER_FILE))
    tokenizer.no_truncation()
    for name in options.sets.split(","):
        folder = options.data / name
        texts = [text for one in documents(load(folder)) for text in inputs(one, split(one.text))]
        read = tokenizer.encode_batch(texts, add_special_tokens=False)
        tokens = [np.array(one.ids[: default.max_tokens], dtype=np.int64) for one in read]
        first, second = trained(folder, 0), trained(folder, 1)
        for change, pair in {"first training": (default, first), "training again": (first, second)}.items():
            rows.append({"set": name, "change": change, **compare(texts, tokens, *pair)})
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
