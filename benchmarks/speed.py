"""How fast docsim is beside what it could be compared with, all in one run, the contenders in turn.

    python benchmarks/speed.py --data DIR [--teacher MODEL] [--quick]

Prints a table and writes benchmarks/results/speed.json; README.md beside this file says what each number means. With
--quick everything runs on a few documents, to see that it works, and nothing is written. Nothing but the standard
library is imported here, because the size of this process would count as the peak memory of the ones it measures.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import speed_environments
from machine import commit, machine
from speed_environments import OFFLINE, Peers
from speed_processes import Run, in_turn, median, ratio, run, summary
from speed_samples import count_documents, write_sample

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "speed.json"
DOCSIM = Path(sys.executable).with_name("docsim")
QUERY = "how do I centre an element in its container"
IMPORTS = "import numpy, faiss, docsim.runtime, tokenizers, sqlite3, click"

INDEX = "docsim index"
AGAIN = "docsim index, nothing new"
MODEL2VEC = {"float16": "model2vec encode (float16)", "float32": "model2vec encode (float32)"}
TXTAI = "txtai, all-MiniLM-L6-v2"
TXTAI_STATIC = "txtai, static model"

Section = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured; ``documents`` is None for the whole corpus."""

    documents: int | None
    txtai: int
    sample: int
    queries: int
    rounds: int
    cold_rounds: int


FULL = Sizes(documents=None, txtai=300, sample=3000, queries=500, rounds=5, cold_rounds=11)
QUICK = Sizes(documents=600, txtai=10, sample=300, queries=60, rounds=1, cold_rounds=3)


@dataclass(frozen=True)
class Bench:
    """What every section needs: the files, in a folder that goes away afterwards, and the peers, if there are any."""

    sizes: Sizes
    work: Path
    corpus: Path
    few: Path
    sample: Path
    peers: Peers | None

    @property
    def index(self) -> Path:
        """The index that the first round makes."""
        return self.work / "index-0"


def main() -> None:
    given = options()
    given.cache.mkdir(parents=True, exist_ok=True)
    try:
        report = measured(given, prepare_peers(given))
    except RuntimeError as error:
        sys.exit(str(error))
    print_report(report)
    if given.quick:
        print("\nA quick run: nothing was written, and the numbers mean nothing.")
    else:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measured(given: argparse.Namespace, peers: Peers | None) -> Section:
    """Run every section and return all that is reported."""
    sizes = QUICK if given.quick else replace(FULL, rounds=given.rounds)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "docsim", quiet=1)  # as pip does with what it installs
    load_before, started = os.getloadavg(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.cache) as work:
        bench = set_up(given.data / "dev" / "mdn" / "corpus.jsonl.gz", sizes, Path(work), peers)
        chosen = [section for section in SECTIONS if section.__name__ in (given.only or section.__name__)]
        if indexing not in chosen:
            run(docsim_index(bench, 0))
        sections = {section.__name__: announced(section, bench) for section in chosen}
        documents = count_documents(bench.corpus)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(peers.measured() if peers else {})
        | {"load_before": load_before, "load_after": os.getloadavg()},
        "corpus": {"name": "mdn", "documents": documents, "rounds": sizes.rounds},
        "seconds": round(time.monotonic() - started),
        **(json.loads(RESULTS.read_text(encoding="utf-8")) if given.only else {}),
        **sections,
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/mdn/corpus.jsonl.gz")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2; without it the peers are left out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where the peers' environments are kept")
    parser.add_argument("--torch", default=speed_environments.TORCH, help="what pip installs as the peers' torch")
    parser.add_argument("--rounds", type=int, default=FULL.rounds, help="runs of each contender [%(default)s]")
    parser.add_argument("--only", nargs="+", help="measure these sections anew and keep the others")
    parser.add_argument("--quick", action="store_true", help="a few documents, and write nothing")
    return parser.parse_args()


def prepare_peers(given: argparse.Namespace) -> Peers | None:
    """Return the peers, or None with the reason on standard error."""
    if given.teacher is None:
        print("model2vec and txtai are left out: name a folder of all-MiniLM-L6-v2 with --teacher", file=sys.stderr)
        return None
    try:
        return speed_environments.prepare(given.cache.resolve(), given.teacher, given.torch)
    except (RuntimeError, OSError) as error:
        print(f"model2vec and txtai are left out: {error}", file=sys.stderr)
        return None


def set_up(source: Path, sizes: Sizes, work: Path, peers: Peers | None) -> Bench:
    """Write the samples that the sections read."""
    corpus = write_sample(source, work / "corpus.jsonl.gz", sizes.documents) if sizes.documents else source
    few = write_sample(corpus, work / "few.jsonl.gz", sizes.txtai)
    sample = write_sample(corpus, work / "sample.jsonl.gz", sizes.sample)
    return Bench(sizes, work, corpus, few, sample, peers)


