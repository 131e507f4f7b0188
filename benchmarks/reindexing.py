"""What changing the encoder of an index costs, beside indexing it and beside an idle machine.

    python benchmarks/reindexing.py --data DIR [--rounds 3] [--scale] [--quick]

A first indexing of mdn, a training on it, and then in turns: first indexing beside re-indexing with the trained
encoder, the gate and its report included; queries in a loop in a second process, idle beside during a re-index; going
back and forth between two generations; pruning. With --scale the 46,888 documents of scale/win32 are re-indexed too,
for the memory that takes. Writes benchmarks/results/reindexing.json; with --quick, on a few documents, nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from speed_processes import Run, in_turn, median, ratio, run, summary
from speed_samples import count_documents, queries, write_sample

RESULTS = Path(__file__).parent / "results" / "reindexing.json"
DOCSIM = Path(sys.executable).with_name("docsim")
INDEX, REINDEX = "docsim index", "docsim reindex"
READING_S = 15
TIMES = 9  # that going back and forth is timed

Section = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    work: Path
    corpus: Path
    rounds: int

    @property
    def trained(self) -> Path:
        return self.work / "trained"

    def index(self, number: int) -> Path:
        return self.work / f"index-{number}"


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        CHILDREN[sys.argv[2]](*sys.argv[3:])
        return
    given = options()
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        source = given.data / "dev" / "mdn" / "corpus.jsonl.gz"
        corpus = write_sample(source, Path(work) / "corpus.jsonl.gz", 1500) if given.quick else source
        bench = Bench(Path(work), corpus, given.rounds)
        before = os.getloadavg()
        found: Section = {"documents": count_documents(corpus), "cores": os.cpu_count(), "load_before": before}
        found |= {section.__name__: section(bench) for section in (times, reading, publishing, pruning)}
        if given.scale:
            found["scale"] = scale(bench, given.data / "scale" / "win32" / "corpus.jsonl.gz")
        elif RESULTS.is_file():
            found |= {name: part for name, part in json.loads(RESULTS.read_text()).items() if name == "scale"}
        found["load_after"] = os.getloadavg()
    print(json.dumps(found, indent=1))
    if not given.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/mdn/corpus.jsonl.gz")
    parser.add_argument("--work", type=Path, help="where indexes are made  [the system's temporary folder]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", action="store_true", help="re-index scale/win32 too")
    parser.add_argument("--quick", action="store_true", help="1,500 documents, and write nothing")
    return parser.parse_args()


def index(bench: Bench, number: int) -> Run:
    return run([DOCSIM, "index", bench.corpus, "--index", bench.index(number), "--quiet"])


def reindex(path: Path, encoder: Path) -> list[str | Path]:
    return [DOCSIM, "reindex", "--index", path, "--encoder", encoder, "--force", "--quiet"]


def times(bench: Bench) -> Section:
    """Measure whole processes: first indexing, and re-indexing of what it made."""
    index(bench, 0)
    run([DOCSIM, "train", "--index", bench.index(0), "--out", bench.trained, "--time-limit", "60", "--quiet"])
    runs = in_turn(
        {
            INDEX: lambda number: index(bench, number + 1),
            REINDEX: lambda number: run(reindex(bench.index(number + 1), bench.trained)),
        },
        bench.rounds,
    )
    measured = {name: summary(each) for name, each in runs.items()}
    walls = {name: [one.wall_s for one in each] for name, each in runs.items()}
    cpus = {name: [one.cpu_s for one in each] for name, each in runs.items()}
    return {
        "measured": measured,
        "to_first_indexing": ratio(walls[REINDEX], walls[INDEX], target=0.7),
        "to_first_indexing_cpu": ratio(cpus[REINDEX], cpus[INDEX], target=None),
    }


def reading(bench: Bench) -> Section:
    """Ask in a loop from a second process: nothing else going on, and during a re-index of the same index."""
    path = bench.index(0)
    idle = read(bench, path, [sys.executable, "-c", f"import time; time.sleep({READING_S})"])
    busy = read(bench, path, reindex(path, bench.trained))
    found: Section = {"idle": idle, "during_a_reindex": busy}
    return found | {"ratio_of_p50": {"ratio": round(busy["p50_ms"] / idle["p50_ms"], 3), "target": 3}}


def read(bench: Bench, path: Path, beside: list[str | Path]) -> Section:
    """Return what a reader measured while another process ran."""
    stop = bench.work / "stop"
    stop.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--child", "read", path, bench.corpus, stop]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()  # it is warm
        run(beside)
        stop.touch()
        answer: Section = json.loads(reader.communicate()[0])
    return answer


def publishing(bench: Bench) -> Section:
    """Time going back and forth between two generations in one process, beside opening the index."""
    answer = run([sys.executable, __file__, "--child", "publish", bench.index(0)]).answer
    return {name: {"ms": value, "target": 50} if name != "opening" else {"ms": value} for name, value in answer.items()}


def pruning(bench: Bench) -> Section:
    """Time the removal of the generation that is not live."""
    before = size(bench.index(0))
    done = run([DOCSIM, "prune", "--keep", "1", "--index", bench.index(0), "--quiet"])
    return {"wall_s": done.wall_s, "mb_before": before, "mb_after": size(bench.index(0))}


def size(path: Path) -> float:
    return round(sum(file.stat().st_size for file in path.rglob("*")) / 1e6, 1)


def scale(bench: Bench, corpus: Path) -> Section:
    """Measure the memory that re-indexing many documents takes, beside the vectors themselves."""
    path = bench.work / "scale"
    first = run([DOCSIM, "index", corpus, "--index", path, "--quiet"])
    again = run(reindex(path, bench.trained))
    status = subprocess.run([DOCSIM, "status", "--index", path, "--json"], capture_output=True, check=True, text=True)
    facts = json.loads(status.stdout)
    return {
        "documents": facts["documents"],
        "passages": facts["passages"],
        "vectors_mb": round(facts["passages"] * facts["encoder"]["dim"] * 2 / 1e6, 1),
        INDEX: summary([first]),
        REINDEX: summary([again]),
    }


def child_read(path: str, corpus: str, stop: str) -> None:
    """Ask until there is a file ``stop``; any error ends it, and with it the benchmark."""
    from docsim.index import Index

    texts = queries(Path(corpus), 500)
    seconds: list[float] = []
    generations: set[int] = set()
    with Index.open(path) as opened:
        for text in texts[:100]:
            opened.search(text)
        print("warm", flush=True)
        while not Path(stop).exists():
            started = time.perf_counter()
            result = opened.search(texts[len(seconds) % len(texts)])
            seconds.append(time.perf_counter() - started)
            assert len(result.hits) == 10, result
            generations.add(result.generation)
    seconds.sort()
    p50, p99 = (1000 * seconds[int(len(seconds) * share)] for share in (0.5, 0.99))
    told = {"queries": len(seconds), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "worst_ms": 1000 * seconds[-1]}
    print(json.dumps(told | {"generations": sorted(generations)}))


def child_publish(path: str) -> None:
    from docsim.index import Index
    from docsim.reindex import generations

    def timed(act: Any) -> float:
        started = time.perf_counter()
        act()
        return 1000 * (time.perf_counter() - started)

    def opened() -> None:
        with Index.open(path) as index:
            index.search("a word")

    there_and_back = [1, 2] * TIMES
    opening = median([timed(opened) for _ in range(TIMES)])
    with Index.open(path) as index:
        rollback = median([timed(partial(generations.rollback, index, to=number)) for number in there_and_back])
        with index.engine.rebuilder(wait=False) as rebuilder:
            publish = median([timed(partial(rebuilder.publish, one, lambda: 0)) for one in there_and_back])
    print(json.dumps({"opening": opening, "rollback": rollback, "publish": publish}))


CHILDREN: dict[str, Callable[..., None]] = {"read": child_read, "publish": child_publish}


if __name__ == "__main__":
    main()
