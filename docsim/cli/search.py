"""``docsim query`` and ``docsim similar``: ask an index."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docsim.cli import options
from docsim.cli.subjects import file_named, subject
from docsim.errors import UsageError
from docsim.index import Index
from docsim.models import Document, Hit, SearchResult

if TYPE_CHECKING:
    from docsim.analysis.explain import Explanation

__all__ = ["query", "similar"]

_TOGETHER = 256
"""Queries of a batch that are encoded together."""

_ESCAPED = {ord(one): repr(one)[1:-1] for one in "\t\n\r"}
"""How ids are written that would break a line, or its columns, apart."""

_SNIPPET = 240
"""Characters of the best passage that a table shows."""


@click.command(
    epilog="""\b
Examples:
  docsim query "how do I claim a train ticket"
  docsim query "rotate a certificate" -k 3 --json
  docsim query "rotate a certificate" --in security --where "status != 'outdated' and updated > '2026-01-01'"
  docsim query ERR_CONN_REFUSED --mode lexical       by its words only, such as an error's code
  docsim query "parental leave" --diversity 0.3      less of the same
  docsim query "parental leave" --group-by team      the best of each team (a metadata field)
  docsim query "parental leave" --offset 10          the next page
  cat questions.txt | docsim query - --json          one question a line, one JSON object a line
  docsim query --batch questions.jsonl --json        lines with "id" and "text"
"""
)
@click.argument("text", required=False)
@click.option("--batch", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSONL file of queries.")
@options.index_option
@options.hits
@options.mode
@options.filters
@options.ranking
@options.explain
@options.as_json
@options.output
def query(text: str | None, batch: Path | None, **given: Any) -> None:
    """Find the documents most like TEXT; with - one query a line is read from standard input."""
    if (text is None) == (batch is None):
        raise UsageError("expected either TEXT or --batch FILE, got " + ("both" if text else "neither"))
    with Index.open(options.index_directory(given["index_path"])) as index:
        if batch is not None:
            with batch.open("rb") as lines:
                _answer_all(index, _batch_queries(lines, batch), given)
        elif text == "-":
            texts = (line.decode("utf-8", "replace").strip() for line in sys.stdin.buffer)
            _answer_all(index, ((None, one) for one in texts if one), given)
        else:
            result = index.search(str(text), **options.asked(given))
            _print(index, result, _reasons(index, Document("query", str(text)), result, given), given)


@click.command(
    epilog="""\b
Examples:
  docsim similar people/annual-leave.md             an indexed document, by its id
  docsim similar ~/drafts/new-leave-policy.docx     any file
  docsim similar draft.md --min-similarity 0.7      only what is very much like it
  pandoc notes.odt -t markdown | docsim similar -   any text
