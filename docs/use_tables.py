"""What the documentation shows of use.json."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def use(found: Found) -> list[Row]:
    """Return nDCG@10 of unseen questions before and after learning from use, by set and number of questions."""
    rows: list[Row] = [
        ("set", "asked", "positive judgements right", "unseen, hybrid", "unseen, by embeddings alone", "the gate"),
    ]
    for name, runs in found.items():
        for told, one in runs.items():
            right = f"{one['judgements']['right']:.0%} of {one['judgements']['pairs']}" if one["judgements"] else ""
            changes = (f"{one['before'][mode]:.3f} → {one['after'][mode]:.3f}" for mode in ("hybrid", "dense"))
            rows.append((name, told, right, *changes, "passed" if one["passed"] else "not passed"))
    return rows
