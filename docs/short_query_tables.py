"""What the documentation shows of short_queries.json."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def percentiles(found: Found) -> list[Row]:
    """Return the median percentile of first hits by corpus, whose questions, and their length, head first."""
    lengths = list(next(iter(found.values()))["its own"])
    rows: list[Row] = [("corpus", "questions", *lengths)]
    for corpus, by_whose in found.items():
        for whose, medians in by_whose.items():
            rows.append((corpus, whose, *(f"{medians[length]:.1f}" for length in lengths)))
    return rows


def identifiers(found: list[Found]) -> list[Row]:
    """Return how well pages are found by the identifier in their title, head first."""
    rows: list[Row] = [("asked by", "mode", "among the first ten", "reciprocal rank")]
    for row in found:
        rows.append((row["asked by"], row["mode"], f"{row['among ten']:.0%}", f"{row['reciprocal rank']:.3f}"))
    return rows
