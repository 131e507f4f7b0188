"""Names: if a question is just the title of a page, or the name of its file, that page comes first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot
from docsim.engine.records import Numbers
from docsim.models import Document
from docsim.text.tokens import words_of

__all__ = ["named_first"]

AMONG = 10
"""A page is looked for among so many that are best without its name."""

MOST_WORDS = 10
"""A longer question is no name."""

_LONGEST = 200  # characters, likewise


def named_first(
    snapshot: Snapshot, question: Document, numbers: Numbers, scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return scores by which the documents that a question names come first.

    Args:
        snapshot: What is searched.
        question: What is asked.
        numbers: Documents, ``int64 (n,)``.
        scores: Their scores, ``float32 (n,)``.

    Returns:
        The scores, ``float32 (n,)``. Those of documents that are named are higher than all others, and among themselves
        as they were.
    """
    asked = words_of(question.text) if len(question.text) <= _LONGEST else []
    if not 0 < len(asked) <= MOST_WORDS or not len(numbers):
        return scores
    best = np.argsort(-scores, kind="stable")[:AMONG]
    stored = snapshot.documents(numbers[best].tolist())
    named = [place for place in best.tolist() if (one := stored.get(int(numbers[place]))) and _is(one.document, asked)]
    if not named or named == best[: len(named)].tolist():
        return scores
    raised = scores.copy()
    raised[named] += scores.max() - scores[named].min() + np.float32(0.01)
    return raised


def _is(document: Document, asked: Sequence[str]) -> bool:
    """Return whether some words are a document's name."""
    from docsim.ingest.content import readable  # here, as most questions are answered without it

    return words_of(document.title) == asked or words_of(readable(document.id)) == asked
