"""Hits as people see them: the section and the sentence that answer, marked, and what says the same folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.analysis.alike import folded
from docsim.encoding.documents import encode_texts
from docsim.encoding.encoder import Encoder
from docsim.models import Hit, SearchResult
from docsim.rendering.terminal_snippets import Snippet, snippets
from docsim.text.control_characters import visible
from docsim.text.matching import Matcher

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["footnotes", "rows"]

_NAMED = 3
"""Hits like another that are named."""

_FAST = ("average",)
"""Kinds of encoders that take milliseconds for all sentences of an answer."""

_STALE = {
    "changed": "Its file has changed since it was indexed.",
    "gone": "Its file is gone since it was indexed.",
}

_RANKED = {
    "dense": "by the best passage and by the whole document together",
    "lexical": "by shared words",
    "hybrid": "by meaning and by shared words together",
}


def rows(
    result: SearchResult,
    question: str,
    words: Mapping[str, str],
    matcher: Matcher,
    *,
    encoder: Encoder | None = None,
    fold: bool = True,
) -> Table:
    """Return hits as a table.

    Args:
        result: The answer.
        question: What was asked.
        words: By a hit's id, the words that make it one; of some hits or none.
        matcher: Finds in texts what was asked for.
        encoder: Finds the sentences that are similar to the question; without it, shared words find them.
        fold: Whether hits that say the same are shown as one.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right", style="cyan")
    table.add_column()
    groups = folded(result.hits) if fold else [[hit] for hit in result.hits]
    similar = _similar_to(question, encoder) if encoder and encoder.manifest["kind"] in _FAST else None
    shown = snippets(matcher, [(group[0].title, group[0].passages) for group in groups], similar=similar)
    for (hit, *others), snippet in zip(groups, shown, strict=True):
        described = _described(hit, snippet, Text())
        if carried := words.get(hit.id):
            described.append(f"\n{visible(carried)}", style="green")
        if hit.stale:
            described.append(f"\n{_STALE[hit.stale]}", style="yellow")
        if others:
            described.append(f"\n{visible(_folded(others))}", style="dim")
        table.add_row(str(hit.rank), _measured(hit, Text()), described)
    return table


def footnotes(result: SearchResult, *, where: str = "", is_diverse: bool = False) -> Iterator[str]:
    """Yield what is said below an answer.

    Args:
        result: The answer.
        where: What documents had to meet; empty for nothing.
        is_diverse: Whether hits were chosen to differ.
    """
    through = ", the new encoder over mapped embeddings" if result.adapter else ""
    only = f", only {where}" if where else ""
    count = len(result.hits)
    documents = "document" if count == 1 else "documents"
    yield f"{count} {documents} in {result.took_ms:.0f} ms, {result.mode}{only}{through}"
    if not result.hits:
        return
    yield "Below each similarity: how many of 100 random pairs are less similar."
    if any(hit.stale for hit in result.hits):
        yield "docsim index brings in what has changed, and removes what is gone."
    if is_diverse:
        yield "Hits that resemble earlier ones come later (--diversity), whatever their similarity."
    elif _contradicts(result.hits):
        yield f"Ranked {_RANKED[result.mode]}; the similarity is that of the best passage alone."


def _similar_to(question: str, encoder: Encoder) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    def similar(texts: Sequence[str]) -> NDArray[np.float32]:
        asked = encode_texts(encoder, [question], role="query")[0]
        near: NDArray[np.float32] = encode_texts(encoder, texts, role="document") @ asked
        return near

    return similar


def _contradicts(hits: Sequence[Hit]) -> bool:
    """Return whether a hit shows a higher similarity than one before it."""
    return any(round(after.similarity, 2) > round(before.similarity, 2) for before, after in pairwise(hits))


def _named(hit: Hit) -> str:
    return f"{hit.rank} {hit.id}" + (f" ({hit.stale})" if hit.stale else "")


def _folded(others: Sequence[Hit]) -> str:
    named = ", ".join(map(_named, others[:_NAMED]))
    more = ", ..." if len(others) > _NAMED else ""
    return f"and {len(others)} similar: {named}{more}"


def _measured(hit: Hit, text: Text) -> Text:
    """Write a hit's similarity, and its percentile, never rounded up, below."""
    text.append(f"{hit.similarity:.2f}")
    if hit.percentile is not None:
        text.append(f"\n{math.floor(10 * hit.percentile) / 10:.1f}", style="dim")
    return text


def _described(hit: Hit, snippet: Snippet, text: Text) -> Text:
    text.append(visible(" ".join((hit.title or hit.id).split())), style="bold")
    text.append(f"  {visible(hit.id)}", style="dim")
    if snippet.section:
        text.append(f"\n{visible(snippet.section)}", style="italic")
    for number, (part, is_marked) in enumerate(snippet.parts):
        text.append("" if number else "\n")
        text.append(visible(part), style="bold yellow" if is_marked else None)
    return text
