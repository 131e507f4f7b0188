"""What does one large document cost? Seconds and memory of ``docsim index`` for a single file of each kind.

    python benchmarks/bounds.py [--only "a PDF" ...] [--work DIR]

Each file is made here, of words that mean nothing, and indexed by a process of its own into a new index. A quarter of
it is indexed, too: what is linear takes about four times as much of the processor's time for four times as much. Memory
is the most that all processes together had at one time (``Pss``, looked at 50 times a second), and what each further
megabyte takes is the difference to the quarter; a megabyte is one of the file, or of what it unpacks to if that is
more. What is beyond a limit is shown with the sentence that refuses it. Writes benchmarks/results/bounds.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, machine

RESULTS = Path(__file__).parent / "results" / "bounds.json"
MEGABYTE = 1_000_000
PATIENT = ("--convert-timeout", "600")  # so that a busy machine changes nothing
ENCODER = ("--encoder", "fast")  # what a large file is encoded with; a quarter of it may get another by itself
SYLLABLES = [
    f"{start}{middle}{end}" for start in "bdfgklmnprstvz" for middle in ("a", "ei", "o", "u") for end in "lnrst"
]
WORDS = np.array([f"{one}{other}" for one in ("", *SYLLABLES) for other in SYLLABLES], object)
SHARES = 1 / np.arange(10, len(WORDS) + 10)  # as in languages: few words are frequent, most are rare


@dataclass(frozen=True)
class Kind:
    """A kind of large file: its suffix, how much of it is too large or large, and what makes so much of it."""

    suffix: str
    amount: int
    make: Callable[[int, Path], None]


@dataclass(frozen=True)
class Cost:
    """What indexing a file took: seconds, of them those of processors, memory of all processes; and what was said."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: str
    is_refused: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="only kinds whose name begins so; others stay as they are")
    parser.add_argument("--work", type=Path, help="where the files are made; 2 GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        for name, kind in KINDS.items():
            if options.only is None or name.startswith(tuple(options.only)):
                keep(name, measured(kind, Path(work)))


def keep(name: str, row: dict[str, Any]) -> None:
    """Write a row into the results, beside those of other kinds."""
    print(name, json.dumps(row, ensure_ascii=False), flush=True)
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"kinds": {}}
    kinds = found["kinds"] | {name: row}
    found["kinds"] = {name: kinds[name] for name in KINDS if name in kinds}
    found |= {"commit": commit(), "machine": machine({})}
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measured(kind: Kind, work: Path) -> dict[str, Any]:
    """Return what a file of a kind costs, beside a quarter of it and the smallest one."""
    costs, held = [], []
    for amount in (kind.amount, kind.amount // 4, 1):
        file = work / f"large{kind.suffix}"
        kind.make(amount, file)
        size = file.stat().st_size / MEGABYTE
        held.append(max(size, unpacked(file) / MEGABYTE))
        costs.append(one := indexed(file, work))
        if amount == kind.amount:
            row: dict[str, Any] = {"mb": round(size, 1), "unpacked_mb": round(unpacked(file) / MEGABYTE, 1)}
            row |= {"seconds": round(one.seconds, 2), "cpu_seconds": round(one.cpu_seconds, 2)}
            row |= {"peak_mb": round(one.peak_mb)}
        if one.is_refused:
            return row | {"refused": one.said}
    whole, quarter, least = costs
    growth = (whole.cpu_seconds - least.cpu_seconds) / max(0.05, quarter.cpu_seconds - least.cpu_seconds)
    more = (whole.peak_mb - quarter.peak_mb) / (held[0] - held[1])
    return row | {
        "times_quarter": round(growth, 2),
        "mb_more_per_mb": round(more, 2),
    }


def indexed(file: Path, work: Path) -> Cost:
    """Index a file into a new index, and say what that took."""
    with tempfile.TemporaryDirectory(dir=work) as index, tempfile.TemporaryFile("w+") as output:
        run = "from docsim.cli import run; run()"
        command = [sys.executable, "-c", run, "index", str(file), "--index", f"{index}/index", *PATIENT, *ENCODER]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        peak = 0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, sum(map(resident, (process.pid, *children(process.pid)))))
            time.sleep(0.02)
        seconds, used = time.monotonic() - began, ended[2]
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        output.seek(0)
        lines = [line.strip() for line in output if line.strip()]
    said = " ".join(lines[-1:]).replace(f"{file.parent}/", "").removeprefix("Not read: ")
    return Cost(seconds, used.ru_utime + used.ru_stime, peak / MEGABYTE, said, process.returncode != 0)


