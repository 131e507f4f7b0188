"""``docsim use`` and ``feedback``: the record of what was asked, shown and opened."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json
from docsim.engine import opening
from docsim.errors import StoreError, UsageError
from docsim.text.control_characters import json_text
from docsim.use.log import UseLog
from docsim.use.people import People

__all__ = ["feedback", "use"]

_LISTED = 10


@click.group()
def use() -> None:
    """Look at, export, import and delete the record of what people asked and opened.

    There is a record only if docsim serve --record, docsim feedback, docsim judge or docsim use import has made one. It
    is the file use.db in the index's directory. People are kept as keyed hashes, never by name or address.
    """


@use.command("status", epilog="\b\nExamples:\n  docsim use status\n  docsim use status --json | jq .questions\n")
@chosen_index.index_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(index_path: Path | None, as_json: bool) -> None:
    """Say how much is recorded."""
    with UseLog.opened(_recorded(index_path)) as log:
        counts = log.counts()
    if as_json:
        print_json(asdict(counts))
        return
    since = f", since {_day(counts.first)}" if counts.first is not None else ""
    echo(f"{counts.questions} questions of {counts.people} people and {counts.events} events{since}")


@use.command(
    epilog="""\b
Examples:
  docsim use export > use.jsonl
  docsim use export --out use.jsonl
"""
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: print]")
@chosen_index.index_option
def export(out: Path | None, index_path: Path | None) -> None:
    """Write the record as lines of JSON, in the format of User Behavior Insights (UBI)."""
    from docsim.use.exchange import exported

    directory = _recorded(index_path)
    with UseLog.opened(directory) as log:
        sessions = log.sessions()
    with ExitStack() as opened:
        file: IO[str] | None = None
        if out is not None:
            try:
                file = opened.enter_context(out.open("w", encoding="utf-8"))
            except OSError as error:
                raise UsageError(f"expected a file that can be written at {out}; {error.strerror}") from error
        for line in exported(sessions, People(directory)):
            click.echo(json_text(line), file=file)


@use.command(
    "import",
    epilog="""\b
Examples:
  docsim use import clicks.csv        with the columns question, document, when, and perhaps user and rank
  docsim use import use.jsonl         what docsim use export wrote
""",
)
@click.argument("file", type=options.existing_file)
@chosen_index.index_option
@options.output
def import_(file: Path, index_path: Path | None, output: Output) -> None:
    """Add the log of another tool: which document was opened for which question, and when.

    FILE is a .csv, .tsv or .jsonl file. A document is named by its id, by the address in its metadata field url, or by
    an address that ends like its id. Importing a file twice adds nothing.
    """
    from docsim.jobs.use import import_log

    with chosen_index.open_index(index_path) as index:
        found = import_log(index, file)
    if output.as_json:
        print_json(asdict(found))
        return
    if not output.quiet:
        echo(f"{found.questions} questions and {found.events} events added")
    if found.unknown:
        total, more = sum(found.unknown.values()), len(found.unknown) - _LISTED
        named = ", ".join(list(found.unknown)[:_LISTED]) + (f" and {more} more" if more > 0 else "")
        echo(f"Warning: {total} lines left out, whose documents are not in the index: {named}", err=True)


@use.command(
    epilog="""\b
Examples:
  docsim use purge --user anna           the name of a token, or what a proxy calls somebody
  docsim use purge --user 192.0.2.7      of a server without tokens: an address
  docsim use purge
"""
)
@click.option("--user", help="Delete only what this person asked and did.")
@chosen_index.index_option
@options.output
def purge(user: str | None, index_path: Path | None, output: Output) -> None:
    """Delete the record, or what one person asked and did, from the files as well.

    A running server writes what it has in memory within a second; to delete that as well, purge again after it.
    """
    directory = _recorded(index_path)
    person = None if user is None else People(directory).hashed(user)
    with UseLog.opened(directory) as log:
        deleted = log.purge(person)
    if output.as_json:
        print_json({"deleted": deleted})
    elif not output.quiet:
        echo(f"{deleted} questions deleted")


@click.command(
    epilog="""\b
Examples:
  docsim feedback "how do I claim expenses" --good finance/expenses.md --bad travel/tickets.md
  docsim feedback "parental leave" --found people/parental-leave.md
"""
)
@click.argument("question")
@click.option("--good", multiple=True, metavar="ID", help="A document that answers the question. May be repeated.")
@click.option("--bad", multiple=True, metavar="ID", help="A document that does not answer it. May be repeated.")
@click.option("--found", multiple=True, metavar="ID", help="A document that is just what was looked for.")
@click.option("--user", help="Who gives this feedback. Only a keyed hash of the name is kept.")
@chosen_index.index_option
def feedback(
    question: str,
    good: tuple[str, ...],
    bad: tuple[str, ...],
    found: tuple[str, ...],
    user: str | None,
    index_path: Path | None,
) -> None:
    """Say which documents answer a question, and which do not; docsim judge and docsim adapt learn from it."""
    from docsim.jobs.use import feedback as record

    with chosen_index.open_index(index_path) as index:
        record(index, question, good=good, bad=bad, found=found, person=user)


def _recorded(index_path: Path | None) -> Path:
    """Return the directory of an index whose use is recorded."""
    directory = chosen_index.index_directory(index_path)
    if not opening.exists(directory):
        raise StoreError(f"expected an index at {opening.shown(directory)}, found none", hint="docsim index FOLDER")
    if not UseLog.exists(directory):
        raise UsageError(f"expected a record of use in {directory}, found none", hint="docsim serve --record")
    return directory


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
