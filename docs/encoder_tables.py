"""The tables of docs/encoder.md, from benchmarks/results/quality.json and default_encoder.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["off_the_shelf", "trained", "tried"]


def off_the_shelf(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return nDCG@10 of each system on each set, dense and fused with BM25; nothing was trained on the sets."""
    systems = [name for name in found["means"]["all"] if "trained" not in name]
    return _contenders(found, systems, {"mean": "all"})


def trained(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the same of docsim trained on each set without labels, beside what it has to beat."""
    systems = ("BM25", "all-MiniLM-L6-v2", "docsim", "docsim, trained", "docsim, trained with MiniLM")
    groups = {"mean, knowledge bases": "knowledge bases", "mean, others": "others", "mean": "all"}
    return _contenders(found, systems, groups)


def _contenders(found: dict[str, Any], systems: Sequence[str], groups: dict[str, str]) -> list[tuple[str, ...]]:
    rows = [("", *systems)]
    rows += [(name, *(_both(one["systems"][system]) for system in systems)) for name, one in found["sets"].items()]
    means = found["means"]
    rows += [(f"**{name}**", *(_both(means[group][system]) for system in systems)) for name, group in groups.items()]
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
