"""``docsim query`` and ``docsim similar``: search an index."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict

import click

from docsim.cli import chosen_index, options
from docsim.cli.arguments import file_named, subject
from docsim.cli.last_answer import remember
from docsim.cli.options import SearchOptions
from docsim.cli.output import Output, echo, print_json, warn
from docsim.cli.streams import chunks
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index
from docsim.jobs import freshness
from docsim.models import Document, SearchResult
from docsim.search import highlighting
from docsim.text.control_characters import json_text, visible
from docsim.text.matching import Matcher

if TYPE_CHECKING:
    from docsim.analysis.explain import Explanation

__all__ = ["query", "similar"]

_TOGETHER = 256
"""Queries of a batch that are encoded together."""

_READ = 2_000
"""Characters of a document whose words are marked in what is similar to it."""

_SHORT = 500
"""Characters of a text that is a question, of which all sentences of an answer are compared with it."""

_ESCAPED = {ord(one): repr(one)[1:-1] for one in "\t\n\r"}
"""How characters are written that would break a line, or its columns, apart."""

_fold = click.option(
    "--fold/--no-fold",
    default=True,
    show_default=True,
    help="On a terminal, show hits that say the same in the same words as one. JSON and pipes get each of them.",
)


@click.command(
    epilog="""\b
Examples:
  docsim query "how do I claim a train ticket"
  docsim query rotate a certificate -k 3 --json
  docsim query "rotate a certificate" --in security --where "status != 'outdated' and updated > '2026-01-01'"
  docsim query ERR_CONN_REFUSED --mode lexical       by shared words only, such as an error code
  docsim query '"parental leave" -draft title:guide'  these words in a row, not that word, this word in the title
  docsim query "parental leave" --diversity 0.3      fewer hits that resemble each other
  docsim query "parental leave" --group-by team      the best hit of each team (a metadata field)
  docsim query "parental leave" --offset 10          the next page
  cat questions.txt | docsim query - --json          one query per line, one JSON object per line
  docsim query --batch questions.jsonl --json        lines with "id" and "text"
"""
)
@click.argument("text", nargs=-1)
@click.option(
    "--batch", type=options.existing_file, help='JSONL file of queries, each with a "text" and maybe an "id".'
)
@click.option("--plain", is_flag=True, help="Take TEXT as it is: read no operators in it, and correct no words.")
@chosen_index.index_option
@options.search
@_fold
@options.output
def query(
    text: tuple[str, ...],
    batch: Path | None,
    plain: bool,
    index_path: Path | None,
    search: SearchOptions,
    fold: bool,
    output: Output,
) -> None:
    """Find the documents most similar to TEXT.

    TEXT is a question, a few words or a whole text; quotes are not needed. With -, each line of standard input is a
    query. TEXT may contain operators: "exact words", -word, title:word and begin*. If no document contains a word, the
    word that you most likely meant is searched for instead.
    """
    if bool(text) == (batch is not None):
        raise UsageError("expected either TEXT or --batch FILE, got " + ("both" if text else "neither"))
    with chosen_index.open_index(index_path) as index:
        asking = _Asking(index, search, output, fold, plain)
        if batch is not None:
            with batch.open("rb") as lines:
                asking.answer_all(_batch_queries(lines, batch))
        elif text == ("-",):
            asking.answer_lines(sys.stdin.buffer)
        else:
            asking.answer(" ".join(text))


@click.command(
    epilog="""\b
Examples:
  docsim similar people/annual-leave.md             an indexed document, by its id
  docsim similar ~/drafts/new-leave-policy.docx     any file
  docsim similar draft.md --min-similarity 0.7      only what is very similar to it
  pandoc notes.odt -t markdown | docsim similar -   any text
