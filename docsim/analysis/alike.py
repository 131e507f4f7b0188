"""Alike: hits of one answer that say the same in the same words, such as one page in two versions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from docsim.analysis.shingles import Overlaps
from docsim.models import Hit

__all__ = ["LEAST", "folded"]

LEAST = 0.8
"""The share of their wording that the passages of two hits have in common, in both directions, to be shown as one."""

_FEWEST = 8  # different runs of three words; shorter texts have to be equal


def folded(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Return hits in groups: each hit that is like no better one, followed by those that are like it.

    Only what an answer shows is compared: the passages that match best. Rare wording counts no more than other.
    """
    texts = [" ".join(" ".join(one.text.split()) for one in hit.passages).casefold() for hit in hits]
    overlaps = Overlaps(texts)
    groups: list[list[int]] = []
    for place in range(len(hits)):
        home = next((group for group in groups if _alike(texts, overlaps, group[0], place)), None)
        if home is None:
            groups.append([place])
        else:
            home.append(place)
    return [[hits[place] for place in group] for group in groups]


def _alike(texts: Sequence[str], overlaps: Overlaps, one: int, other: int) -> bool:
    if not texts[one] or texts[one] == texts[other]:
        return texts[one] == texts[other] != ""
    if min(overlaps.counts[[one, other]]) < _FEWEST:
        return False
    return bool(_shares(overlaps, one, other) >= LEAST)


def _shares(overlaps: Overlaps, one: int, other: int) -> float:
    """Return the smaller share of the shingles of two texts that both have."""
    first, second = (overlaps.shingles[slice(*overlaps.starts[at : at + 2])] for at in (one, other))
    return len(np.intersect1d(first, second, assume_unique=True)) / max(len(first), len(second))
