"""The tables of docs/encoder.md, from benchmarks/results/quality.json and default_encoder.json."""

from __future__ import annotations

from typing import Any

__all__ = ["contenders", "tried"]


def contenders(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return nDCG@10 of each system on each set, dense and fused with BM25, and means of those that all have."""
    sets: dict[str, dict[str, dict[str, dict[str, float]]]] = found["sets"]
    means = found["means"]["all"]
    rows = [("", *means)]
    for name, row in sets.items():
        rows.append((name, *(_both(row["systems"][system]) for system in means)))
    rows.append(("**mean**", *(_both(means[system]) for system in means)))
    return rows


def tried(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return what was tried for the default encoder, with means over ten sets."""
    rows = [("", "alone", "with BM25", "STSb dev")]
    for row in found:
        label = f"**{row['tried']}**" if row.get("kept") else row["tried"]
        rows.append((label, f"{row['alone']:.4f}", f"{row['with BM25']:.4f}", f"{row['stsb_dev']:.4f}"))
    return rows


def _both(one: dict[str, float]) -> str:
    alone = f"{one['alone']:.3f}"
    return f"{alone} / {one['with BM25']:.3f}" if "with BM25" in one else alone