"""
)
@click.argument("document")
@chosen_index.index_option
@options.search
@_fold
@options.output
def similar(document: str, index_path: Path | None, search: SearchOptions, fold: bool, output: Output) -> None:
    """Find the documents most similar to DOCUMENT.

    DOCUMENT is the id of an indexed document, the path of any file, or - for standard input. An indexed document, or
    a file that is indexed, is not among its own hits.
    """
    with chosen_index.open_index(index_path) as index:
        _Asking(index, search, output, fold).answer_similar(document)


@dataclass(frozen=True, slots=True)
class _Asking:
    """An open index, how to search it and how to print what was found."""

    index: Index
    search: SearchOptions
    output: Output
    fold: bool
    plain: bool = False

    def answer(self, text: str) -> None:
        """Answer one query."""
        result = self.index.search(text, **self.search.arguments(), plain=self.plain)
        self._print(freshness.noted(self.index, result), Document("query", text))

    def answer_similar(self, given: str) -> None:
        """Answer for a document."""
        wanted = subject(self.index, given)
        if isinstance(wanted, str):
            result = self.index.similar(wanted, **self.search.arguments())
        else:
            file = file_named(given) if given != "-" else None
            result = self.index.similar_to(wanted, file=file, **self.search.arguments())
        self._print(freshness.noted(self.index, result), wanted)

    def answer_lines(self, lines: IO[bytes]) -> None:
        """Answer the lines of a stream as they come: those that are there already together, and each other at once."""
        texts = (line.decode("utf-8", "replace").strip() for line in lines)
        asked = ((None, text) for text in texts if text)
        self._answer_chunks(chunks(enumerate(asked, start=1), most=_TOGETHER))

    def answer_all(self, queries: Iterable[tuple[str | None, str]]) -> None:
        """Answer queries, given with their ids, some at a time."""
        numbered = enumerate(queries, start=1)
        self._answer_chunks(iter(lambda: list(islice(numbered, _TOGETHER)), []))

    def _answer_chunks(self, chunks: Iterable[Sequence[tuple[int, tuple[str | None, str]]]]) -> None:
        for chunk in chunks:
            texts = [text for _, (_, text) in chunk]
            results = self.index.search_many(texts, **self.search.arguments(), plain=self.plain)
            for (number, (id, text)), found in zip(chunk, results, strict=True):
                result = freshness.noted(self.index, found)
                reasons = self._reasons(Document("query", text), result)
                if self.output.as_json:
                    head = {"id": id} if id is not None else {}
                    click.echo(json_text(head | _json(result, reasons, is_question=True)))
                else:
                    self._question_table(result, reasons, name=id or str(number))

    def _reasons(self, wanted: str | Document, result: SearchResult) -> list[Explanation]:
        """Return why each hit is one, if that is wanted."""
        return [self.index.explain(wanted, hit.id, pairs=1) for hit in result.hits] if self.search.explain else []

    def _print(self, result: SearchResult, wanted: str | Document) -> None:
        reasons = self._reasons(wanted, result)
        if self.output.as_json:
            is_question = isinstance(wanted, Document) and wanted.id == "query"
            print_json(_json(result, reasons, is_question=is_question))
            return
        remember(self.index, result)
        document = self.index.document(wanted).document if isinstance(wanted, str) else wanted
        if document.id == "query":
            self._question_table(result, reasons)
        else:
            text = f"{document.title}\n{document.text}"
            self._table(result, reasons, text, Matcher(text[:_READ]))

    def _question_table(self, result: SearchResult, reasons: Sequence[Explanation], *, name: str | None = None) -> None:
        said = result.query, result.operators, result.corrections
        self._table(result, reasons, highlighting.searched_for(*said), highlighting.asked(*said), name=name)

    def _table(
        self,
        result: SearchResult,
        reasons: Sequence[Explanation],
        text: str,
        matcher: Matcher,
        *,
        name: str | None = None,
    ) -> None:
        """Print an answer for people; to a pipe, one tab-separated line per hit.

        ``matcher`` finds what was asked for. ``name`` is that of one of several queries. To a pipe, it is the first
        field.
        """
        words = [", ".join(_telling(reason)) for reason in reasons]
        self._print_remarks(result)
        if not sys.stdout.isatty():
            _lines(result, words, name)
            if not self.output.quiet:
                warn(_stale(result))
            return
        from rich.console import Console
        from rich.text import Text

        from docsim.cli import hits

        console = Console(highlight=False)
        if name:
            console.print(Text(visible(" ".join(text.split()))), style="bold", no_wrap=True, overflow="ellipsis")
        if result.hits:
            by_id = {hit.id: carried for hit, carried in zip(result.hits, words, strict=False)}
            encoder = self.index.encoder if len(text) <= _SHORT else None
            console.print(hits.rows(result, text, by_id, matcher, encoder=encoder, fold=self.fold))
        for line in () if self.output.quiet else hits.footnotes(result, **self._chosen()):
            console.print(visible(line), style="dim", markup=False)

    def _print_remarks(self, result: SearchResult) -> None:
        """Print to standard error what has to be said before the hits."""
        warn(result.warnings)
        for line in _understood(result):
            echo(line, err=True)
        if result.nothing_here and not self.output.quiet:
            echo("Probably nothing here answers this; these come nearest.", err=True)
        if not result.hits:
            echo(f"Nothing found: {_nothing(self.index, self.search)}.", err=True)

    def _chosen(self) -> _Chosen:
        """Return how hits were chosen, for what is said below them."""
        conditions = (self.search.where, f"in {self.search.within}" if self.search.within else "")
        return {"where": " and ".join(filter(None, conditions)), "is_diverse": self.search.diversity > 0}


class _Chosen(TypedDict):
    where: str
    is_diverse: bool


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


def _json(result: SearchResult, reasons: Sequence[Explanation], *, is_question: bool) -> dict[str, object]:
    """Return an answer as it is printed as JSON."""
    shown = asdict(highlighting.highlighted(result) if is_question else result)
    for hit, reason in zip(shown["hits"], reasons, strict=False):
        hit["explain"] = asdict(reason)
    return shown


@retried
def _nothing(index: Index, search: SearchOptions) -> str:
    """Return why nothing was found. If no document has a field that is asked for, its name was probably misspelt."""
    if not index.counts().documents:
        return "the index holds no documents"
    from docsim.filters.condition import Exists, fields

    condition = search.condition()
    asked = fields(condition) if condition else ()
    with index.engine.snapshot() as snapshot:
        unknown = [".".join(field) for field in asked if not snapshot.matching(Exists(field))]
    return f"no document has a field {' or '.join(unknown)}" if unknown else "no document qualifies"


def _understood(result: SearchResult) -> Iterator[str]:
    """Yield what a question was taken for, where that is not what it says."""
    for one in result.corrections:
        yield f"Showing results for {one.used} instead of {one.given}, which no document holds; see --plain."
    if result.operators:
        yield f"Read as operators: {' '.join(result.operators)}; --plain reads them as text."


def _stale(result: SearchResult) -> Iterator[str]:
    """Yield what became of the files of hits, to where hits themselves are only listed."""
    if named := [f"{hit.id} ({hit.stale})" for hit in result.hits if hit.stale]:
        yield f"files have changed or gone since they were indexed: {', '.join(named)}; docsim index brings that in"


def _lines(result: SearchResult, words: Sequence[str], name: str | None) -> None:
    for hit, carried in zip_longest(result.hits, words):
        fields = [str(hit.rank), f"{hit.similarity:.3f}", hit.id, " ".join(hit.title.split()), carried]
        echo("\t".join(one.translate(_ESCAPED) for one in (name, *fields) if one is not None))


def _telling(reason: Explanation) -> list[str]:
    from docsim.analysis.explain import telling_words

    return list(telling_words(reason.pairs[0].b))
