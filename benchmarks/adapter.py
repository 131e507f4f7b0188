"""What an adapter recovers of a full re-index: nDCG@10 of a new encoder's queries over an old encoder's vectors.

    python benchmarks/adapter.py --data DIR [--teacher DIR] [--sets tldr,peps]

The encoders are trained by ``docsim train`` on each set without labels, with two seeds; those that are in .bench are
taken as they are. Another change is from 128 components of the default encoder and, with ``--teacher`` and on the
smallest set, from the default encoder to a transformer. Every map is learned from 2,000 passages drawn from all of a
set: of the old vectors into the new space, as docsim does, or of the new queries into the old space. Queries are
encoded by the new encoder, documents as queries too. Writes benchmarks/results/adapter.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from judged import Judged, load
from numpy.typing import NDArray
from self_supervision import KEPT, SETS, documents, passages, queries, score, trained

from docsim.encoding.alignment import Alignment, K, agreement, fitted, learned, procrustes
from docsim.encoding.encoder import Encoder
from docsim.reindex.instant import SAMPLED

RESULTS = Path(__file__).parent / "results" / "adapter.json"
MADE = KEPT.parent / "adapter" / "imported"
SMALLEST = "handbook18f"
SEED = 0
FEW = 500

Floats = NDArray[np.float32]
Map = Callable[[Floats], Floats]


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def ridge(given: Floats, wanted: Floats, strength: float = 1.0) -> Floats:
    """The matrix that brings ``given`` nearest to ``wanted``, both ``(passages, dim)``."""
    square = given.T.astype(np.float64) @ given + strength * np.eye(given.shape[1])
    return np.asarray(np.linalg.solve(square, given.T @ wanted), dtype=np.float32)


def affine(given: Floats, wanted: Floats, rank: int = 64) -> Map:
    """Ridge with an offset, of low rank (Drift-Adapter, EMNLP 2025, has one such)."""
    mean_given, mean_wanted = given.mean(0), wanted.mean(0)
    left, values, right = np.linalg.svd(ridge(given - mean_given, wanted - mean_wanted), full_matrices=False)
    matrix = (left[:, :rank] * values[:rank]) @ right[:rank]
    return lambda rows: unit((rows - mean_given) @ matrix + mean_wanted)


def perceptron(given: Floats, wanted: Floats) -> Map:
    """The rotation plus one hidden layer, learned in Keras to come near the wanted embeddings."""
    import keras

    keras.utils.set_random_seed(SEED)
    rows = keras.Input((given.shape[1],))
    rotation = keras.layers.Dense(wanted.shape[1], use_bias=False, name="rotation")
    hidden = keras.layers.Dense(1024, activation="gelu")(rows)
    bent = keras.layers.Dense(wanted.shape[1], kernel_initializer="zeros")(hidden)
    model = keras.Model(rows, keras.layers.UnitNormalization()(rotation(rows) + bent))
    rotation.set_weights([procrustes(given, wanted)])
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.CosineSimilarity())
    model.fit(given, wanted, batch_size=100, epochs=50, verbose=0)
    return lambda rows: np.asarray(model.predict(rows, batch_size=4096, verbose=0), dtype=np.float32)


def variants(old: Floats, new: Floats) -> dict[str, tuple[Map | None, Map | None]]:
    """Other adapters: what maps the old vectors, and what maps the new queries; None where they stay as they are."""
    rotation, back, few = procrustes(old, new), ridge(new, old), Alignment("", "", *fitted(old[:FEW], new[:FEW]))
    return {
        "queries, rotation": (None, lambda rows: unit(rows @ rotation.T)),
        "queries, ridge": (None, lambda rows: unit(rows @ back)),
        "queries, affine of rank 64": (None, affine(new, old)),
        "queries, kernel": (None, Alignment("", "", *fitted(new, old)).apply),
        "vectors, rotation": (lambda rows: unit(rows @ rotation), None),
        "vectors, perceptron": (perceptron(old, new), None),
        f"vectors, kernel of {FEW}": (few.apply, None),
    }


class Embedded:
    """A set's passages and queries under each encoder, embedded once."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self._kept: dict[str, tuple[dict[str, Floats], dict[str, Floats]]] = {}

    def of(self, encoder: Encoder) -> tuple[dict[str, Floats], dict[str, Floats]]:
        if encoder.fingerprint not in self._kept:
            rows = passages(encoder, documents(self.judged))
            texts = queries(self.judged)
            asked = passages(encoder, texts) if texts else {}
            self._kept[encoder.fingerprint] = (
                rows,
                {id: asked[id] if id in asked else rows[id] for id in self.judged.queries},
            )
        return self._kept[encoder.fingerprint]


