"""Run every benchmark, one after the other; what cannot run is left out with a sentence that says why.

    python benchmarks/run.py --data DIR [--teacher MODEL] [--peer-python PYTHON] [--quick] [--only speed,passages]

Only the standard library is imported here. Each benchmark is a process of its own and writes its own file to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A script beside this one.

    ``data`` is the folder under ``--data`` that it is given, ``file`` what has to be in there. Of the options in
    ``wanted`` it is handed those that are given, and it cannot run without those in ``needed``.
    """

    name: str
    data: str
    file: str
    packages: tuple[str, ...] = ("docsim",)
    needed: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    quick: bool = False


BENCHMARKS = (
    Benchmark("speed", ".", "dev/mdn/corpus.jsonl.gz", wanted=("teacher",), quick=True),
    Benchmark("reindexing", ".", "dev/mdn/corpus.jsonl.gz", ("docsim", "keras"), quick=True),
    Benchmark("peers", ".", "dev/businesscentral/corpus.jsonl.gz", needed=("teacher",), quick=True),
    Benchmark("passages", "dev", "handbook18f/corpus.jsonl.gz", ("docsim", "ir_measures")),
    Benchmark("hybrid", "dev", "handbook18f/corpus.jsonl.gz", ("docsim", "keras", "bm25s", "Stemmer")),
    Benchmark("short_queries", "dev", "mdn/corpus.jsonl.gz", ("docsim", "ir_measures")),
    Benchmark("distillation", "dev", "handbook18f/corpus.jsonl.gz", ("docsim", "keras", "model2vec"), ("teacher",)),
    Benchmark("self_supervision", "dev", "tldr/corpus.jsonl.gz", ("docsim", "keras"), wanted=("teacher",)),
    Benchmark("adapter", "dev", "tldr/corpus.jsonl.gz", ("docsim", "keras"), wanted=("teacher",)),
    Benchmark("incremental", "dev", "tldr/corpus.jsonl.gz", ("docsim", "keras")),
    Benchmark("gate_calibration", "dev", "tldr/corpus.jsonl.gz", ("docsim", "keras")),
    Benchmark("questions", "dev", "sumo_firefox/corpus.jsonl.gz", wanted=("teacher",)),
    Benchmark("filters", ".", "", quick=True),
    Benchmark("typing_errors", ".", "dev/sumo_firefox/corpus.jsonl.gz", quick=True),
    Benchmark("opening", ".", "scale/win32/corpus.jsonl.gz", quick=True),
    Benchmark("serving", ".", "dev/mdn/corpus.jsonl.gz", ("docsim", "uvicorn", "psutil"), quick=True),
    Benchmark("scale", ".", "scale/win32/corpus.jsonl.gz", quick=True),
    Benchmark("quality", "dev", "handbook18f/corpus.jsonl.gz", ("docsim", "keras", "bm25s", "model2vec"), ("teacher",)),
    Benchmark("duplicates", ".", "dev/tldr/corpus.jsonl.gz"),
    Benchmark("extraction", "formats", "", ("docsim", "lxml", "mammoth", "pypdfium2")),
    Benchmark("topics", "dev", "kubernetes/corpus.jsonl.gz", ("docsim", "sklearn")),
    Benchmark("bulk_embedding", ".", "dev/mdn/corpus.jsonl.gz", ("docsim", "ray", "pyarrow"), quick=True),
    Benchmark("imported", ".", "dev", ("docsim", "keras"), ("teacher", "peer_python")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/mdn/corpus.jsonl.gz and so on")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2, handed on to what needs it")
    parser.add_argument("--peer-python", help="interpreter of an environment with torch and sentence-transformers")
    parser.add_argument("--quick", action="store_true", help="only what has a quick form, to see that it works")
    parser.add_argument("--only", help="names of benchmarks, separated by commas")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else [one.name for one in BENCHMARKS]
    failed = [one.name for one in BENCHMARKS if one.name in names and not finished(one, given)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def finished(benchmark: Benchmark, given: argparse.Namespace) -> bool:
    """Run a benchmark; return False only when it failed."""
    obstacle = what_is_missing(benchmark, given)
    if obstacle:
        print(f"{benchmark.name} is left out: {obstacle}", flush=True)
        return True
    print(f"{benchmark.name}", flush=True)
    return subprocess.run(command(benchmark, given), check=False).returncode == 0


def what_is_missing(benchmark: Benchmark, given: argparse.Namespace) -> str:
    """Return why a benchmark cannot run, or nothing."""
    if not script(benchmark).is_file():
        return f"there is no {script(benchmark).name}"
    if given.quick and not benchmark.quick:
        return "it has no quick form"
    file = given.data / benchmark.data / benchmark.file
    if not file.exists():
        return f"it needs {file}; README.md says how to get or make it"
    options = [flag(name) for name in benchmark.needed if getattr(given, name) is None]
    if options:
        return f"it needs {' and '.join(options)}"
    packages = [name for name in benchmark.packages if importlib.util.find_spec(name) is None]
    return f"{sys.executable} has no {', '.join(packages)}; run this with .venv/bin/python" if packages else ""


def script(benchmark: Benchmark) -> Path:
    return HERE / f"{benchmark.name}.py"


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def command(benchmark: Benchmark, given: argparse.Namespace) -> list[str]:
    """Return the command line, with those options that the benchmark knows and that are given."""
    words = [sys.executable, str(script(benchmark)), "--data", str(given.data / benchmark.data)]
    for name in (*benchmark.needed, *benchmark.wanted):
        if getattr(given, name) is not None:
            words += [flag(name), str(getattr(given, name))]
    return [*words, "--quick"] if given.quick else words


if __name__ == "__main__":
    main()
