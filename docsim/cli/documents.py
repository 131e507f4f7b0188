"""``docsim ls``, ``open`` and ``rm``: the documents of an index, one by one."""

from __future__ import annotations

import fnmatch
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.last_answer import recall
from docsim.cli.output import Output, echo, print_json
from docsim.engine.records import StoredDocument
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index
from docsim.ingest import guarded_readers
from docsim.ingest.file_names import suffix
from docsim.jobs.document_addresses import Place, line_of, place, source_file
from docsim.text.storing import composed

__all__ = ["ls", "open_hit", "rm"]

_PLUS_LINE = "vi vim nvim gvim view ex nano pico emacs emacsclient micro kak joe jed mg vis gedit less".split()  # noqa: SIM905
"""Editors that are told a line as ``+12``; others as ``file:12``, some after an option."""

_COLON_LINE = {
    **dict.fromkeys(("code", "codium", "cursor", "windsurf"), ("--goto",)),
    **dict.fromkeys(("subl", "hx", "helix", "zed"), ()),
}
_SHOWN_IN_BROWSER = {".html", ".htm", ".xhtml"}


@click.command(
    epilog="""\b
Examples:
  docsim ls                         every document: its id and its title
  docsim ls people/                 those below a path
  docsim ls '*.pdf' 'notes/*'       those whose ids match
  docsim ls --json | jq -r '.[] | select(.characters < 100) | .id'
"""
)
@click.argument("pattern", nargs=-1)
@chosen_index.index_option
@options.output
def ls(pattern: tuple[str, ...], index_path: Path | None, output: Output) -> None:
    """List the documents of an index: id and title, one a line.

    PATTERN is an id, a path that ids lie below, or a pattern of ids such as '*.pdf'. By default all are listed.
    """
    with chosen_index.open_index(index_path) as index:
        found = _listed(index, [composed(one) for one in pattern])
    if output.as_json:
        print_json([_record(one) for one in found])
        return
    for one in found:
        fields = (one.document.id, one.document.title)
        echo("\t".join(" ".join(field.split()) for field in fields))
    if not found and not output.quiet:
        echo("No document matches." if pattern else "The index holds no documents.", err=True)


@click.command(
    "open",
    epilog="""\b
Examples:
  docsim open 1                         the best hit of the last answer
  docsim open people/annual-leave.md    any document, by its id
  docsim open 2 --print                 only print where it is
  EDITOR=vim docsim open 1              text opens in $VISUAL or $EDITOR, other files as the desktop opens them
  EDITOR='code -w' docsim open 1        at the line where the passage that was shown begins
""",
)
@click.argument("hit")
@click.option("--print", "only_print", is_flag=True, help="Print the file or the address instead of opening it.")
@chosen_index.index_option
@options.output
def open_hit(hit: str, only_print: bool, index_path: Path | None, output: Output) -> None:
    """Open a hit of the last answer, or any document.

    HIT is the number of a hit in the answer that docsim query or similar printed last, or the id of a document. A text
    opens in $VISUAL or $EDITOR, at the passage that was shown if the editor can do that, everything else as the desktop
    opens it. A document without a file opens in the
    browser, if its metadata have a url.
    """
    start = None
    if hit.isascii() and hit.isdecimal() and index_path is None:
        last = recall()
        index_path, hit, start = last.index, last.id(int(hit)), last.starts.get(int(hit))
    with chosen_index.open_index(index_path) as index:
        where = place(index, hit if index.has(hit) else composed(hit))
        is_text = where.is_file and _is_text(where.target)
        line = line_of(where, index, start) if start is not None and is_text else None
    if output.as_json:
        print_json({"id": where.id, "place": where.target, "line": line})
    elif only_print:
        echo(where.target)
    else:
        _open(where, line)


@click.command(
    epilog="\b\nExamples:\n  docsim rm people/annual-leave.md\n  docsim rm draft-1 draft-2 --index indexes/notes\n"
)
@click.argument("id", nargs=-1, required=True)
@chosen_index.index_option
@chosen_index.wait_option
@options.output
def rm(id: tuple[str, ...], index_path: Path | None, wait: bool, output: Output) -> None:
    """Remove documents from an index, by their ids; files are left alone.

    If a source still has a document, the next docsim index brings it back: name the file in .docsimignore, or remove
    the whole source with docsim forget. Nothing is removed if one of the ids does not exist.
    """
    with chosen_index.open_index(index_path) as index:
        ids = [one if index.has(one) else composed(one) for one in dict.fromkeys(id)]
        kept = [one for one in ids if index.document(one) and source_file(index, one)]
        removed = index.remove(ids, wait=wait)
    if output.as_json:
        print_json({"removed": removed, "still_in_source": kept})
    elif not output.quiet:
        echo(f"Removed {removed} document{'' if removed == 1 else 's'}")
        if kept:
            more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
            echo(f"{kept[0]}{more} will come back with the next docsim index, unless .docsimignore names it", err=True)


@retried
def _listed(index: Index, patterns: Sequence[str]) -> list[StoredDocument]:
    with index.engine.snapshot() as snapshot:
        found = [one for one in snapshot.scan(characters=0) if _matches(one.document.id, patterns)]
    return sorted(found, key=lambda one: one.document.id)


def _matches(id: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(
        id == one or id.startswith(f"{one.rstrip('/')}/") or fnmatch.fnmatchcase(id, one) for one in patterns
    )


def _record(one: StoredDocument) -> dict[str, object]:
    document = one.document
    return {"id": document.id, "title": document.title, "passages": one.passages, "metadata": document.metadata}


def _open(where: Place, line: int | None) -> None:
    """Open a text in the editor, at a line if it can do that, and anything else as the desktop does.

    Raises:
        UsageError: There is nothing to open it with.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if where.is_file and editor and _is_text(where.target):
        try:
            command = shlex.split(editor)
            subprocess.run([*command, *_at(command[0], where.target, line)], check=False)
        except (OSError, ValueError, IndexError) as error:
            raise UsageError(f"expected an editor in $VISUAL or $EDITOR, got {editor!r}: {error}") from error
        return
    try:
        failed = click.launch(where.target, wait=False)
    except OSError:
        failed = 1
    if failed:
        raise UsageError(f"expected a desktop that opens {where.target}, or an editor in $EDITOR for texts; found none")


def _at(editor: str, file: str, line: int | None) -> list[str]:
    """Return the arguments with which an editor opens a file at a line."""
    name = Path(editor).stem
    if line is not None and name in _PLUS_LINE:
        return [f"+{line}", file]
    if line is not None and name in _COLON_LINE:
        return [*_COLON_LINE[name], f"{file}:{line}"]
    return [file]


def _is_text(file: str) -> bool:
    kind = suffix(file)
    return kind not in guarded_readers.SUFFIXES and kind not in _SHOWN_IN_BROWSER and not file.endswith((".gz", ".zip"))
