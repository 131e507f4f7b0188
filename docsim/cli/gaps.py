"""``docsim gaps`` and ``docsim hygiene``: what to write next, and what to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json, styled
from docsim.cli.progress import watching
from docsim.evaluation import judgements
from docsim.jobs.gaps import LEAST, Gap
from docsim.jobs.hygiene import Hygiene

__all__ = ["gaps", "hygiene"]

_SHOWN = 20
_ALIKE_SHOWN = 3


@click.command(
    epilog="""\b
Examples:
  docsim gaps                                    what people asked and nothing answers
  docsim gaps --queries questions.jsonl          ... and questions of your own
  docsim gaps --json | jq -r '.gaps[].label'
"""
)
@click.option(
    "--least",
    type=click.FloatRange(0, 1),
    default=LEAST,
    show_default=True,
    help="List questions that are unanswered with this probability at least.",
)
@options.queries_option
@chosen_index.index_option
@options.output
def gaps(least: float, queries: Path | None, index_path: Path | None, output: Output) -> None:
    """List questions that nothing in an index answers: what to write next.

    Looks at the questions that were recorded (docsim serve --record), and those in --queries. Whether a question is
    answered is estimated from which of its words documents contain, how similar the nearest documents are, and what
    people opened and said. Similar questions are shown as one.
    """
    from docsim.jobs.gaps import find

    own = list(judgements.read_queries(queries).values()) if queries else []
    with chosen_index.open_index(index_path) as index:
        found = find(index, own, least=least)
    if output.as_json:
        print_json(asdict(found))
        return
    for one in found.gaps[: None if output.quiet else _SHOWN]:
        for line in _told(one):
            echo(line)
    if output.quiet:
        return
    if len(found.gaps) > _SHOWN:
        echo(f"... and {len(found.gaps) - _SHOWN} more; see them all with --json")
    if not found.questions:
        echo("No question is recorded. Try: docsim serve --record, or docsim gaps --queries FILE", err=True)
    else:
        echo(f"{len(found.gaps)} gaps among {found.questions} questions", err=True)


def _told(one: Gap) -> Iterator[str]:
    people = f" by {one.people} people" if one.people > 1 else ""
    yield f"{one.label}  (asked {one.times} times{people}, {one.probability:.0%})"
    if len(one.questions) > 1:
        more = len(one.questions) - 1 - _ALIKE_SHOWN
        yield f"  also: {'; '.join(one.questions[1 : 1 + _ALIKE_SHOWN])}{f'; and {more} more' if more > 0 else ''}"
    if one.missing:
        yield f"  in no document: {', '.join(one.missing)}"
    if one.nearest:
        yield f"  nearest: {', '.join(each.id for each in one.nearest)}"


@click.command(epilog="\b\nExamples:\n  docsim hygiene\n  docsim hygiene --json | jq '.versions'\n")
@chosen_index.index_option
@options.output
def hygiene(index_path: Path | None, output: Output) -> None:
    """List pages that somebody should look at.

    Near-duplicates that differ in numbers and dates only; pages that answer the same question; pages that a search for
    their own title does not find; and, where use is recorded, old pages that are still opened. Nothing is changed.
    """
    from docsim.jobs.hygiene import examine

    with chosen_index.open_index(index_path) as index, watching(quiet=not output.for_people) as progress:
        found = examine(index, progress=progress)
    if output.as_json:
        print_json(asdict(found))
        return
    for title, lines in _sections(found).items():
        if lines:
            styled(f"{title} ({len(lines)})", bold=True)
            for line in lines[: None if output.quiet else _SHOWN]:
                echo(f"  {line}")
            if len(lines) > _SHOWN and not output.quiet:
                echo(f"  ... and {len(lines) - _SHOWN} more; see them all with --json")


def _sections(found: Hygiene) -> dict[str, list[str]]:
    return {
        "The same but for numbers and dates": [
            f"{one.first}  {one.second}  ({', '.join(f'{a} / {b}' for a, b in one.differences)})"
            for one in found.versions
        ],
        "Answers to the same question": [f"{one.question}: {', '.join(one.documents)}" for one in found.same],
        "Not found by their own title": [f"{one.id}  {one.title}" for one in found.unfound],
        "Old, and still opened": [
            f"{one.id}  changed {one.changed}, opened {one.opened} times" for one in found.outdated
        ],
    }
