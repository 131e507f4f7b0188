"""What an adapter recovers of a full re-index: nDCG@10 of a new encoder's queries over an old encoder's vectors.

    python benchmarks/adapter.py --data DIR [--teacher DIR] [--sets tldr,peps]

The encoders are trained by ``docsim train`` on each set without labels, with two seeds; those that are in .bench are
taken as they are. With ``--teacher`` there are two changes between encoders that share nothing: from one of 384
components, distilled from the teacher, and, on the smallest set, to the teacher itself. Every adapter is learnt from
2,000 passages drawn from all of a set. Queries are encoded by the new encoder, documents as queries too. Writes
benchmarks/results/adapter.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from judged import Judged, load
from numpy.typing import NDArray
from self_supervision import KEPT, SETS, documents, passages, queries, score, train

from docsim.adapter import TEMPERATURE, Adapter, K, agreement, learnt, procrustes
from docsim.encoder import Encoder
from docsim.upgrade import SAMPLED

RESULTS = Path(__file__).parent / "results" / "adapter.json"
MADE = KEPT.parent / "adapter"
SMALLEST = "handbook18f"
SEED = 0

Floats = NDArray[np.float32]
Map = Callable[[Floats], Floats]


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def ridge(given: Floats, wanted: Floats, strength: float = 1.0) -> Floats:
    """The matrix that brings ``given`` nearest to ``wanted``, both ``(passages, dim)``."""
    square = given.T.astype(np.float64) @ given + strength * np.eye(given.shape[1])
    return np.asarray(np.linalg.solve(square, given.T @ wanted), dtype=np.float32)


def affine(new: Floats, old: Floats, rank: int = 64) -> Map:
    """Ridge from new to old with an offset, of low rank (Drift-Adapter, EMNLP 2025, has one such)."""
    mean_new, mean_old = new.mean(0), old.mean(0)
    left, values, right = np.linalg.svd(ridge(new - mean_new, old - mean_old), full_matrices=False)
    matrix = (left[:, :rank] * values[:rank]) @ right[:rank]
    return lambda rows: unit((rows - mean_new) @ matrix + mean_old)


def perceptron(new: Floats, old: Floats) -> Map:
    """The rotation plus one hidden layer, learnt as ``docsim.adapter`` learns its matrix, in Keras."""
    import keras
    from keras import ops

    keras.utils.set_random_seed(SEED)
    width = new.shape[1]

    def loss(both: keras.KerasTensor, mapped: keras.KerasTensor) -> keras.KerasTensor:
        new, old = both[:, :width], both[:, width:]
        own = 1e4 * ops.eye(ops.shape(new)[0])
        wanted = ops.softmax(ops.matmul(new, ops.transpose(new)) / TEMPERATURE - own)
        found = ops.log_softmax(ops.matmul(mapped, ops.transpose(old)) / TEMPERATURE - own)
        return -ops.sum(wanted * found, axis=1)

    given = keras.Input((width,))
    rotation = keras.layers.Dense(old.shape[1], use_bias=False, name="rotation")
    hidden = keras.layers.Dense(256, activation="gelu")(given)
    bent = keras.layers.Dense(old.shape[1], kernel_initializer="zeros")(hidden)
    model = keras.Model(given, keras.layers.UnitNormalization()(rotation(given) + bent))
    rotation.set_weights([procrustes(new, old)])
    model.compile(keras.optimizers.Adam(1e-3), loss)
    model.fit(new, np.concatenate([new, old], axis=1), batch_size=500, epochs=50, verbose=0)
    return lambda rows: np.asarray(model(rows), dtype=np.float32)


def variants(new: Floats, old: Floats) -> dict[str, Map]:
    rotation, forward, backward = procrustes(new, old), ridge(new, old), ridge(old, new).T
    return {
        "procrustes": lambda rows: unit(rows @ rotation),
        "ridge, new to old": lambda rows: unit(rows @ forward),
        "affine of rank 64": affine(new, old),
        "ridge, old to new, transposed": lambda rows: unit(rows @ backward),
        "perceptron": perceptron(new, old),
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
            self._kept[encoder.fingerprint] = rows, {id: asked.get(id, rows.get(id)) for id in self.judged.queries}
        return self._kept[encoder.fingerprint]


def compare(embedded: Embedded, old: Encoder, new: Encoder) -> dict[str, object]:
    """One change of encoders, on one set."""
    judged = embedded.judged
    (old_rows, old_asked), (new_rows, new_asked) = embedded.of(old), embedded.of(new)
    whole_old, whole_new = np.concatenate(list(old_rows.values())), np.concatenate(list(new_rows.values()))
    shuffled = np.random.default_rng(SEED).permutation(len(whole_old))
    drawn, unseen = shuffled[:SAMPLED], shuffled[-1000:]
    started = time.perf_counter()
    adapter = learnt(whole_new[drawn], whole_old[drawn], source=new.fingerprint, target=old.fingerprint)
    seconds = time.perf_counter() - started
    full, before = score(judged, new_rows, new_asked), score(judged, old_rows, old_asked)
    row: dict[str, object] = {"full": full, "old": before, "old_share": before / full, "variants": {}}
    row |= {"dims": [old.dim, new.dim], "learning_s": seconds, "passages": len(whole_old)}
    row["agreement"] = {"learnt": adapter.agreement, "old": adapter.before}
    told = {}
    for name, mapped in {"docsim": adapter.apply, **variants(whole_new[drawn], whole_old[drawn])}.items():
        found = score(judged, old_rows, {id: mapped(rows) for id, rows in new_asked.items()})
        recall = agreement(mapped(whole_new[unseen]), whole_old[unseen], whole_new[unseen], np.arange(len(unseen)))
        told[name] = {"ndcg": found, "share": found / full, f"recall_at_{K}": recall}
    row["variants"] = told
    row |= microseconds(adapter, new, judged)
    return row


def microseconds(adapter: Adapter, new: Encoder, judged: Judged) -> dict[str, float]:
    """Medians of mapping one query, and of encoding it."""
    texts = [one.text[:100] or "empty" for one in documents(judged)[:300]]
    mapping, encoding = [], []
    for text in texts:
        started = time.perf_counter()
        rows = new.encode([text])
        encoded = time.perf_counter()
        adapter.apply(rows)
        mapping.append((time.perf_counter() - encoded) * 1e6)
        encoding.append((encoded - started) * 1e6)
    return {"mapping_us": statistics.median(mapping), "encoding_us": statistics.median(encoding)}


def trained(folder: Path, seed: int) -> Encoder:
    out = KEPT / f"{folder.name}-{seed}"
    if not (out / "manifest.json").is_file():
        train(folder / "corpus.jsonl.gz", out, seed)
    return Encoder.load(out)


def made(command: str, teacher: Path, name: str, *options: str) -> Encoder:
    out = MADE / name
    if not (out / "manifest.json").is_file():
        docsim = Path(sys.executable).with_name("docsim")
        words = [str(docsim), *command.split(), str(teacher), "--out", str(out), *options]
        subprocess.run(words, check=True)
    return Encoder.load(out)


def changes(folder: Path, teacher: Path | None) -> dict[str, tuple[Encoder, Encoder]]:
    """Old and new encoder, by what the change is called."""
    default, first, second = Encoder.default(), trained(folder, 0), trained(folder, 1)
    found = {"first training": (default, first), "training again": (first, second)}
    if teacher:
        found["other dimension"] = (made("distill --teacher", teacher, "distilled384", "--dim", "384"), first)
        if folder.name == SMALLEST:
            found["other kind"] = (default, made("encoder import", teacher, "minilm"))
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