"""
)
@click.argument("document")
@options.index_option
@options.hits
@options.mode
@options.filters
@options.ranking
@options.explain
@options.as_json
@options.output
def similar(document: str, **given: Any) -> None:
    """Find the documents most like DOCUMENT: an indexed id, the path of any file, or - for standard input."""
    with Index.open(options.index_directory(given["index_path"])) as index:
        _similar(index, document, given)


def _similar(index: Index, document: str, given: dict[str, Any]) -> None:
    asked_for = subject(index, document)
    if isinstance(asked_for, str):
        result = index.similar(asked_for, **options.asked(given))
    else:
        file = file_named(document) if document != "-" else None
        result = index.similar_to(asked_for, file=file, **options.asked(given))
    _print(index, result, _reasons(index, asked_for, result, given), given)


def _reasons(index: Index, asked_for: str | Document, result: SearchResult, given: dict[str, Any]) -> list[Explanation]:
    """Return why each hit is one, if that is asked for."""
    return [index.explain(asked_for, hit.id, pairs=1) for hit in result.hits] if given["explain"] else []


def _batch_queries(lines: Iterable[bytes], path: Path) -> Iterator[tuple[str | None, str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig"))
            id, text = record.get("id"), record["text"]
        except (ValueError, KeyError, TypeError, AttributeError):
            id, text = None, None
        if not isinstance(text, str) or not text.strip() or not isinstance(id, str | int | None):
            raise UsageError(
                f'expected an object with a "text", and an "id" or none, on each line; got something else at '
                f"{path}:{number}"
            )
        yield (None if id is None else str(id)), text


def _answer_all(index: Index, queries: Iterable[tuple[str | None, str]], given: dict[str, Any]) -> None:
    numbered = enumerate(queries, start=1)
    while chunk := list(islice(numbered, _TOGETHER)):
        results = index.search_many([text for _, (_, text) in chunk], **options.asked(given))
        for (number, (id, text)), result in zip(chunk, results, strict=True):
            reasons = _reasons(index, Document("query", text), result, given)
            if given["as_json"]:
                head = {"id": id} if id is not None else {}
                click.echo(json.dumps(head | _shown(result, reasons), ensure_ascii=False))
            else:
                _table(index, result, reasons, given, question=(id or str(number), text))


def _print(index: Index, result: SearchResult, reasons: list[Explanation], given: dict[str, Any]) -> None:
    if given["as_json"]:
        click.echo(json.dumps(_shown(result, reasons), ensure_ascii=False, indent=2))
    else:
        _table(index, result, reasons, given)


def _shown(result: SearchResult, reasons: list[Explanation]) -> dict[str, Any]:
    """Return an answer as it is written to JSON."""
    shown = asdict(result)
    for hit, reason in zip(shown["hits"], reasons, strict=False):
        hit["explain"] = asdict(reason)
    return shown


def _table(
    index: Index,
    result: SearchResult,
    reasons: list[Explanation],
    given: dict[str, Any],
    *,
    question: tuple[str, str] | None = None,
) -> None:
    """Print a readable answer; to a pipe, one tab-separated line a hit, what carries it last if it is explained.

    ``question`` is the name and the text of one of several; to a pipe, its name comes first on each line.
    """
    words = [", ".join(_telling(reason)) for reason in reasons]
    if not result.hits:
        click.echo(f"Nothing found: {_nothing(index, given)}.", err=True)
    if not sys.stdout.isatty():
        _lines(result, words, question[0] if question else None)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if question:
        console.print(Text(" ".join(question[1].split())), style="bold", no_wrap=True, overflow="ellipsis")
    if result.hits:
        console.print(_rows(result, words))
    for line in () if given["quiet"] else _footnotes(result):
        console.print(line, style="dim")


def _rows(result: SearchResult, words: Sequence[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right", style="cyan")
    table.add_column()
    for hit, carried in zip_longest(result.hits, words):
        described = _described(hit, Text())
        if carried:
            described.append(f"\n{carried}", style="green")
        table.add_row(str(hit.rank), _measured(hit, Text()), described)
    return table


def _nothing(index: Index, given: dict[str, Any]) -> str:
    """Return why nothing was found: most likely a field's name was misspelt, where no document has such a field."""
    if not index.counts().documents:
        return "the index holds no documents"
    from docsim.filters.condition import Exists, fields
    from docsim.filters.where import wanted

    condition = wanted(**options.filtered(given))
    asked = fields(condition) if condition else ()
    with index.engine.snapshot() as snapshot:
        unknown = [".".join(field) for field in asked if not snapshot.matching(Exists(field))]
    return f"no document has a field {' or '.join(unknown)}" if unknown else "no document qualifies"


def _footnotes(result: SearchResult) -> Iterator[str]:
    through = ", the new encoder through an adapter" if result.adapter else ""
    yield f"{len(result.hits)} documents in {result.took_ms:.0f} ms, {result.mode}{through}"
    if result.hits:
        yield "Under each similarity: how many of 100 random pairs are less similar."


def _lines(result: SearchResult, words: Sequence[str], name: str | None) -> None:
    for hit, carried in zip_longest(result.hits, words):
        fields = [str(hit.rank), f"{hit.similarity:.3f}", hit.id, " ".join(hit.title.split()), carried]
        click.echo("\t".join(one.translate(_ESCAPED) for one in (name, *fields) if one is not None))


def _measured(hit: Hit, text: Any) -> Any:
    """Write a hit's similarity, and its percentile, never rounded up, below."""
    text.append(f"{hit.similarity:.2f}")
    if hit.percentile is not None:
        text.append(f"\n{math.floor(10 * hit.percentile) / 10:.1f}", style="dim")
    return text


def _described(hit: Hit, text: Any) -> Any:
    best = " ".join(hit.passages[0].text.split())
    text.append(hit.title or hit.id, style="bold")
    text.append(f"  {hit.id}\n", style="dim")
    return text.append(best if len(best) <= _SNIPPET else best[:_SNIPPET].rsplit(" ", 1)[0] + " ...")


def _telling(reason: Explanation) -> list[str]:
    from docsim.analysis.explain import telling_words

    return list(telling_words(reason.pairs[0].b))
