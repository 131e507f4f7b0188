"""What the documentation shows of bounds.json, soak.json and converting.json."""

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


def queries(found: Found) -> list[Row]:
    """Return how large a process is that asks again and again, head first."""
    parts = found["threads"]
    counts = [one["queries"] for one in next(iter(parts.values()))["sizes"]]
    shown = [0, len(counts) // 4, len(counts) // 2, len(counts) - 1]
    rows: list[Row] = [("memory, MB", *(f"after {counts[place]:,} queries" for place in shown), "file descriptors")]
    for threads, one in parts.items():
        sizes = one["sizes"]
        descriptors = sorted({each["descriptors"] for each in sizes})
        label = "one thread" if threads == "1" else f"{threads} threads"
        rows.append((label, *(f"{sizes[place]['mb']:.0f}" for place in shown), ", ".join(map(str, descriptors))))
    return rows
