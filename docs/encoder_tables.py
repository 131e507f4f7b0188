"""The tables of docs/research/encoder.md, from quality.json, default_encoder.json and distillation.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tables import table

__all__ = ["distillation", "distillation_speed", "off_the_shelf", "trained", "tried"]


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


def distillation(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return nDCG@10 of each variation of the vocabulary's recipe on each set, head first."""
    scored = found["quality"]
    columns = list(next(iter(scored.values())))
    rows: list[tuple[str, ...]] = [("encoder", *columns)]
    return [*rows, *((name, *(f"{row[column]:.4f}" for column in columns)) for name, row in scored.items())]


def distillation_speed(found: dict[str, Any]) -> str:
    """Return how fast each encoder is: a sentence about the texts, and a table."""
    timed = found["speed"]
    rows: list[tuple[str, ...]] = [("encoder", "all, wall clock", "all, processor", "one sentence", "one passage")]
    for name, row in timed.items():
        if isinstance(row, dict):
            alone = (f"{row['sentence_us']:.0f} µs", f"{row['passage_us']:.0f} µs")
            rows.append((name, f"{row['wall_s']:.2f} s", f"{row['processor_s']:.2f} s", *alone))
    about = (
        f"{timed['texts']:,} texts of {timed['characters'] / 1e6:.1f} million characters in all; then one at a time:"
    )
    return f"{about}\n\n{table(rows)}"


def _both(one: dict[str, float]) -> str:
    alone = f"{one['alone']:.3f}"
    return f"{alone} / {one['with BM25']:.3f}" if "with BM25" in one else alone
