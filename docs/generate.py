"""Write what the documentation takes from the code: the command reference, and the numbers in the README.

python docs/generate.py           write docs/cli.md and the numbers in README.md
python docs/generate.py --check   exit with 1 if they are not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from docsim.cli import main as cli

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WIDTH = 100


def reference() -> str:
    """Return the help of every command as Markdown."""
    parts = ["# Commands\n\nWritten by `make docs` from each command's `--help`.\n"]
    for path, command in _commands(cli, ("docsim",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=WIDTH, terminal_width=WIDTH)
        with context:
            help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## {' '.join(path)}\n\n```\n{help_text}\n```\n")
    return "\n".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                found.extend(_commands(child, (*path, name)))
    return found


def speed() -> str:
    """Return the table of speeds."""
    found = result("speed")
    rows = [("", "docsim", "beside it", "ratio")]
    for label, section, ours, theirs, number, unit in SPEED:
        measured = found[section]["measured"]
        if theirs in measured:
            mine, other = (measured[name][number] for name in (ours, theirs))
            rows.append((label, f"{mine:,.2f} {unit}", f"{other:,.2f} {unit}", f"{mine / other:.2f}"))
    facts = found["machine"]
    return (
        f"{found['corpus']['documents']:,} pages (MDN, 42 MB) on {facts['cores']} cores of {facts['processor']}; "
        "medians:\n\n" + table(rows)
    )


INDEX, ENCODE, RATE = "docsim index", "model2vec encode", "documents_per_s"
# label, section, docsim's name in it, the other's, the number compared, its unit
SPEED = (
    ("index it all, beside model2vec only encoding it", "indexing", INDEX, f"{ENCODE} (float16)", "wall_s", "s"),
    ("the same, model2vec in float32", "indexing", INDEX, f"{ENCODE} (float32)", "wall_s", "s"),
    ("indexing, beside txtai with all-MiniLM-L6-v2", "indexing", INDEX, "txtai, all-MiniLM-L6-v2", RATE, "documents/s"),
    ("indexing, beside txtai with a static model", "indexing", INDEX, "txtai, static model", RATE, "documents/s"),
    ("index again, nothing new, beside the first time", "indexing", f"{INDEX}, nothing new", INDEX, "wall_s", "s"),
    (
        "a query as a process, beside its imports alone",
        "cold_query",
        "docsim query",
        "the imports alone",
        "wall_s",
        "s",
    ),
    ("a warm query, beside encoding and FAISS alone, p50", "warm_query", "docsim", "bare_float16", "p50_ms", "ms"),
    ("a warm query, beside encoding and FAISS alone, p99", "warm_query", "docsim", "bare_float16", "p99_ms", "ms"),
    ("encoding in batches, beside model2vec", "encoding", "docsim", f"{ENCODE} (float32)", RATE, "documents/s"),
    ("encoding one text, beside model2vec", "encoding", "docsim", f"{ENCODE} (float32)", "single_ms", "ms"),
)


def passages() -> str:
    """Return the table of passage lengths, contexts and document scores."""
    rows = result("passages")["rows"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    scores = [name for name, value in rows[0].items() if isinstance(value, float) and name != "seconds"]
    settings = list(dict.fromkeys((row["target"], row["overlap"], row["context"]) for row in rows))
    lines = [("characters", "overlap", "context", *scores)]
    for target, overlap, context in settings:
        these = [row for row in rows if (row["target"], row["overlap"], row["context"]) == (target, overlap, context)]
        means = [sum(row[score] for row in these) / len(these) for score in scores]
        lines.append((str(target or "whole"), str(overlap), context, *(f"{mean:.3f}" for mean in means)))
    return f"Mean nDCG@10 over {', '.join(sets)}:\n\n" + table(lines)


def hybrid() -> str:
    """Return the tables of fusions, of ways to ask for words, and of shares that corpora chose."""
    found = result("hybrid")
    parts = []
    for encoder, sets in found["fusion"].items():
        parts.append(f"nDCG@10, default encoder, {encoder}{AFTER[encoder]}:\n\n" + by_set(sets))
    parts.append("nDCG@10 by words alone, asked in other ways:\n\n" + by_set(found["terms"]["untrained"]))
    rows = [("set", "encoder", "question", *next(iter(found["probes"]["trained"].values()))["title"])]
    for encoder, sets in found["probes"].items():
        for name, kinds in sets.items():
            rows += [(name, encoder, kind, *(f"{value:.3f}" for value in row.values())) for kind, row in kinds.items()]
    heading = "Mean reciprocal rank at which a document's second half is found, by the share of words:"
    return "\n\n".join([*parts, f"{heading}\n\n{table(rows)}"])


def duplicates() -> str:
    """Return the table of what is found of duplicates, and how long it takes."""
    found = result("duplicates")
    head = ("set", "documents", "threshold", "near", "contained", "exact", "seconds")
    thresholds = list(dict.fromkeys(key for one in found["sets"].values() for key in one.get("recall", {})))
    rows = [(*head, *(f"overlap {one}" for one in thresholds))]
    for name, one in found["sets"].items():
        members = [str(one["members"].get(kind, 0)) for kind in ("near", "contained", "exact")]
        shares = (one.get("recall", {}).get(key) for key in thresholds)
        told = (f"{it['found']:.0%} of {it['documents']}, {it['alike found']:.0%}" if it else "-" for it in shares)
        facts = (name, f"{one['documents']:,}", f"{one['threshold']:.2f}", *members, f"{one['seconds']:.1f}")
        rows.append((*facts, *told))
    corpus = found["corpus"]
    text = f"Of {corpus['planted']} near-duplicates planted in the sample corpus {corpus['found']} are found, and "
    text += f"{corpus['others']} other pairs."
    for one in found["sets"].values():
        if "marked" in one:
            text += (
                f" Of {one['marked']['pairs']} pairs of bug reports that people marked as duplicates, told in other "
            )
            text += f"words, {one['marked']['in one group']} are in one group."
    return f"{table(rows)}\n\n{text}"


def topics() -> str:
    """Return the table of what topics are made from."""
    rows = [("set", "topics", "made from", "agreement with folders", "nearest dots of one colour")]
    for row in result("topics")["rows"]:
        measured = (f"{row['folders']:.2f}", f"{row['nearest dots']:.2f}")
        rows.append((row["set"], str(row["topics"]), row["from"], *measured))
    return table(rows)


AFTER = {"untrained": "", "trained": " on each set without labels"}


def by_set(sets: dict[str, dict[str, float]]) -> str:
    """Return a table with a column for each set and a row for each name, and the mean."""
    names = list(next(iter(sets.values())))
    rows = [("", *sets, "mean")]
    for name in names:
        values = [row[name] for row in sets.values()]
        rows.append((name, *(f"{value:.3f}" for value in values), f"{sum(values) / len(values):.3f}"))
    return table(rows)


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as a Markdown table, the first as its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def result(name: str) -> dict[str, Any]:
    """Return a committed result."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


SECTIONS = {"speed": speed, "passages": passages, "hybrid": hybrid, "duplicates": duplicates, "topics": topics}


def filled(text: str) -> str:
    """Return a document with each ``<!-- begin NAME -->`` ... ``<!-- end NAME -->`` filled from its results."""
    for name, section in SECTIONS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin in text and (RESULTS / f"{name}.json").is_file():
            before, rest = text.split(begin)
            text = f"{before}{begin}\n{section()}\n{end}{rest.split(end)[1]}"
    return text


def outputs() -> dict[Path, str]:
    """Return what each generated file should hold."""
    documents = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md")]
    found = {path: filled(path.read_text(encoding="utf-8")) for path in documents}
    return {ROOT / "docs" / "cli.md": reference(), **found}


def main() -> None:
    """Write the files, or check them."""
    stale = [path for path, text in outputs().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date; write it with: make docs")
        sys.exit(1 if stale else 0)
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
