"""``docsim watch``: keep an index up to date with its sources."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index, options
from docsim.cli.grouping import needs
from docsim.cli.options import EncoderOptions
from docsim.cli.output import Output, echo
from docsim.cli.progress import sentences
from docsim.errors import DocsimError
from docsim.text.control_characters import json_text

if TYPE_CHECKING:
    from docsim.ingest.sources import Source
    from docsim.jobs.sync import Synced

__all__ = ["watch"]


@click.command(
    epilog="""\b
Examples:
  docsim watch ~/handbook                                   until Ctrl-C
  docsim watch ~/handbook tickets.jsonl --index indexes/all
  docsim watch ~/handbook --json | jq .changed
"""
)
@click.argument("source", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path, resolve_path=True))
@chosen_index.index_option
@options.encoder("Encoder for a new index: accurate, fast, or a directory.  [default: the one that docsim index takes]")
@options.output
@needs("serve")
def watch(source: tuple[Path, ...], index_path: Path | None, encoder: EncoderOptions, output: Output) -> None:
    """Keep an index up to date with folders and files, until Ctrl-C or SIGTERM.

    What changes is indexed within seconds, and each source is read again every five minutes, because network drives do
    not report changes. Documents that docsim index would remove are removed. A server of the index finds what is new at
    its next request; docsim serve --watch does the same within the server.
    """
    from docsim.cli.index import chosen
    from docsim.jobs.sync import SyncOptions, sync
    from docsim.serving.watching import Watching, watched_sources

    sources = watched_sources([str(one) for one in source])
    path = chosen_index.named_index(index_path) or chosen(sources, [str(one) for one in source])
    named = encoder.load() if encoder.encoder else None
    changed = threading.Event()
    ended = _ended_by_signals(changed)
    watching = Watching(sources, path, changed.set)

    def read(due: Source) -> Synced:
        progress = sentences(quiet=not output.for_people)
        return sync(
            path, [due], SyncOptions(wait=True), encoder=named, dim=encoder.dim, among=sources, progress=progress
        )

    with watching.running():
        while not ended.is_set():
            changed.clear()
            if due := watching.due():
                try:
                    _tell(due.location, read(due), output)
                except DocsimError as error:
                    echo(f"{due.location} could not be read: {error}", err=True)
            elif not ended.is_set():
                changed.wait(1.0)


def _ended_by_signals(changed: threading.Event) -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set; a second signal ends the process at once.

    What is not committed by then is done the next time.

    Args:
        changed: Set together with it, to wake up who waits for it.
    """
    ended = threading.Event()

    def end(signal_number: int, frame: FrameType | None) -> None:
        if ended.is_set():
            raise SystemExit(0)
        ended.set()
        changed.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, end)
    return ended


def _tell(location: str, synced: Synced, output: Output) -> None:
    """Print what was done, a line for each reading that found something."""
    total = synced.total
    counts = {name: getattr(total, name) for name in ("added", "changed", "removed")}
    for failure in synced.failures:
        echo(f"Not read: {failure.path}: {failure.reason}", err=True)
    if output.as_json:
        echo(json_text({"source": location, **counts, "failed": len(synced.failures)}))
    elif not output.quiet and any(counts.values()):
        echo(f"{location}: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count))
