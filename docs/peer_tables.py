"""What docs/comparison.md shows of benchmarks/results/peers.json: tables, and a picture of quality against speed."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from tables import result, table

Found = dict[str, Any]
Row = tuple[str, ...]

# head of the column, the step that measures it, the number in the result, how it is written
COLUMNS = (
    ("documents/s", "indexing", "documents_per_s", "{:,.0f}"),
    ("cold query, s", "cold", "cold_s", "{:.2f}"),
    ("p50, ms", "warm", "p50_ms", "{:,.2f}"),
    ("p99, ms", "warm", "p99_ms", "{:,.2f}"),
    ("queries/s", "warm", "queries_per_s", "{:,.0f}"),
    ("recall@10", "recall", "recall", "{:.3f}"),
    ("memory to index, MB", "indexing", "index_peak_mb", "{:,.0f}"),
    ("to query, MB", "warm", "query_peak_mb", "{:,.0f}"),
    ("disk, MB", "indexing", "disk_mb", "{:,.1f}"),
)


def shown(name: str) -> str:
    """Return how one corpus was measured, and its table."""
    found = result("peers")
    if name not in found["corpora"]:
        return "Not measured yet."
    return f"{circumstances(found, name)}\n\n{table(corpus(found, name))}"


def versions(found: Found) -> list[Row]:
    """Return which versions of the peers were measured, head first."""
    peers: dict[str, dict[str, str]] = found["machine"]["peers"]
    rows: list[Row] = [("environment", "packages")]
    return [
        *rows,
        *((name, ", ".join(f"{one} {version}" for one, version in each.items())) for name, each in peers.items()),
    ]


def corpus(found: Found, name: str) -> list[Row]:
    """Return the rows of one corpus, head first; a dash stands where nothing was measured."""
    documents = found["corpora"][name]["documents"]
    rows: list[Row] = [("", *(head for head, *_ in COLUMNS))]
    for contender, steps in found["corpora"][name]["contenders"].items():
        indexed = steps["indexing"]["indexed"]
        label = contender if indexed == documents else f"{contender} ({indexed} documents)"
        rows.append((label, *(cell(steps, step, key, form) for _, step, key, form in COLUMNS)))
    return rows


def cell(steps: dict[str, Found], step: str, key: str, form: str) -> str:
    number = steps.get(step, {}).get(key)
    return "-" if number is None else form.format(number)


def quality(found: Found) -> list[Row]:
    """Return nDCG@10 of each contender on each judged set, and the mean where there are several sets, head first."""
    sets: dict[str, dict[str, float]] = found["quality"]
    names = list(dict.fromkeys(contender for each in sets.values() for contender in each))
    several = len(sets) > 1
    rows: list[Row] = [("nDCG@10", *sets, *(["mean"] if several else []))]
    for name in names:
        scores = [each.get(name) for each in sets.values()]
        scores += [mean_quality(found, name)] if several else []
        rows.append((name, *("-" if score is None else f"{score:.3f}" for score in scores)))
    return rows


def mean_quality(found: Found, contender: str) -> float | None:
    """Return the mean nDCG@10 of a contender over all sets, or None when one is missing."""
    scores = [each.get(contender) for each in found["quality"].values()]
    known = [score for score in scores if score is not None]
    return statistics.mean(known) if known and len(known) == len(scores) else None


def circumstances(found: Found, name: str) -> str:
    """Return when one corpus was measured, in how many runs, and how busy the machine was: one sentence."""
    steps = [step for each in found["corpora"][name]["contenders"].values() for step in each.values()]
    dates = sorted({step["made"][:10] for step in steps})
    loads = [step["load"] for step in steps]
    rounds = {step["rounds"] for step in steps if "rounds" in step}
    runs = len({each["indexing"]["made"] for each in found["corpora"][name]["contenders"].values()})
    facts = found["machine"]
    several = "" if runs == 1 else f" in {runs} runs (numbers of different runs compare only roughly)"
    return (
        f"Measured on {' and '.join(dates)}{several}, on {facts['cores']} cores of {facts['processor']}, "
        f"{' or '.join(map(str, sorted(rounds)))} round(s). The load was {min(loads):.1f} to {max(loads):.1f};"
        f" above {facts['cores']}, other work slowed everything down."
    )


def draw(found: Found, name: str, target: Path) -> None:
    """Draw mean nDCG@10 against documents indexed in a second, as SVG, the same bytes for the same numbers."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "docsim", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    for contender, steps in found["corpora"][name]["contenders"].items():
        score = mean_quality(found, contender)
        if score is not None:
            place = (steps["indexing"]["documents_per_s"], score)
            axes.scatter(*place, color="tab:red" if contender.startswith("docsim") else "tab:gray", s=28)
            axes.annotate(contender, place, (4, 3), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel=f"documents indexed in a second ({name}, logarithmic)", ylabel="mean nDCG@10")
    axes.margins(x=0.25, y=0.1)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
