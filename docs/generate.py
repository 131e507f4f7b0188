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
    rows = [("", "measured", "ratio", "target")]
    for section, ratio, label in SPEED:
        one = found[section]["ratios"].get(ratio)
        if one is None:
            continue
        above = one.get("target_is") == "at least"
        target = f"{'at least' if above else 'at most'} {one['target']:g}" if "target" in one else ""
        rows.append((label, described(found[section]["measured"], section), f"{one['ratio']:.2f}", target))
    facts = found["machine"]
    return (
        f"{found['corpus']['documents']:,} pages (MDN, 42 MB) on {facts['cores']} cores of {facts['processor']}; "
        "medians, ratios within one run:\n\n" + table(rows)
    )


def described(measured: dict[str, dict[str, Any]], section: str) -> str:
    """Return docsim's own number in a section."""
    if section == "indexing":
        return f"{measured['docsim index']['wall_s']:.1f} s"
    if section == "cold_query":
        return f"{measured['docsim query']['wall_s']:.2f} s"
    if section == "warm_query":
        return f"p50 {measured['docsim']['p50_ms']:.1f} ms, p99 {measured['docsim']['p99_ms']:.1f} ms"
    return (
        f"{measured['docsim']['documents_per_s']:,.0f} documents/s, one text {measured['docsim']['single_ms']:.2f} ms"
    )


SPEED = (
    ("indexing", "index_to_model2vec_process", "index all of it, beside model2vec only encoding it"),
    ("indexing", "txtai_to_docsim_per_document", "txtai with all-MiniLM-L6-v2, time a document beside docsim's"),
    ("indexing", "txtai_static_to_docsim_per_document", "txtai with a static model, time a document beside docsim's"),
    ("indexing", "unchanged_to_first", "index again when nothing changed, beside the first time"),
    ("cold_query", "query_to_imports", "a query as a process, beside importing numpy, faiss and onnxruntime"),
    ("warm_query", "search_to_bare_float16_p50", "a query to an open index, beside bare encoding and FAISS"),
    ("encoding", "docsim_to_model2vec_batch", "encode in batches, beside model2vec"),
    ("encoding", "docsim_to_model2vec_single", "encode one text, beside model2vec"),
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


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as a Markdown table, the first as its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def result(name: str) -> dict[str, Any]:
    """Return a committed result."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


SECTIONS = {"speed": speed, "passages": passages}


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
