"""Run every benchmark, one after the other; what cannot run is left out with a sentence that says why.

    python benchmarks/run.py --data DIR [--teacher MODEL] [--quick] [--only speed,passages]

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
    """A script beside this one: what it is given, which set it needs under ``--data``, and which packages."""

    name: str
    arguments: tuple[str, ...]
    needs: str
    packages: tuple[str, ...] = ("docsim",)
    quick: bool = False


BENCHMARKS = (
    Benchmark("speed", ("--data", "{data}", "{teacher}"), "dev/mdn/corpus.jsonl.gz", quick=True),
    Benchmark("passages", ("--data", "{data}/dev"), "dev/handbook18f/corpus.jsonl.gz", ("docsim", "ir_measures")),
    Benchmark("distillation", ("--data", "{data}", "{teacher}"), "dev", ("docsim", "keras")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dev/mdn/corpus.jsonl.gz and so on")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2, handed on to what needs it")
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
    if not (given.data / benchmark.needs).exists():
        return f"it needs {given.data / benchmark.needs}; README.md says how to get or make it"
    missing = [name for name in benchmark.packages if importlib.util.find_spec(name) is None]
    return f"{sys.executable} has no {', '.join(missing)}; run this with .venv/bin/python" if missing else ""


def script(benchmark: Benchmark) -> Path:
    return HERE / f"{benchmark.name}.py"


def command(benchmark: Benchmark, given: argparse.Namespace) -> list[str]:
    """Return the command line, with the teacher where one is given and wanted."""
    teacher = ["--teacher", str(given.teacher)] if given.teacher else []
    arguments = [
        part
        for one in benchmark.arguments
        for part in (teacher if one == "{teacher}" else [one.format(data=given.data)])
    ]
    return [sys.executable, str(script(benchmark)), *arguments, *(["--quick"] if given.quick else [])]


if __name__ == "__main__":
    main()
