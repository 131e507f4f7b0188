"""The tables of docs/research/ranking.md, from benchmarks/results."""

from __future__ import annotations

import short_query_tables
from tables import result, table

__all__ = ["answers", "fusion_shares", "hybrid", "hybrid_beside", "names", "passages", "short", "smoothing"]

AFTER = {"untrained": "not trained", "trained": "trained on each set without labels"}


def passages() -> str:
    """Return the table of passage lengths, contexts and document scores."""
    rows = result("passages")["rows"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    scores = [name for name, value in rows[0].items() if isinstance(value, float) and name != "seconds"]
    settings = list(dict.fromkeys((row["target"], row["overlap"], row["context"]) for row in rows))
    lines = [("characters", "overlap", "context", *scores)]
    for target, overlap, context in settings:
        these = [row for row in rows if (row["target"], row["overlap"], row["context"]) == (target, overlap, context)]
        means = [sum(row[score] for row in these) / len(these) for score in scores]
        lines.append((str(target or "whole"), str(overlap), context, *(f"{mean:.3f}" for mean in means)))
    return f"Mean nDCG@10 over {', '.join(sets)}:\n\n" + table(lines)


def hybrid() -> str:
    """Return the tables of fusions, of ways to ask for words, and of shares that corpora chose."""
    found = result("hybrid")
    parts = []
    for encoder, after in AFTER.items():
        parts.append(f"nDCG@10, default encoder, {after}:\n\n" + by_set(found["fusion"][encoder]))
    parts.append("nDCG@10 of words alone, with other ways to query:\n\n" + by_set(found["terms"]["untrained"]))
    rows = [("set", "encoder", "question", *next(iter(found["probes"]["trained"].values()))["title"])]
    for encoder, sets in found["probes"].items():
        for name, kinds in sets.items():
            rows += [(name, encoder, kind, *(f"{value:.3f}" for value in row.values())) for kind, row in kinds.items()]
    heading = "Mean reciprocal rank of a document's second half, by the weight of words in the fused score:"
    return "\n\n".join([*parts, f"{heading}\n\n{table(rows)}"])


def smoothing() -> str:
    """Return the tables of what smoothing brings, after training, to queries of one passage and to longer ones."""
    found = result("hybrid")["smoothing"]["trained"]
    parts = []
    for kind, title in (("short", "Queries of one passage"), ("long", "Longer queries")):
        sets = {f"{name} ({row[kind]['queries']})": row[kind] for name, row in found.items() if row[kind]}
        values = {name: {key: value for key, value in row.items() if key != "queries"} for name, row in sets.items()}
        parts.append(
            f"{title}, nDCG@10 after training on each set (number of queries in brackets):\n\n{by_set(values)}"
        )
    return "\n\n".join(parts)


def hybrid_beside() -> str:
    """Return what `docsim query` finds by default, beside BM25 fused with a large encoder."""
    found, others, teacher = result("hybrid")["fusion"], result("hybrid_beside"), "all-MiniLM-L6-v2"
    rows = {
        "docsim, hybrid": {name: row["docsim, hybrid"] for name, row in found["untrained"].items()},
        "docsim, hybrid, trained": {name: row["docsim, hybrid"] for name, row in found["trained"].items()},
        f"docsim, trained with {teacher}": {name: row["docsim, hybrid"] for name, row in found["taught"].items()},
        f"BM25 and {teacher}": {name: row["sum"] for name, row in others.items()},
        f"BM25 and {teacher}, smoothed as docsim does": {name: row["smoothed"] for name, row in others.items()},
    }
    sets = {name: {label: values[name] for label, values in rows.items()} for name in others}
    return "nDCG@10:\n\n" + by_set(sets)


def short(name: str) -> str:
    """Return a table of what short queries find."""
    rows: list[tuple[str, ...]] = getattr(short_query_tables, name)(result("short_queries")[name])
    return table(rows)


def fusion_shares() -> str:
    """Return what each side reaches alone, and both with a fixed share and with the rule, on every set."""
    names = ("dense", "lexical", "fixed", "docsim", "left out")
    lines = [("set", "encoder", "queries", *names)]
    for encoder, sets in result("fusion_shares").items():
        shown = "all-MiniLM-L6-v2" if encoder == "minilm" else encoder
        for name, row in sets.items():
            lines.append((name, shown, str(row["queries"]), *(f"{row[one]:.3f}" for one in names)))
        means = [sum(row[one] for row in sets.values()) / len(sets) for one in names]
        lines.append(("**mean**", shown, "", *(f"{mean:.3f}" for mean in means)))
    return "nDCG@10:\n\n" + table(lines)


def answers() -> str:
    """Return how well questions with and without an answer are told apart."""
    kinds, names = ("removed", "other"), ("similarity", "percentile", "docsim, left out")
    sets = result("answers")["default"]["sets"]
    lines = [("set", *(f"{kind}: {name}" for kind in kinds for name in names), "answered", "removed", "other")]
    for name, row in sets.items():
        said = (f"{share:.0%}" for share in row["said to be nothing"].values())
        lines.append((name, *(f"{row[kind][one]:.3f}" for kind in kinds for one in names), *said))
    means = [sum(row[kind][one] for row in sets.values()) / len(sets) for kind in kinds for one in names]
    shares = [
        sum(row["said to be nothing"][kind] for row in sets.values()) / len(sets) for kind in ("answered", *kinds)
    ]
    lines.append(("**mean**", *(f"{mean:.3f}" for mean in means), *(f"{share:.0%}" for share in shares)))
    return table(lines)


def by_set(sets: dict[str, dict[str, float]]) -> str:
    """Return a table with a column for each set and a row for each name, and the mean."""
    names = list(next(iter(sets.values())))
    rows = [("", *sets, "mean")]
    for name in names:
        values = [row[name] for row in sets.values()]
        rows.append((name, *(f"{value:.3f}" for value in values), f"{sum(values) / len(values):.3f}"))
    return table(rows)


def names() -> str:
    """Return the table of pages that are asked for by their names."""
    rows = [("set", "asked by", "first", "among three", "first, without the rule", "among three, without it")]
    for name, kinds in result("names")["sets"].items():
        for kind, row in kinds.items():
            shown = ("first", "among three", "first without", "among three without")
            rows.append((name, kind, *(f"{row[each]} of {row['asked']}" for each in shown)))
    return table(rows)
