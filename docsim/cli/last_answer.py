"""The last answer that a person saw: which documents its numbers stand for, for ``docsim open N``."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

from docsim.cli import state
from docsim.errors import UsageError
from docsim.index import Index
from docsim.models import SearchResult

__all__ = ["LastAnswer", "recall", "remember"]

_NAME = "last-answer"


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """Where the last answer came from.

    Attributes:
        index: The index's directory, absolute.
        ids: The ids of its hits, by rank.
        starts: Where the best passage of each begins in the document's text, as an offset, by rank.
    """

    index: Path
    ids: dict[int, str]
    starts: dict[int, int]

    def id(self, rank: int) -> str:
        """Return the id of the hit with a rank.

        Raises:
            UsageError: It had no such hit.
        """
        if rank in self.ids:
            return self.ids[rank]
        held = f"hits {min(self.ids)} to {max(self.ids)}" if self.ids else "no hits"
        raise UsageError(f"expected the number of a hit of the last answer, which had {held}; got {rank}")


def remember(index: Index, result: SearchResult) -> None:
    """Keep an answer that a person sees, without its question; nothing where that cannot be done."""
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        return
    starts = {str(hit.rank): hit.passages[0].start for hit in result.hits if hit.passages}
    kept = {
        "index": str(index.path.absolute()),
        "ids": {str(hit.rank): hit.id for hit in result.hits},
        "starts": starts,
    }
    with contextlib.suppress(OSError, RuntimeError):
        state.write(_NAME, kept)


def recall() -> LastAnswer:
    """Return the last answer.

    Raises:
        UsageError: There is none.
    """
    kept = state.read(_NAME)
    try:
        assert isinstance(kept, dict)
        starts = {int(rank): int(start) for rank, start in kept.get("starts", {}).items()}
        return LastAnswer(Path(kept["index"]), {int(rank): str(id) for rank, id in kept["ids"].items()}, starts)
    except (AssertionError, KeyError, ValueError, AttributeError, TypeError):
        raise UsageError(
            "expected an answer to open a hit of, but no question was asked on this terminal before; ask one with "
            "docsim query, or give the id of a document"
        ) from None
