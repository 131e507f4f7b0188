"""``docsim explain``: why two documents, or a question and a document, are similar."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.analysis.explain import PAIRS, Explanation, PassagePair, Span, telling_words
from docsim.cli import chosen_index, options
from docsim.cli.arguments import subject
from docsim.cli.output import Output, echo, print_json
from docsim.errors import UsageError
from docsim.text.control_characters import masked, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["explain"]

_LINKS = 8
_TERMS = 12
_STRONG, _WEAK = 0.5, 0.8
"""The words that make up the first share of a similarity are highlighted strongly, those up to the second weakly."""


@click.command(
    epilog="""\b
Examples:
  docsim explain people/remote-work.md people/remote-work-canada.md
  docsim explain "how do I claim a train ticket" finance/expenses-policy.md
  docsim explain ~/drafts/new-leave-policy.docx people/annual-leave.md --json
"""
)
@click.argument("a")
@click.argument("b")
@click.option(
    "-k", "pairs", type=click.IntRange(min=1), default=PAIRS, show_default=True, help="Number of pairs of passages."
)
@chosen_index.index_option
@options.output
def explain(a: str, b: str, pairs: int, index_path: Path | None, output: Output) -> None:
    """Show why A and B are similar.

    Shows the passages that match best, the words that make them similar, and the terms that A and B share.

    A and B are each the id of an indexed document, the path of any file, or - for standard input. A can also be a
    question.
    """
    if a == b == "-":
        raise UsageError("expected standard input, -, for A or for B; got it for both")
    with chosen_index.open_index(index_path) as index:
        found = index.explain(subject(index, a, question=True), subject(index, b), pairs=pairs)
    if output.as_json:
        print_json(asdict(found))
    elif sys.stdout.isatty():
        _show(found, quiet=output.quiet)
    else:
        for pair in found.pairs:
            spans = (f"{span.start}-{span.end}" for span in (pair.a, pair.b))
            echo("\t".join((f"{pair.similarity:.3f}", *spans, ", ".join(telling_words(pair.b)))))


def _show(found: Explanation, *, quiet: bool) -> None:
    """Print an explanation for people, the words that carry the match highlighted."""
    from rich.console import Console

    console = Console(highlight=False)
    for name, side in (("A", found.a), ("B", found.b)):
        console.print(f"[bold]{name}[/]  ", end="")
        console.print(visible(side.title or side.id), style="bold", markup=False, end="  ")
        console.print(visible(side.id) if side.title else "", style="dim", markup=False)
    for pair in found.pairs:
        _show_pair(console, pair)
    terms = (f"{'/'.join(term.words)} ({term.documents})" for term in found.terms[:_TERMS])
    console.print()
    _show_list(console, "Terms in common, and documents that hold them", terms)
    if not quiet:
        how = "the share of each word" if found.exact else "what is lost without each word"
        console.print(f"Similarity {found.similarity:.2f}, score {found.score:.2f}; highlights: {how}", style="dim")


def _show_pair(console: Console, pair: PassagePair) -> None:
    console.print()
    console.rule(f"[cyan]{pair.similarity:.2f}[/]", align="left", style="dim")
    for name, span in (("A", pair.a), ("B", pair.b)):
        console.print(f"{name} {span.start}-{span.end}", style="dim")
        console.print(_highlighted(span))
    links = (f"{link.a} \N{EN DASH} {link.b} {link.contribution:.2f}" for link in pair.links[:_LINKS])
    _show_list(console, "Carried by", links)


def _show_list(console: Console, head: str, items: Iterable[str]) -> None:
    told = ", ".join(items)
    if told:
        console.print(f"{head}: ", style="dim", end="")
        console.print(visible(told), markup=False)


def _highlighted(span: Span) -> Text:
    from rich.text import Text

    text = Text(masked(span.text))
    for share, style in ((_WEAK, "green"), (_STRONG, "bold green")):
        chosen = telling_words(span, share=share)
        for word in span.words:
            if word.start is not None and word.end is not None and word.text.casefold() in chosen:
                text.stylize(style, word.start - span.start, word.end - span.start)
    return text