def announced(section: Any, bench: Bench) -> Section:
    print(section.__name__.replace("_", " "), file=sys.stderr)
    found: Section = section(bench)
    return found


def indexing(bench: Bench) -> Section:
    """Measure whole processes: docsim, twice; model2vec; and txtai on fewer documents, as it takes so long."""
    contenders = {
        INDEX: lambda number: run(docsim_index(bench, number)),
        AGAIN: lambda number: run(docsim_index(bench, number)),
    }
    if bench.peers:
        contenders |= {name: peer_run(bench.peers, *job) for name, job in peer_jobs(bench, bench.peers).items()}
    runs = in_turn(contenders, bench.sizes.rounds)
    ours = [one.wall_s for one in runs[INDEX]]
    ratios = {"unchanged_to_first": ratio([one.wall_s for one in runs[AGAIN]], ours, target=0.1)}
    measured = {name: summary(each) for name, each in runs.items()}
    if bench.peers:
        documents = count_documents(bench.corpus)
        for name in MODEL2VEC.values():
            measured[name]["encode_call_s"] = median([one.answer["encode_s"] for one in runs[name]])
        for name in (TXTAI, TXTAI_STATIC):
            measured[name]["documents"] = runs[name][0].answer["documents"]
            measured[name]["documents_per_s"] = round(1 / median(per_document(runs[name])), 2)
        ratios |= model2vec_ratios(runs) | txtai_ratios(runs, documents)
        measured[INDEX]["documents_per_s"] = round(documents / median(ours), 2)
    return {"measured": measured, "ratios": ratios}


def docsim_index(bench: Bench, number: int) -> list[str | Path]:
    return [DOCSIM, "index", bench.corpus, "--index", bench.work / f"index-{number}"]


def peer_jobs(bench: Bench, peers: Peers) -> dict[str, tuple[str, ...]]:
    """Return the environment, the job, its model, its documents and its options of each peer."""
    static, corpus = str(peers.static), str(bench.corpus)
    encoders = {
        name: ("model2vec", "encode", static, corpus, "--precision", precision) for precision, name in MODEL2VEC.items()
    }
    return {
        **encoders,
        TXTAI: ("txtai", "txtai", str(peers.teacher), str(bench.few)),
        TXTAI_STATIC: ("txtai", "txtai-static", static, str(bench.sample)),
    }


def peer_run(peers: Peers, environment: str, job: str, model: str, subject: str, *more: str) -> Any:
    command = peers.command(environment, job, Path(model), Path(subject), *more)
    return lambda number: run(command, OFFLINE)


def model2vec_ratios(runs: dict[str, list[Run]]) -> Section:
    """Compare with the faster of model2vec's precisions."""
    name = min(MODEL2VEC.values(), key=lambda one: median([run.answer["encode_s"] for run in runs[one]]))
    ours, theirs = runs[INDEX], runs[name]
    wall = [one.wall_s for one in ours]
    return {
        "index_to_model2vec_process": ratio(wall, [one.wall_s for one in theirs], target=1.5) | {"against": name},
        "index_to_model2vec_encode_call": ratio(wall, [one.answer["encode_s"] for one in theirs], target=1.5)
        | {"against": name},
        "index_to_model2vec_cpu": ratio([one.cpu_s for one in ours], [one.cpu_s for one in theirs], target=None)
        | {"against": name},
    }


def txtai_ratios(runs: dict[str, list[Run]], documents: int) -> Section:
    """Compare seconds per document: docsim's whole process with txtai's indexing alone."""
    ours = [one.wall_s / documents for one in runs[INDEX]]
    return {
        "txtai_to_docsim_per_document": ratio(per_document(runs[TXTAI]), ours, target=25, at_least=True),
        "txtai_static_to_docsim_per_document": ratio(per_document(runs[TXTAI_STATIC]), ours, target=None),
    }


def per_document(runs: list[Run]) -> list[float]:
    return [one.answer["index_s"] / one.answer["documents"] for one in runs]