def children(parent: int) -> list[int]:
    """Return the numbers of the processes that a process has started."""
    try:
        tasks = [task / "children" for task in Path(f"/proc/{parent}/task").iterdir()]
        return [int(number) for task in tasks for number in task.read_text().split()]
    except OSError:
        return []


def resident(number: int) -> int:
    """Return the bytes of memory that a process has, with its share of what it shares; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def unpacked(file: Path) -> int:
    if not zipfile.is_zipfile(file):
        return file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        return sum(one.file_size for one in archive.infolist())


def sentences(count: int, seed: int = 0) -> Iterator[str]:
    """Yield sentences of 13 words, some 90 characters."""
    chance = np.random.default_rng(seed)
    sums = np.cumsum(SHARES) / SHARES.sum()
    for low in range(0, count, 10_000):
        for row in WORDS[np.searchsorted(sums, chance.random((min(10_000, count - low), 13)))]:
            yield " ".join(row).capitalize() + "."


def text(megabytes: int, file: Path) -> None:
    """Write paragraphs of four sentences, the same again and again beyond 100 MB; a single line for 1, the least."""
    lines = sentences((megabytes if megabytes <= 100 else 10) * 13_000 if megabytes > 1 else 1)
    block = "".join(f"{line}{' ' if number % 4 else chr(10) * 2}" for number, line in enumerate(lines))
    with file.open("w") as stream:
        left = megabytes * MEGABYTE if megabytes > 1 else 1
        while left > 0:
            left -= stream.write(block[: max(left, 200)])


def headings(count: int, file: Path) -> None:
    parts = (f"{'#' * (1 + n % 4)} {line}\n\n{line}\n\n" for n, line in enumerate(sentences(count)))
    file.write_text("".join(parts))


def sheet(rows: int, file: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet("Numbers")
    for number, line in enumerate(sentences(rows)):
        page.append([number, number / 7, *line.split()[:4]])
    book.save(file)


def pdf(pages: int, file: Path) -> None:
    """Write pages of 40 lines."""
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    lines = list(sentences(40 * pages if pages > 1 else 1))
    for page in range(pages):
        shown = "".join(f"({line}) Tj 0 -16 Td\n" for line in lines[40 * page : 40 * page + 40])
        stream = f"BT /F1 10 Tf 40 740 Td\n{shown}ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * page} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    content, offsets = io.StringIO(), []
    content.write("%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        offsets.append(content.tell())
        content.write(f"{number} 0 obj\n{body}\nendobj\n")
    start = content.tell()
    content.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n")
    content.write("".join(f"{offset:010} 00000 n \n" for offset in offsets))
    content.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n")
    file.write_text(content.getvalue())


def html(megabytes: int, file: Path) -> None:
    count = megabytes * MEGABYTE // 130 if megabytes > 1 else 1
    marks = ("<p>{}</p>", "<h2>{}</h2>", "<ul><li>{}</li></ul>", "<p><b>{}</b> <a href='x'>more</a></p>")
    body = "\n".join(marks[n % 4].format(line) for n, line in enumerate(sentences(count)))
    file.write_text(f"<html><head><title>Large</title></head><body>\n{body}\n</body></html>")


def archive(files: int, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, line in enumerate(sentences(files)):
            packed.writestr(f"folder{number % 300}/page{number}.txt", f"{line}\n{line}\n")


KINDS = {
    "text of 10 MB": Kind(".txt", 10, text),
    "text of 20 MB": Kind(".txt", 20, text),
    "text of 100 MB": Kind(".txt", 100, text),
    "text of 1 GB": Kind(".txt", 1000, text),
    "100,000 headings": Kind(".md", 100_000, headings),
    "a sheet of 50,000 rows": Kind(".xlsx", 50_000, sheet),
    "a PDF of 2,000 pages": Kind(".pdf", 2_000, pdf),
    "a PDF of 8,000 pages": Kind(".pdf", 8_000, pdf),
    "HTML of 10 MB": Kind(".html", 13, html),
    "HTML of 30 MB": Kind(".html", 40, html),
    "an archive of 100,000 files": Kind(".zip", 100_000, archive),
}


if __name__ == "__main__":
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    main()
