"""What do processes of their own cost or save when files are converted? Seconds to read a folder of real files.

    python benchmarks/converting.py --data DIR [--rounds 3]

Every file below ``DIR/formats`` is read three ways, one way after the other in each round: in this process, in one
process that converts, and in as many as ``docsim index`` starts. The processes start anew each time. Writes
benchmarks/results/converting.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from machine import commit, machine

from docsim.errors import SourceError
from docsim.ingest import conversion_pool, file_names, formats

RESULTS = Path(__file__).parent / "results" / "converting.json"
WAYS = ("here", "one process", "as many as cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the folder formats")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # what a process of this script does
    options = parser.parse_args()
    files = [one for one in sorted((options.data / "formats").rglob("*")) if is_document(one)]
    if options.way:
        print(json.dumps(read(files, options.way)))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--data", str(options.data), "--way", way]
            seconds[way].append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    found = {
        "files": len(files),
        "converted": sum(conversion_pool.is_apart(file_names.suffix(one.name)) for one in files),
        "seconds": {way: round(statistics.median(each), 2) for way, each in seconds.items()},
        "seconds_of_each_round": {way: [round(one, 2) for one in each] for way, each in seconds.items()},
    }
    print(json.dumps(found, indent=1))
    found |= {"commit": commit(), "machine": machine({})}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def is_document(file: Path) -> bool:
    return file.is_file() and file_names.suffix(file.name).lower() in formats.SUFFIXES


def read(files: list[Path], way: str) -> float:
    """Read all files, as ``docsim index`` does: some ahead; return the seconds that it took."""
    began = time.perf_counter()
    if way == "as many as cores":
        ahead = [conversion_pool.Ahead(partial(content, file, apart=True)) for file in files]
        for one in ahead:
            one.start()
        for one in ahead:
            one.result()
    else:
        for file in files:
            content(file, apart=way == "one process")
    return time.perf_counter() - began


def content(file: Path, *, apart: bool) -> None:
    reader = conversion_pool.read if apart else formats.read
    try:
        reader(file.read_bytes(), file_names.suffix(file.name), file.name)
    except SourceError as error:
        print(f"{file.name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
