"""What docs/benchmarks.md shows of benchmarks/results/peers.json: tables, and a picture of quality against speed."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

Found = dict[str, Any]
Row = tuple[str, ...]

# head of the column, the number in the result, how it is written
COLUMNS = (
    ("documents/s", "documents_per_s", "{:,.0f}"),
    ("cold query, s", "cold_s", "{:.2f}"),
    ("p50, ms", "p50_ms", "{:,.2f}"),
    ("p99, ms", "p99_ms", "{:,.2f}"),
    ("queries/s", "queries_per_s", "{:,.0f}"),
    ("recall@10", "recall", "{:.3f}"),
    ("memory to index, MB", "index_peak_mb", "{:,.0f}"),
    ("to query, MB", "query_peak_mb", "{:,.0f}"),
    ("disk, MB", "disk_mb", "{:,.1f}"),
)


def corpus(found: Found, name: str) -> list[Row]:
    """Return the rows of one corpus, head first; a dash stands where nothing was measured."""
    contenders: dict[str, Found] = found["corpora"][name]["contenders"]
    documents = found["corpora"][name]["documents"]
    rows: list[Row] = [("", *(head for head, _, _ in COLUMNS))]
    for contender, numbers in contenders.items():
        whole = numbers["indexed"] == documents
        label = contender if whole else f"{contender} ({numbers['indexed']} documents)"
        shown = (
            form.format(numbers[key]) if key in numbers and (whole or key == "documents_per_s") else "-"
            for _, key, form in COLUMNS
        )
        rows.append((label, *shown))
    return rows


def quality(found: Found) -> list[Row]:
    """Return nDCG@10 of each contender on each judged set, and the mean of those that have all, head first."""
    sets: dict[str, dict[str, float]] = found["quality"]
    names = list(dict.fromkeys(contender for each in sets.values() for contender in each))
    rows: list[Row] = [("nDCG@10", *sets, "mean")]
    for name in names:
        scores = [each.get(name) for each in sets.values()]
        mean = mean_quality(found, name)
        shown = ("-" if score is None else f"{score:.3f}" for score in scores)
        rows.append((name, *shown, "-" if mean is None else f"{mean:.3f}"))
    return rows


def mean_quality(found: Found, contender: str) -> float | None:
    """Return the mean nDCG@10 of a contender over all sets, or None when one is missing."""
    scores = [each.get(contender) for each in found["quality"].values()]
    known = [score for score in scores if score is not None]
    return statistics.mean(known) if known and len(known) == len(scores) else None


def circumstances(found: Found, name: str) -> str:
    """Return when one corpus was measured, and how busy the machine was: one sentence."""
    contenders = list(found["corpora"][name]["contenders"].values())
    dates = sorted({one["made"][:10] for one in contenders})
    loads = [load for one in contenders for load in one["load"]]
    facts = found["machine"]
    return (
        f"Measured {' and '.join(dates)} on {facts['cores']} cores of {facts['processor']}; load between "
        f"{min(loads):.1f} and {max(loads):.1f}, medians of up to {max(one['rounds'] for one in contenders)} rounds."
    )


def draw(found: Found, name: str, target: Path) -> None:
    """Draw mean nDCG@10 against documents indexed in a second, as SVG, the same bytes for the same numbers."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "docsim", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    for contender, numbers in found["corpora"][name]["contenders"].items():
        score = mean_quality(found, contender)
        if score is not None:
            ours = contender.startswith("docsim")
            axes.scatter(numbers["documents_per_s"], score, color="tab:red" if ours else "tab:gray", s=28)
            axes.annotate(
                contender, (numbers["documents_per_s"], score), (4, 3), textcoords="offset points", fontsize=7
            )
    axes.set(xscale="log", xlabel=f"documents indexed in a second ({name}, logarithmic)", ylabel="mean nDCG@10")
    axes.margins(x=0.25, y=0.1)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
