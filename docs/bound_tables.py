"""What the documentation shows of bounds.json."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def bounds(found: Found) -> list[Row]:
    """Return what one large document costs, head first."""
    rows: list[Row] = [("", "MB", "seconds of a core", "a quarter of it", "peak memory, MB", "for each further MB")]
    for name, one in found["kinds"].items():
        size = f"{one['mb']:,.0f}" + (f" ({one['unpacked_mb']:,.0f})" if one["mb"] != one["unpacked_mb"] else "")
        seconds, peak = f"{one['cpu_seconds']:.1f}", f"{one['peak_mb']:,}"
        if "refused" in one:
            rows.append((f"{name}: refused", size, seconds, "", peak, ""))
            continue
        share = f"1/{one['times_quarter']:.1f} of the time"
        rows.append((name, size, seconds, share, peak, f"{one['mb_more_per_mb']:.1f} MB"))
    return rows
