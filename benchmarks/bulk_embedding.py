"""What encoding in bulk costs: in this process, in processes, and on Ray with one node and with two, on the same cores.

    python benchmarks/bulk_embedding.py --data DIR [--documents 1500] [--rounds 3] [--shard 32] [--quick]

Documents of mdn are indexed with the fast encoder. Then, in turns, all passages are encoded with the accurate one by
``docsim embed`` in processes, on Ray with a cluster of its own, and on a cluster of two nodes that is there; and
the index is re-indexed by ``docsim reindex``, with and without what was encoded before. ``per_s`` counts whole runs.
``steady_per_s`` leaves out the start: it counts the passages of the files that were finished after each worker had
finished one. Writes benchmarks/results/bulk_embedding.json; with --quick, on a few documents, nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from machine import machine
from speed_processes import Run, in_turn, median, run
from speed_samples import write_sample

from docsim import offline

RESULTS = Path(__file__).parent / "results" / "bulk_embedding.json"
DOCSIM = (sys.executable, "-c", "from docsim.cli import run; run()")
POOL, ONE_NODE, TWO_NODES = "processes", "Ray, one node", "Ray, two nodes"
PLAIN, LOADED = "docsim reindex", "docsim reindex --from"

CLUSTER = """
import os, sys
from ray.cluster_utils import Cluster
cores = int(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cores - cores // 2 + 1, "include_dashboard": False})
cluster.add_node(num_cpus=cores // 2)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


def main() -> None:
    given = options()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        bench = Bench(Path(work), cores, given.shard)
        bench.make(given.data / "dev" / "mdn" / "corpus.jsonl.gz", 100 if given.quick else given.documents)
        before = os.getloadavg()
        runs = in_turn(bench.contenders(), given.rounds)
        found = {"cores": cores, "shard": given.shard, "load_before": before, "load_after": os.getloadavg()}
        found |= bench.report(runs) | {"machine": machine({})}
        if not given.quick:
            found["sizes"] = sizes(given.data / "dev" / "mdn" / "corpus.jsonl.gz", given.index or Path(work) / "whole")
    print(json.dumps(found, indent=1))
    if not given.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/mdn/corpus.jsonl.gz")
    parser.add_argument("--work", type=Path, help="where indexes are made  [the system's temporary folder]")
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard", type=int, default=32, help="documents in a shard")
    parser.add_argument("--index", type=Path, help="an index of all of mdn, with the fast encoder  [made]")
    parser.add_argument("--quick", action="store_true", help="100 documents, and write nothing")
    return parser.parse_args()


@contextmanager
def two_nodes(work: Path, cores: int) -> Iterator[str]:
    """Keep a cluster of two nodes on this machine, with one CPU more than there are cores, for Ray itself."""
    offline.before_ray()
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(cores)], text=True, cwd=work,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


class Bench:
    """An index, and what is done with it."""

    def __init__(self, work: Path, cores: int, shard: int) -> None:
        self.work, self.cores, self.shard = work, cores, shard
        self.steady: dict[str, list[float]] = {}

    def make(self, corpus: Path, documents: int) -> None:
        sample = write_sample(corpus, self.work / "corpus.jsonl.gz", documents)
        run([*DOCSIM, "index", sample, "--index", self.work / "index", "--encoder", "fast", "-q"])

    def contenders(self) -> dict[str, Callable[[int], Run]]:
        on_ray = ("--on", "ray")
        return {
            POOL: partial(self.embed, POOL, ("--on", "processes")),
            ONE_NODE: partial(self.embed, ONE_NODE, on_ray),
            TWO_NODES: self.embed_on_two_nodes,
            PLAIN: partial(self.reindex, ()),
            LOADED: partial(self.reindex, ("--from", self.folder(POOL))),
        }

    def folder(self, name: str) -> Path:
        return self.work / name.replace(", ", "-").replace(" ", "-")

    def embed(self, name: str, how: tuple[str, ...], number: int) -> Run:
        shutil.rmtree(self.folder(name), ignore_errors=True)
        same = ("--encoder", "accurate", "--workers", str(self.cores), "--shard", str(self.shard), "-q")
        done = run([*DOCSIM, "embed", "--index", self.work / "index", "--out", self.folder(name), *same, *how])
        self.steady.setdefault(name, []).append(self.rate(self.folder(name)))
        return done

    def embed_on_two_nodes(self, number: int) -> Run:
        with two_nodes(self.work, self.cores) as address:
            return self.embed(TWO_NODES, ("--on", "ray", "--address", address), number)

    def rate(self, folder: Path) -> float:
        """Return how many passages a second were encoded once every worker was at work."""
        paths = sorted(folder.rglob("*.arrow"), key=lambda path: path.stat().st_mtime)
        first, last = paths[self.cores - 1].stat().st_mtime, paths[-1].stat().st_mtime
        return sum(len(table(path)) for path in paths[self.cores :]) / max(last - first, 1e-9)

    def reindex(self, how: tuple[str | Path, ...], number: int) -> Run:
        copy = self.work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.work / "index", copy)
        return run([*DOCSIM, "reindex", "--index", copy, "--encoder", "accurate", "--force", "-q", *how])

    def report(self, runs: dict[str, list[Run]]) -> dict[str, Any]:
        vectors = {name: embeddings(self.folder(name)) for name in (POOL, ONE_NODE, TWO_NODES)}
        passages = len(vectors[POOL])
        measured: dict[str, dict[str, Any]] = {
            name: {
                "wall_s": median([one.wall_s for one in each]),
                "wall_s_of_each_round": [round(one.wall_s, 2) for one in each],
                "per_s": round(passages / median([one.wall_s for one in each]), 1),
            }
            for name, each in runs.items()
        }
        for name, rates in self.steady.items():
            measured[name] |= {
                "steady_per_s": round(median(rates), 1),
                "steady_of_each_round": np.round(rates, 1).tolist(),
            }
        ratios = {
            name: {
                "whole": round(measured[name]["per_s"] / measured[POOL]["per_s"], 3),
                "steady": round(measured[name]["steady_per_s"] / measured[POOL]["steady_per_s"], 3),
                "steady_of_each_round": [
                    round(one / pool, 3) for one, pool in zip(self.steady[name], self.steady[POOL], strict=True)
                ],
            }
            for name in (ONE_NODE, TWO_NODES)
        }
        ids = {id for id, _ in vectors[POOL]}
        return {
            "documents": len(ids),
            "passages": passages,
            "measured": measured,
            "to_processes": ratios,
            "same_passages": all(one.keys() == vectors[POOL].keys() for one in vectors.values()),
            "largest_difference": max(
                float(np.abs(one[place] - vectors[POOL][place]).max()) for one in vectors.values() for place in one
            ),
        }


