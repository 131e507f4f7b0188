"""docsim beside its peers, all in one run: indexing, cold and warm queries, recall, memory, disk and quality.

    python benchmarks/peers.py --data DIR --teacher MODEL [--only NAME ...] [--corpora NAME ...] [--rounds N] [--quick]

Prints tables and writes benchmarks/results/peers.json; README.md beside this file says what each number means. What
--only, --corpora and --sets leave out is kept as it was. With --quick everything runs on a few documents, to see that
it works, and nothing is written. Only the standard library is imported here, as in speed.py and for the same reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import speed_environments
from machine import ROOT, commit, machine
from speed_environments import OFFLINE, Peers
from speed_processes import Run, in_turn, median, run
from speed_samples import count_documents, write_sample

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "peers.json"
JOBS = HERE / "contender_jobs.py"
CORPORA = {"businesscentral": "dev/businesscentral", "win32": "scale/win32"}
SETS = ("handbook18f", "medline")
WHOLE = 2500
"""A transformer indexes a whole corpus of at most so many documents, else a sample of it."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A peer with one model.

    ``environment`` is empty for docsim's own; ``model`` is ``static``, ``onnx``, ``teacher``, ``imported`` or
    ``default``; only the first and the last are fast enough to encode a large corpus.
    """

    name: str
    environment: str
    kind: str
    model: str

    @property
    def fast(self) -> bool:
        return self.model in ("default", "static")


MINILM, STATIC = "all-MiniLM-L6-v2", "static"
CONTENDERS = (
    Contender("docsim", "", "docsim", "default"),
    Contender(f"txtai, {STATIC}", "txtai", "txtai", "static"),
    Contender(f"txtai hybrid, {STATIC}", "txtai", "txtai-hybrid", "static"),
    Contender(f"llm, {STATIC}", "llm", "llm", "static"),
    Contender(f"Chroma, {STATIC}", "chroma", "chroma", "static"),
    Contender(f"vicinity, {STATIC}", "vicinity", "vicinity", "static"),
    Contender(f"vicinity HNSW, {STATIC}", "vicinity", "vicinity-hnsw", "static"),
    Contender(f"sentence-transformers + FAISS, {STATIC}", "sentence", "sentence-transformers", "static"),
    Contender(f"FAISS flat, {STATIC}", "faiss", "faiss", "static"),
    Contender(f"FAISS HNSW, {STATIC}", "faiss", "faiss-hnsw", "static"),
    Contender(f"txtai, {MINILM}", "txtai", "txtai", "teacher"),
    Contender(f"llm, {MINILM}", "llm", "llm", "teacher"),
    Contender(f"Chroma, {MINILM}", "chroma", "chroma", "onnx"),
    Contender(f"sentence-transformers + FAISS, {MINILM}", "sentence", "sentence-transformers", "teacher"),
    Contender(f"docsim, {MINILM}", "", "docsim", "imported"),
)


@dataclass(frozen=True)
class Bench:
    """What is measured, with what, in a folder that goes away afterwards."""

    contenders: tuple[Contender, ...]
    peers: Peers
    cache: Path
    work: Path
    rounds: int
    whole: int
    sample: int
    quick: bool

    def job(self, contender: Contender, job: str, subject: Path, *, number: int = 0, more: Iterable[str] = ()) -> Run:
        """Run a job of one contender, on the index that its round of this number makes."""
        python = self.peers.interpreters[contender.environment] if contender.environment else Path(sys.executable)
        words = (python, JOBS, job, contender.kind, self.model(contender), self.index(contender, number), subject)
        return run([*words, *more], OFFLINE)

    def model(self, contender: Contender) -> str | Path:
        models: dict[str, str | Path] = {
            "default": "default",
            "imported": self.cache / "minilm-docsim",
            "static": self.peers.static,
            "teacher": self.peers.teacher,
            "onnx": self.peers.onnx,
        }
        return models[contender.model]

    def index(self, contender: Contender, number: int = 0) -> Path:
        return self.work / f"{contender.kind}-{contender.model}-{number}"


def main() -> None:
    given = options()
    given.cache.mkdir(parents=True, exist_ok=True)
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() and not given.quick else {}
    try:
        chosen, peers = prepared(given)
        known = found.get("machine", {}).get("peers", {})
        found["machine"] = machine(peers.measured()) | {"commit": commit()}
        found["machine"]["peers"] = known | found["machine"]["peers"]
        asked = [(measure, given.data / CORPORA[name], given.rounds) for name in given.corpora]
        asked += [(measure_quality, given.data / "dev" / name, 1) for name in given.sets]
        for measuring, data, rounds in asked:
            with tempfile.TemporaryDirectory(dir=given.cache) as work:
                measuring(bench_of(given, chosen, peers, Path(work), rounds), data, found, save=not given.quick)
    except RuntimeError as error:
        sys.exit(str(error))
    if given.quick:
        print(json.dumps(found, indent=1))
        print("\nA quick run: nothing was written, and the numbers mean nothing.")


def bench_of(given: argparse.Namespace, chosen: tuple[Contender, ...], peers: Peers, work: Path, rounds: int) -> Bench:
    rounds = 1 if given.quick else rounds
    return Bench(chosen, peers, given.cache.resolve(), work, rounds, given.whole, given.sample, given.quick)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/ and scale/")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where the peers' environments are kept")
    parser.add_argument("--torch", default=speed_environments.TORCH, help="what pip installs as the peers' torch")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each fast contender [%(default)s]")
    parser.add_argument(
        "--whole", type=int, default=WHOLE, help="a transformer indexes so many documents ... [%(default)s]"
    )
    parser.add_argument("--sample", type=int, default=500, help="... and of a larger corpus so many [%(default)s]")
    parser.add_argument(
        "--only", nargs="+", help="only contenders of this name, or whose name holds it: docsim, static"
    )
    parser.add_argument("--corpora", nargs="*", choices=CORPORA, default=list(CORPORA), help="what to time [all]")
    parser.add_argument("--sets", nargs="*", default=list(SETS), help="judged sets besides, for quality alone")
    parser.add_argument("--quick", action="store_true", help="a few documents, and write nothing")
    return parser.parse_args()


def prepared(given: argparse.Namespace) -> tuple[tuple[Contender, ...], Peers]:
    """Return the chosen contenders, and what they need, made where it is missing.

    Raises:
        RuntimeError: None was chosen, or something cannot be made; the message says why.
    """
    names = [one.name for one in CONTENDERS]
    wanted = [part for part in given.only or names if part in names]
    wanted += [name for part in given.only or () if part not in names for name in names if part in name]
    chosen = tuple(one for one in CONTENDERS if one.name in wanted)
    if not chosen:
        raise RuntimeError(f"expected --only with names, or parts of names, of: {'; '.join(names)}")
    needed = {one.environment for one in chosen if one.environment} | {"distill"}
    needed |= {"sentence"} if any(one.model == "onnx" for one in chosen) else set()
    cache = given.cache.resolve()
    peers = speed_environments.prepare(cache, given.teacher, given.torch, sorted(needed))
    if any(one.model == "imported" for one in chosen) and not (cache / "minilm-docsim").is_dir():
        docsim = Path(sys.executable).with_name("docsim")
        run([docsim, "encoder", "import", peers.teacher, "--out", cache / "minilm-docsim"])
    return chosen, peers


def measure(bench: Bench, folder: Path, found: Found, *, save: bool) -> None:
    """Measure all contenders on one corpus, step by step, and add what each step found, so that no step is lost."""
    corpus, name = set_up(bench, folder), folder.name
    kept = found.setdefault("corpora", {}).setdefault(name, {"contenders": {}})
    kept["documents"] = count_documents(corpus)
    print(f"{name}: {kept['documents']} documents", file=sys.stderr)
    for step in (indexing, cold, warm, recall):
        facts = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "load": round(os.getloadavg()[0], 1)}
        for contender, numbers in step(bench, corpus).items():
            kept["contenders"].setdefault(contender, {})[step.__name__] = numbers | facts
        write(found, save=save)
    if (folder / "set.json").is_file() and not bench.quick:
        add_quality(bench, folder, found, save=save)


def set_up(bench: Bench, folder: Path) -> Path:
    """Return the corpus to measure: all of it, or a little when it has to be quick."""
    source = folder / "corpus.jsonl.gz"
    return write_sample(source, bench.work / "corpus.jsonl.gz", 120) if bench.quick else source


def sample(bench: Bench, corpus: Path) -> Path:
    """Return what transformers index: the corpus itself where it is small."""
    if count_documents(corpus) <= bench.whole:
        return corpus
    return write_sample(corpus, bench.work / "sample.jsonl.gz", bench.sample)


def fast_and_slow(bench: Bench, corpus: Path) -> list[tuple[tuple[Contender, ...], int]]:
    """Return the contenders that hold the whole corpus and how many rounds they get: slow ones get one."""
    fast = tuple(one for one in bench.contenders if one.fast)
    slow = tuple(one for one in bench.contenders if not one.fast and count_documents(corpus) <= bench.whole)
    return [(fast, bench.rounds), (slow, 1)]


def turns(bench: Bench, corpus: Path, ask: Callable[[Contender, int], Run], spare: int = 0) -> dict[str, list[Run]]:
    """Run something for all that hold the whole corpus, in turn, so many more times than there are rounds."""
    runs: dict[str, list[Run]] = {}
    for contenders, rounds in fast_and_slow(bench, corpus):
        contestants = {one.name: partial(ask, one) for one in contenders}
        runs |= in_turn(contestants, rounds + spare)
    return {name: each for name, each in runs.items() if each}


def indexing(bench: Bench, corpus: Path) -> dict[str, Found]:
    """Index as a process; the rate leaves out starting it, loading the model and reading the documents."""
    runs = turns(bench, corpus, lambda one, number: bench.job(one, "index", corpus, number=number))
    if count_documents(corpus) > bench.whole:
        few = sample(bench, corpus)
        slow = [one for one in bench.contenders if not one.fast]

        def once(one: Contender, _: int) -> Run:
            return bench.job(one, "index", few)

        runs |= in_turn({one.name: partial(once, one) for one in slow}, 1)
    return {one.name: index_numbers(bench, one, runs[one.name]) for one in bench.contenders}


def index_numbers(bench: Bench, contender: Contender, runs: list[Run]) -> Found:
    documents = runs[0].answer["documents"]
    return {
        "indexed": documents,
        "rounds": len(runs),
        "index_s": median([one.answer["index_s"] for one in runs]),
        "documents_per_s": round(documents / median([one.answer["index_s"] for one in runs]), 1),
        "documents_per_s_of_each_round": [round(documents / one.answer["index_s"], 1) for one in runs],
        "index_cpu_s": median([one.cpu_s for one in runs]),
        "index_peak_mb": median([one.peak_mb for one in runs]),
        "disk_mb": round(size(bench.index(contender)) / 1e6, 2),
    }


def size(folder: Path) -> int:
    """Return the bytes of all files under a folder, or of a file."""
    files = [folder] if folder.is_file() else folder.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def cold(bench: Bench, corpus: Path) -> dict[str, Found]:
    """Start a process, load the model, open the index and ask it once; the first run fills the page cache."""
    runs = turns(bench, corpus, lambda one, number: bench.job(one, "cold", corpus), spare=1)
    return {name: {"cold_s": median([one.wall_s for one in each[1:]])} for name, each in runs.items()}


def warm(bench: Bench, corpus: Path) -> dict[str, Found]:
    """Ask an open index one short query after the other, then many in one call."""
    more = ("--count", "20" if bench.quick else "300")
    runs = turns(bench, corpus, lambda one, number: bench.job(one, "warm", corpus, more=more))
    return {
        name: {
            "queries": each[0].answer["queries"],
            "p50_ms": round(1000 * median([one.answer["p50_s"] for one in each]), 3),
            "p99_ms": round(1000 * median([one.answer["p99_s"] for one in each]), 3),
            "p50_ms_of_each_round": [round(1000 * one.answer["p50_s"], 3) for one in each],
            "queries_per_s": round(median([one.answer["queries_per_s"] for one in each]), 1),
            "query_peak_mb": median([one.peak_mb for one in each]),
        }
        for name, each in runs.items()
    }


def recall(bench: Bench, corpus: Path) -> dict[str, Found]:
    """Compare what each index finds by embeddings with an exact search of the same embeddings."""
    found = {}
    for contenders, _ in fast_and_slow(bench, corpus):
        for one in contenders:
            if one.kind != "txtai-hybrid":
                answer = bench.job(one, "recall", corpus, more=("--count", "20" if bench.quick else "100")).answer
                found[one.name] = {"recall": round(answer["recall"], 4), "recall_queries": answer["queries"]}
    return found


def measure_quality(bench: Bench, folder: Path, found: Found, *, save: bool) -> None:
    """Index a judged set with every contender that can hold it whole, and add how good its answers are."""
    corpus = folder / "corpus.jsonl.gz"
    if bench.quick or not corpus.is_file():
        print(f"{folder.name} is left out", file=sys.stderr)
        return
    turns(bench, corpus, lambda one, number: bench.job(one, "index", corpus, number=number))
    add_quality(bench, folder, found, save=save)


def add_quality(bench: Bench, folder: Path, found: Found, *, save: bool) -> None:
    """Ask the judged queries of a set that every contender has indexed, and add nDCG@10."""
    kept = found.setdefault("quality", {}).setdefault(folder.name, {})
    for contenders, _ in fast_and_slow(bench, folder / "corpus.jsonl.gz"):
        for one in contenders:
            ranked = bench.work / "run.json"
            bench.job(one, "judged", folder, more=("--run", str(ranked)))
            kept[one.name] = round(run([sys.executable, HERE / "judged.py", folder, ranked]).answer["ndcg"], 4)
            print(f"  {folder.name}  {one.name:<48} {kept[one.name]:.3f}", file=sys.stderr)
            write(found, save=save)


def write(found: Found, *, save: bool) -> None:
    if save:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