def cold_query(bench: Bench) -> Section:
    """Measure a query as a process beside a process that only imports what any such program would."""
    query, imports = "docsim query", "the imports alone"
    contenders = {
        query: lambda number: run([DOCSIM, "query", QUERY, "--index", bench.index]),
        imports: lambda number: run([sys.executable, "-c", IMPORTS]),
    }
    runs = {name: each[1:] for name, each in in_turn(contenders, bench.sizes.cold_rounds + 1).items()}
    ours, theirs = runs[query], runs[imports]
    ratios = {
        "query_to_imports": ratio([one.wall_s for one in ours], [one.wall_s for one in theirs], target=1.5),
        "query_to_imports_cpu": ratio([one.cpu_s for one in ours], [one.cpu_s for one in theirs], target=None),
        "query_to_imports_memory": ratio([one.peak_mb for one in ours], [one.peak_mb for one in theirs], target=None),
    }
    return {"measured": {name: summary(each) for name, each in runs.items()}, "ratios": ratios}


def warm_query(bench: Bench) -> Section:
    """Measure searches of an open index beside a bare encoder and a bare FAISS index."""
    sizes = ["--queries", str(bench.sizes.queries), "--rounds", str(bench.sizes.rounds)]
    done = run([sys.executable, HERE / "speed_docsim.py", "warm", bench.index, bench.corpus, *sizes])
    seconds: dict[str, dict[str, list[float]]] = done.answer["seconds"]
    measured = {
        name: {f"{p}_ms": round(median(rounds) * 1000, 3) for p, rounds in each.items()}
        for name, each in seconds.items()
    }
    ratios = {
        f"{ours}_to_{bare}_{p}": ratio(seconds[ours][p], seconds[bare][p], target=target)
        for ours, bare, target in (
            ("docsim_dense", "bare_float16", 3.0),
            ("docsim_dense", "bare_float32", None),
            ("docsim", "bare_float16", None),
        )
        for p in ("p50", "p99")
    }
    facts = {name: done.answer[name] for name in ("queries", "passages", "encoder", "fingerprint")}
    return {**facts, "peak_mb": median([done.peak_mb]), "measured": measured, "ratios": ratios}


def encoding(bench: Bench) -> Section:
    """Measure encoders that have encoded before: many documents in one call, and short texts one by one."""
    contenders: dict[str, Any] = {
        "docsim": lambda number: run(
            [sys.executable, HERE / "speed_docsim.py", "encode-both", bench.index, bench.sample]
        )
    }
    if bench.peers:
        static, sample = str(bench.peers.static), str(bench.sample)
        for precision, name in MODEL2VEC.items():
            job = ("model2vec", "encode-both", static, sample, "--precision", precision)
            contenders[name] = peer_run(bench.peers, *job)
    runs = in_turn(contenders, bench.sizes.rounds)
    batch = {name: [one.answer["batch_s"] for one in each] for name, each in runs.items()}
    single = {name: [median(one.answer["single_s"]) for one in each] for name, each in runs.items()}
    measured = {
        name: {
            "documents_per_s": round(runs[name][0].answer["documents"] / median(batch[name]), 1),
            "single_ms": round(median(single[name]) * 1000, 4),
            "peak_mb": median([one.peak_mb for one in runs[name]]),
        }
        for name in runs
    }
    timed = {"batch": batch, "single": single} if bench.peers else {}
    return {"measured": measured, "ratios": {f"docsim_to_model2vec_{kind}": fastest(timed[kind]) for kind in timed}}


def fastest(times: dict[str, list[float]]) -> dict[str, Any]:
    """The ratio of docsim's times to those of the fastest model2vec."""
    name = min(MODEL2VEC.values(), key=lambda one: median(times[one]))
    return {**ratio(times["docsim"], times[name], target=None), "against": name}


SECTIONS = (indexing, cold_query, warm_query, encoding)


def print_report(report: Section) -> None:
    facts = report["machine"]
    print(f"{report['corpus']['documents']} documents, {facts['cores']} cores of {facts['processor']}")
    for name in (section.__name__ for section in SECTIONS):
        print(f"\n{name.replace('_', ' ')}")
        for contender, numbers in report[name]["measured"].items():
            shown = "  ".join(f"{key} {value}" for key, value in numbers.items() if not isinstance(value, list))
            print(f"  {contender:<28} {shown}")
        for kind, found in report[name]["ratios"].items():
            print(f"  {kind:<38} {found['ratio']:>8.3f}  {verdict(found)}")


def verdict(found: Section) -> str:
    """Return the range of the rounds, what it is compared with, and whether the target was reached."""
    said = f"({found['lowest']:.3f} to {found['highest']:.3f})"
    if "target" in found:
        above = found["ratio"] >= found["target"]
        reached = above if found["target_is"] == "at least" else found["ratio"] <= found["target"]
        said += f"  target: {found['target_is']} {found['target']:g}, {'reached' if reached else 'MISSED'}"
    return said + (f"  against {found['against']}" if "against" in found else "")


if __name__ == "__main__":
    main()