def sizes(corpus: Path, index: Path) -> dict[str, Any]:
    """Index all of mdn with the fast encoder, unless it is; return how many bytes each part of the index takes."""
    run([*DOCSIM, "index", corpus, "--index", index, "--encoder", "fast", "-q"])
    told = subprocess.run([*DOCSIM, "status", "--index", str(index), "--json"], capture_output=True, check=True)
    status = json.loads(told.stdout)
    with gzip.open(corpus) as text:
        length = sum(map(len, text))
    return {
        "text_mb": round(length / 1e6, 1),
        "documents": status["documents"],
        "passages": status["passages"],
        "dim": status["encoder"]["dim"],
        "database_bytes": (index / "index.db").stat().st_size,
        "words_bytes": sum(path.stat().st_size for path in index.glob("words/*.words")),
        "faiss_bytes": sum(path.stat().st_size for path in index.glob("generations/*/index.faiss")),
    }


def table(path: Path) -> Any:
    with pa.ipc.open_file(str(path)) as reader:
        return reader.read_all()


def embeddings(folder: Path) -> dict[tuple[str, int], Any]:
    """Return the embeddings in some files, float32, by document and start of the passage."""
    rows = [row for path in sorted(folder.rglob("*.arrow")) for row in table(path).to_pylist()]
    return {(row["id"], row["start"]): np.array(row["embedding"], np.float32) for row in rows}


if __name__ == "__main__":
    main()
