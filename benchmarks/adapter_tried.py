"""Adapters that are not linear, or ask the old encoder too, after a first training; beside the built-in one.

    python benchmarks/adapter_tried.py --data DIR [--sets tldr,peps]

The encoders are those of ``adapter.py``, and so are the 2,000 passages. Tried are: the mean of the mapped query and the
old encoder's own; a correction of the mapped query by what the map left over at the nearest passages; and the same
learnt as kernel ridge regression on all passages, or on 500 of them. Writes benchmarks/results/adapter_tried.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from adapter import SEED, Embedded, Floats, trained, unit
from judged import load
from self_supervision import SETS, score

from docsim.adapter import learnt
from docsim.encoder import Encoder
from docsim.upgrade import SAMPLED

RESULTS = Path(__file__).parent / "results" / "adapter_tried.json"
NEAREST = 20
WIDTH = 0.2  # of the kernel, in similarity
STRENGTH = 10.0
FEW = 500

Map = Callable[[Floats, Floats], Floats]
"""From the new and the old encoder's rows of a query to what is searched for."""


def nearest(mapped: Callable[[Floats], Floats], new: Floats, old: Floats) -> Map:
    """Half of what the map left over at the nearest passages is added."""
    left = old - mapped(new)

    def corrected(rows: Floats, _: Floats) -> Floats:
        similarities = rows @ new.T
        places = np.argpartition(-similarities, NEAREST - 1, axis=1)[:, :NEAREST]
        weights = np.exp(np.take_along_axis(similarities, places, 1) / 0.1)
        weights /= weights.sum(1, keepdims=True)
        return unit(mapped(rows) + 0.5 * np.einsum("ij,ijk->ik", weights, left[places]))

    return corrected


def kernel(mapped: Callable[[Floats], Floats], new: Floats, old: Floats, count: int) -> Map:
    """What the map leaves over is predicted by kernel ridge regression from similarities to ``count`` passages."""
    places = new[:count]
    similar = np.exp((new @ places.T - 1) / WIDTH).astype(np.float64)
    among = np.exp((places @ places.T - 1) / WIDTH).astype(np.float64)
    square = similar.T @ similar + STRENGTH * among + 1e-6 * np.eye(count)
    weights = np.linalg.solve(square, similar.T @ (old - mapped(new))).astype(np.float32)
    return lambda rows, _: unit(mapped(rows) + np.exp((rows @ places.T - 1) / WIDTH) @ weights)


def compare(embedded: Embedded, old: Encoder, new: Encoder) -> dict[str, object]:
    judged = embedded.judged
    (old_rows, old_asked), (new_rows, new_asked) = embedded.of(old), embedded.of(new)
    whole_old, whole_new = np.concatenate(list(old_rows.values())), np.concatenate(list(new_rows.values()))
    drawn = np.random.default_rng(SEED).permutation(len(whole_old))[:SAMPLED]
    some_new, some_old = whole_new[drawn], whole_old[drawn]
    mapped = learnt(some_new, some_old, source=new.fingerprint, target=old.fingerprint).apply
    maps: dict[str, Map] = {
        "old encoder": lambda _, rows: rows,
        "docsim": lambda rows, _: mapped(rows),
        "mean with the old encoder's": lambda rows, before: unit(mapped(rows) + before),
        "corrected by the nearest": nearest(mapped, some_new, some_old),
        "corrected by kernel ridge": kernel(mapped, some_new, some_old, SAMPLED),
        f"the same, {FEW} passages": kernel(mapped, some_new, some_old, FEW),
    }
    full = score(judged, new_rows, new_asked)
    told = {}
    for name, one in maps.items():
        found = score(judged, old_rows, {id: one(rows, old_asked[id]) for id, rows in new_asked.items()})
        told[name] = {"share": found / full, "mapping_us": microseconds(one, whole_new[:300], whole_old[:300])}
    return {"full": full, "variants": told}


def microseconds(one: Map, new: Floats, old: Floats) -> float:
    """The median of mapping one query; what the old encoder takes for it is not in it."""
    taken = []
    for place in range(len(new)):
        started = time.perf_counter()
        one(new[place : place + 1], old[place : place + 1])
        taken.append((time.perf_counter() - started) * 1e6)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=SETS)
    options = parser.parse_args()
    rows = []
    for name in options.sets.split(","):
        embedded = Embedded(load(options.data / name))
        rows.append({"set": name, **compare(embedded, Encoder.default(), trained(options.data / name, 0))})
        print(json.dumps(rows[-1]), flush=True)
        RESULTS.write_text(json.dumps({"sampled": SAMPLED, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
