"""What the documentation shows of use.json and gaps.json."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def use(found: Found) -> list[Row]:
    """Return nDCG@10 of unseen questions before and after learning from use, by set and number of questions."""
    rows: list[Row] = [
        (
            "set",
            "asked",
            "positive judgements right",
            "unseen, hybrid",
            "unseen, by embeddings alone",
            "asked, hybrid",
            "the gate",
        ),
    ]
    for name, runs in found.items():
        for told, one in runs.items():
            judged = one.get("judgements")
            right = f"{judged['right']:.0%} of {judged['pairs']}" if judged else ""
            changes = (f"{one['before'][mode]:.3f} → {one['after'][mode]:.3f}" for mode in ("hybrid", "dense"))
            verdict = "passed" if one["passed"] else "not passed"
            rows.append((name, told, right, *changes, f"→ {one['asked_after']['hybrid']:.3f}", verdict))
    return rows


_GAPS = {
    "similarity": "similarity alone",
    "percentile": "percentile alone",
    "together": "docsim, without people",
    "precision": "its precision",
    "recall": "its recall",
    "asked 1 times": "asked once",
    "asked 3 times": "3 times",
    "asked 10 times": "10 times",
}


def gaps(found: Found) -> list[Row]:
    """Return areas under the ROC curve, precision and recall by set, head first; the last row is the mean."""
    rows: list[Row] = [("set", *_GAPS.values())]
    return rows + [(name, *(f"{one[key]:.2f}" for key in _GAPS)) for name, one in found.items()]
