"""Is anything lost when docsim is killed? Kills at random moments, with SIGKILL, SIGTERM and SIGINT in turns.

    python benchmarks/kills.py [--kills 50] [--only JOB ...]

Each job of ``tests/kill_jobs.py`` (first index, sync, removal, also by ``docsim rm``, approximate index, re-index,
rollback, prune, upgrading at once, publishing that, publishing what training left, repair, forgetting a source, backup,
restore) is killed so often, at any time until its end. After each kill the index has to open, verify as sound, hold one
of the states that the job may leave and answer from it; then the job is run again and has to finish.
``tests/test_faults.py`` does the work. Writes benchmarks/results/kills.json: for each job how many runs were killed
before they had ended, by which signals, and what was found to be wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from kill_jobs import JOBS  # noqa: E402
from machine import commit, machine  # noqa: E402
from test_faults import kills  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "kills.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="kills of each job [%(default)s]")
    parser.add_argument("--only", nargs="*", choices=tuple(JOBS), help="only these jobs; others stay as they are")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["jobs"] if options.only else {}
    with tempfile.TemporaryDirectory() as work:
        encoder = Path(work) / "encoder"
        subprocess.run([sys.executable, str(ROOT / "tests" / "tiny_encoder.py"), str(encoder)], check=True)
        for job in options.only or JOBS:
            (folder := Path(work) / job).mkdir()
            trials = kills(job, encoder, folder, random_kills=options.kills)
            killed = Counter(one["at"] for one in trials if one["killed"])
            found[job] = {
                "runs": len(trials),
                "killed": dict(killed),
                "problems": [one["problem"] for one in trials if one["problem"]],
            }
            print(job, json.dumps(found[job]), flush=True)
    total = sum(sum(one["killed"].values()) for one in found.values())
    report = {"commit": commit(), "machine": machine({}), "killed": total, "jobs": found}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{total} kills, {sum(len(one['problems']) for one in found.values())} problems")


if __name__ == "__main__":
    main()
