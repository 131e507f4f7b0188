"""What the documentation shows of scale.json, opening.json and filters.json: tables, and a picture of the filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]


def scale(found: Found) -> list[Row]:
    """Return how an approximate index of each size compares with exact search, head first."""
    names = (
        "",
        "recall@10",
        "exact, ms",
        "approximate, ms",
        "faster",
        "memory / vectors in float16",
        "build, s",
        "peak, MB",
    )
    rows: list[Row] = [names]
    for one in sorted(found.values(), key=lambda one: one["passages"]):
        speeds = (f"{one['exact_ms']:.1f}", f"{one['approximate_ms']:.2f}", f"{one['speed_up']:.1f} times")
        memory = (f"{one['resident_share']:.2f}", f"{one['build_s']:.0f}", f"{one['build_peak_mb']:,}")
        label = f"{one['passages']:,} passages ({one['real']:,} real), {one['factory']}"
        rows.append((label, f"{one['recall_at_10']:.3f}", *speeds, *memory))
    return rows


def opening(found: Found) -> list[Row]:
    """Return what a user waits for who opens a large index and asks once, beside a small one, head first."""
    small, large = (found["indexes"][name] for name in ("small", "large"))
    rows: list[Row] = [("", f"{small['passages']:,} passages", f"{large['passages']:,} passages", "ratio")]
    for mode in ("dense", "hybrid"):
        one, other = found[mode]["small"], found[mode]["large"]
        both = [each["open_ms"] + each["first_ms"] for each in (one, other)]
        shown = (f"{both[0]:.0f} ms", f"{both[1]:.0f} ms", f"{found[mode]['open_and_first_ratio']:.2f}")
        rows.append((f"opening and the first {mode} query", *shown))
        process = (f"{each['process_ms']:.0f} ms" for each in (one, other))
        rows.append((f"the whole {mode} `docsim query`", *process, f"{found[mode]['process_ratio']:.2f}"))
    return rows


def filters(found: Found) -> list[Row]:
    """Return what a filtered query costs by how many passages the filter leaves, head first."""
    rows: list[Row] = [("passages left", "all of them scored, ms", "searched with a selector, ms")]
    for one in found["rows"]:
        rows.append((f"{one['passages']:,}", f"{one['scored']:.2f}", f"{one['searched']:.2f}"))
    return rows


def draw_filters(found: Found, target: Path) -> None:
    """Draw the same as SVG, the same bytes for the same numbers."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "docsim", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 3.5), layout="constrained")
    left = [one["passages"] for one in found["rows"]]
    for key, label, colour in (
        ("searched", "searched with a selector", "tab:red"),
        ("scored", "all scored", "tab:gray"),
    ):
        axes.plot(left, [one[key] for one in found["rows"]], marker="o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel=f"passages left of {found['passages']:,}", ylabel="query, ms")
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