def compare(embedded: Embedded, old: Encoder, new: Encoder) -> dict[str, object]:
    """One change of encoders, on one set."""
    judged = embedded.judged
    (old_rows, old_asked), (new_rows, new_asked) = embedded.of(old), embedded.of(new)
    whole_old, whole_new = np.concatenate(list(old_rows.values())), np.concatenate(list(new_rows.values()))
    shuffled = np.random.default_rng(SEED).permutation(len(whole_old))
    drawn, unseen = shuffled[:SAMPLED], shuffled[-1000:]
    started = time.perf_counter()
    adapter = learned(whole_old[drawn], whole_new[drawn], source=old.fingerprint, target=new.fingerprint)
    learned_in = time.perf_counter()
    adapter.apply(whole_old)
    mapped_in = time.perf_counter()
    full, before = score(judged, new_rows, new_asked), score(judged, old_rows, old_asked)
    row: dict[str, object] = {"full": full, "old": before, "old_share": before / full, "dims": [old.dim, new.dim]}
    row |= {"learning_s": learned_in - started, "mapping_s": mapped_in - learned_in, "passages": len(whole_old)}
    row["agreement"] = {"learned": adapter.agreement, "old": adapter.before}
    told = {}
    maps = {"docsim": (adapter.apply, None), **variants(whole_old[drawn], whole_new[drawn])}
    for name, (vectors, asking) in maps.items():
        rows = {id: vectors(one) for id, one in old_rows.items()} if vectors else old_rows
        asked = {id: asking(one) for id, one in new_asked.items()} if asking else new_asked
        found = score(judged, rows, asked)
        here = vectors(whole_old[unseen]) if vectors else whole_old[unseen]
        recall = agreement(asking(whole_new[unseen]) if asking else whole_new[unseen], here, whole_new[unseen])
        told[name] = {"ndcg": found, "share": found / full, f"recall_at_{K}": recall}
    return row | {"variants": told}


def imported(teacher: Path) -> Encoder:
    if not (MADE / "manifest.json").is_file():
        docsim = Path(sys.executable).with_name("docsim")
        subprocess.run([str(docsim), "encoder", "import", str(teacher), "--out", str(MADE)], check=True)
    return Encoder.load(MADE)


def changes(folder: Path, teacher: Path | None) -> dict[str, tuple[Encoder, Encoder]]:
    """Old and new encoder, by what the change is called."""
    default, first, second = Encoder.default(), trained(folder, 0), trained(folder, 1)
    found = {"first training": (default, first), "training again": (first, second)}
    found["other dimension"] = (Encoder.load(default.path, dim=128), first)
    if teacher and folder.name == SMALLEST:
        found["other kind"] = (default, imported(teacher))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, help="a sentence-transformers directory")
    parser.add_argument("--sets", default=SETS)
    options = parser.parse_args()
    rows = []
    for name in options.sets.split(","):
        embedded = Embedded(load(options.data / name))
        for change, (old, new) in changes(options.data / name, options.teacher).items():
            rows.append({"set": name, "change": change, **compare(embedded, old, new)})
            print(json.dumps(rows[-1]), flush=True)
            RESULTS.write_text(json.dumps({"sampled": SAMPLED, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
