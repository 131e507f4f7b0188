"""Is damage told before it answers? Files of an index are altered at random, and everything is read again.

    python benchmarks/damage.py [--alterations 500]

The index has the files of a generation that is searched approximately and of one that is being built, their encoders,
words, a mapping, tokens and what was recorded of use, the report of a re-index, and the encoder that the live one was
made of. Each kind of file is altered in turn: a bit, a byte, a page or some noise, cut, moved, or another letter in the
place of one. Then an index is wrong if an answer, the report or what adapting would begin with is another than before
without a word, or if anything but one of docsim's own errors comes out; and a process may crash.
``tests/damages.py`` does the work. Writes benchmarks/results/damage.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from damages import complete  # noqa: E402
from machine import commit, machine  # noqa: E402

from docsim import Encoder  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "damage.json"
SEED = 17
PROCESSES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alterations", type=int, default=500, help="how many [%(default)s]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run([sys.executable, str(ROOT / "tests" / "tiny_encoder.py"), str(work / "encoder")], check=True)
        complete(work / "index", Encoder.load(work / "encoder"), work)
        found = surveyed(work, options.alterations)
    outcomes = Counter(one["outcome"] for one in found)
    kinds: dict[str, Counter[str]] = {}
    for one in found:
        kinds.setdefault(one["kind"], Counter())[one["outcome"]] += 1
    report = {
        "commit": commit(),
        "machine": machine({}),
        "alterations": len(found),
        "outcomes": dict(outcomes),
        "kinds": {kind: dict(counts) for kind, counts in sorted(kinds.items())},
        "wrong": [f"{one['how']}: {one['wrong']}" for one in found if one["wrong"]],
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["outcomes"]), len(kinds), "kinds", json.dumps(report["wrong"], indent=1))


def surveyed(work: Path, count: int) -> list[dict[str, Any]]:
    """Alter so often, in several processes."""
    ends = [count * part // PROCESSES for part in range(PROCESSES + 1)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = pool.map(lambda part: surveyed_in(work, part, range(ends[part], ends[part + 1])), range(PROCESSES))
        return [one for part in parts for one in part]


def surveyed_in(work: Path, part: int, numbers: range) -> list[dict[str, Any]]:
    """Make some of the alterations in a process that is started again after a crash."""
    found: list[dict[str, Any]] = []
    while len(found) < len(numbers):
        script, rest = str(ROOT / "tests" / "damages.py"), numbers[len(found) :]
        given = (work / "index", work / f"copy{part}", len(rest), SEED, rest.start)
        command = [sys.executable, script, *map(str, given)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found.append(json.loads(line))
                if len(found) % 25 == 0:
                    print(part, len(found), Counter(one["outcome"] for one in found), flush=True)
        if process.returncode:
            told = {"outcome": "crashed", "wrong": f"the process ended with {process.returncode}"}
            found.append({"kind": "unknown", "how": f"alteration {numbers[len(found)]}", **told})
    return found


if __name__ == "__main__":
    main()
