"""What every table of the documentation needs: committed results, and rows as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows as a Markdown table, the first as its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def result(name: str) -> dict[str, Any]:
    """Return a committed result."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
