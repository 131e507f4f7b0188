"""``docsim query`` and ``docsim similar``: ask an index."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from docsim.cli import options
from docsim.errors import UsageError
from docsim.index import Index
from docsim.records import Document, Hit, SearchResult

__all__ = ["query", "similar"]

_TOGETHER = 256
"""Queries of a batch that are encoded together."""

_SNIPPET = 240
"""Characters of the best passage that a table shows."""


@click.command(
    epilog="""\b
Examples:
  docsim query "how do I claim a train ticket"
  docsim query "rotate a certificate" -k 3 --json
  cat questions.txt | docsim query - --json          one question a line, one JSON object a line
  docsim query --batch questions.jsonl --json        lines with "id" and "text"
"""
)
@click.argument("text", required=False)
@click.option("--batch", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSONL file of queries.")
@options.index_option
@options.hits
@options.mode
@options.ranking
@options.as_json
@options.output
def query(text: str | None, batch: Path | None, **given: Any) -> None:
    """Find the documents most like TEXT; with - one query a line is read from standard input."""
    if (text is None) == (batch is None):
        raise UsageError("expected either TEXT or --batch FILE, got " + ("both" if text else "neither"))
    with Index.open(options.index_directory(given["index_path"])) as index:
        if batch is not None:
            with batch.open(encoding="utf-8") as lines:
                _answer_all(index, _batch_queries(lines, batch), given)
        elif text == "-":
            _answer_all(
                index,
                ((None, line.strip()) for line in sys.stdin if line.strip()),
                given,
            )
        else:
            _print(index.search(str(text), **options.asked(given)), given)


@click.command(
    epilog="""\b
Examples:
  docsim similar people/annual-leave.md             an indexed document, by its id
  docsim similar ~/drafts/new-leave-policy.docx     any file
  pandoc notes.odt -t markdown | docsim similar -   any text
"""
)
@click.argument("document")
@options.index_option
@options.hits
@options.mode
@options.ranking
@options.as_json
@options.output
def similar(document: str, **given: Any) -> None:
    """Find the documents most like DOCUMENT: an indexed id, the path of any file, or - for standard input."""
    with Index.open(options.index_directory(given["index_path"])) as index:
        _print(_similar(index, document, options.asked(given)), given)


def _similar(index: Index, document: str, asked: dict[str, Any]) -> SearchResult:
    if document == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
        return index.similar_to(Document("-", text), **asked)
    if index.has(document):
        return index.similar(document, **asked)
    path = _file(document)
    if path is None:
        raise UsageError(f"expected an id in {index.path}, the path of a file, or -; got {document!r}")
    from docsim.sources import read_document

    return index.similar_to(read_document(path), file=path, **asked)


def _file(name: str) -> Path | None:
    """Return the file of this name, or None when there is none or there cannot be one."""
    try:
        path = Path(name).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user
        return None


def _batch_queries(lines: IO[str], path: Path) -> Iterator[tuple[str | None, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            yield (str(record["id"]) if "id" in record else None), str(record["text"])
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f'expected an object with "text" on each line, got something else at {path}:{number}'
            ) from None


def _answer_all(index: Index, queries: Iterable[tuple[str | None, str]], given: dict[str, Any]) -> None:
    queries = iter(queries)
    while chunk := list(islice(queries, _TOGETHER)):
        results = index.search_many([text for _, text in chunk], **options.asked(given))
        for (id, _), result in zip(chunk, results, strict=True):
            if given["as_json"]:
                head = {"id": id} if id is not None else {}
                click.echo(json.dumps(head | asdict(result), ensure_ascii=False))
            else:
                _table(result, quiet=given["quiet"])


def _print(result: SearchResult, given: dict[str, Any]) -> None:
    if given["as_json"]:
        click.echo(json.dumps(asdict(result), ensure_ascii=False, indent=2))
    else:
        _table(result, quiet=given["quiet"])


def _table(result: SearchResult, *, quiet: bool) -> None:
    """Print a readable answer; to a pipe, one tab-separated line a hit."""
    if not sys.stdout.isatty():
        for hit in result.hits:
            click.echo(f"{hit.rank}\t{hit.similarity:.3f}\t{hit.id}\t{hit.title}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right", style="cyan")
    table.add_column()
    for hit in result.hits:
        table.add_row(str(hit.rank), f"{hit.similarity:.2f}", _described(hit, Text()))
    console = Console()
    console.print(table if result.hits else "Nothing is indexed yet.")
    if not quiet:
        console.print(f"{len(result.hits)} documents in {result.took_ms:.0f} ms", style="dim")


def _described(hit: Hit, text: Any) -> Any:
    best = " ".join(hit.passages[0].text.split())
    text.append(hit.title or hit.id, style="bold")
    text.append(f"  {hit.id}\n", style="dim")
    return text.append(best if len(best) <= _SNIPPET else best[:_SNIPPET].rsplit(" ", 1)[0] + " ...")
