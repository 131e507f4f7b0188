"""What the documentation shows of bounds.json."""

from __future__ import annotations

from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def bounds(found: Found) -> list[Row]:
    """Return what one large document costs, head first."""
    rows: list[Row] = [
        ("", "size, MB", "seconds", "of a core", "four times as much takes", "peak, MB", "MB for each further MB")
    ]
    for name, one in found["kinds"].items():
        size = f"{one['mb']:,.0f}" + (f" ({one['unpacked_mb']:,.0f})" if one["mb"] != one["unpacked_mb"] else "")
        if "refused" in one:
            rows.append((name, size, "refused", f"{one['cpu_seconds']:.1f}", "", f"{one['peak_mb']:,}", ""))
            continue
        times, more = f"{one['times_quarter']:.1f} times as long", f"{one['mb_more_per_mb']:.1f}"
        rows.append(
            (name, size, f"{one['seconds']:.0f}", f"{one['cpu_seconds']:.1f}", times, f"{one['peak_mb']:,}", more)
        )
    return rows
