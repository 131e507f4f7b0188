"""The tables of docs/research/duplicates-and-topics.md, from benchmarks/results."""

from __future__ import annotations

from tables import result, table

__all__ = ["duplicates", "topics"]


def duplicates() -> str:
    """Return the table of what is found of duplicates, and how long it takes."""
    found = result("duplicates")
    head = ("set", "documents", "threshold", "near", "contained", "exact", "seconds")
    thresholds = list(dict.fromkeys(key for one in found["sets"].values() for key in one.get("recall", {})))
    rows = [(*head, *(f"overlap {one}" for one in thresholds))]
    for name, one in found["sets"].items():
        members = [str(one["members"].get(kind, 0)) for kind in ("near", "contained", "exact")]
        shares = (one.get("recall", {}).get(key) for key in thresholds)
        told = (f"{it['found']:.0%} of {it['documents']}, {it['alike found']:.0%}" if it else "-" for it in shares)
        facts = (name, f"{one['documents']:,}", f"{one['threshold']:.2f}", *members, f"{one['seconds']:.1f}")
        rows.append((*facts, *told))
    corpus = found["corpus"]
    text = f"In the sample corpus, {corpus['found']} of {corpus['planted']} planted near-duplicates are found, and "
    text += f"{corpus['others']} other pairs."
    for one in found["sets"].values():
        if "marked" in one:
            pairs = one["marked"]
            text += f" People marked {pairs['pairs']} pairs of bug reports as duplicates that describe one bug in "
            text += f"different words; {pairs['in one group']} of these are in one group."
    return f"{table(rows)}\n\n{text}"


def topics() -> str:
    """Return the table of what topics are made from."""
    rows = [("set", "topics", "made from", "agreement with folders", "nearest dots of one colour")]
    for row in result("topics")["rows"]:
        measured = (f"{row['folders']:.2f}", f"{row['nearest dots']:.2f}")
        rows.append((row["set"], str(row["topics"]), row["from"], *measured))
    return table(rows)
