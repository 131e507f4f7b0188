"""The tables of docs/research/reindexing.md, from benchmarks/results."""

from __future__ import annotations

from tables import result, table

__all__ = ["adapter", "incremental", "reindexing"]


def reindexing() -> str:
    """Return the table of what re-indexing costs."""
    found = result("reindexing")
    times, reading, moved = found["times"], found["reading"], found["publishing"]
    first, again = (times["measured"][name]["wall_s"] for name in ("docsim index", "docsim reindex"))
    idle, busy = (reading[name]["p50_ms"] for name in ("idle", "during_a_reindex"))
    lines = [
        ("", "measured", "compared with", "ratio"),
        (
            "re-index everything, with gate and report",
            *(f"{again:.1f} s", f"indexing the first time: {first:.1f} s", f"{again / first:.2f}"),
        ),
        (
            "a query during a re-index, p50",
            *(f"{busy:.2f} ms", f"nothing else running: {idle:.2f} ms", f"{busy / idle:.2f}"),
        ),
    ]
    lines += [(name, f"{moved[name]['ms']:.1f} ms", "", "") for name in ("publish", "rollback")]
    pruned = found["pruning"]
    lines.append(
        ("disk space after `docsim prune`", f"{pruned['mb_after']} MB", f"before: {pruned['mb_before']} MB", "")
    )
    if scale := found.get("scale"):
        peaks = [scale[name]["peak_mb"] for name in ("docsim reindex", "docsim index")]
        what = f"peak memory, {scale['documents']:,} documents ({scale['vectors_mb']} MB of vectors)"
        lines.append((what, f"{peaks[0]:.0f} MB", f"indexing: {peaks[1]:.0f} MB", f"{peaks[0] / peaks[1]:.2f}"))
    return f"{found['documents']:,} pages (MDN) on {found['cores']} cores; medians:\n\n" + table(lines)


def adapter() -> str:
    """Return the table of what adapters recover."""
    found = result("adapter")
    names = list(found["rows"][0]["variants"])
    lines = [("set", "change", "full re-index", "old encoder", *names)]
    for row in found["rows"]:
        shares = (f"{row['variants'][name]['share']:.1%}" for name in names)
        lines.append((row["set"], row["change"], f"{row['full']:.3f}", f"{row['old_share']:.1%}", *shares))
    learning = max(row["learning_s"] for row in found["rows"])
    rate = min(row["passages"] / row["mapping_s"] for row in found["rows"])
    return (
        f"nDCG@10 of a full re-index, and which share of it is reached without one. Maps are learned from "
        f"{found['sampled']:,} passages; docsim's takes up to {learning:.1f} s to learn and then maps at least "
        f"{rate:,.0f} passages a second:\n\n" + table(lines)
    )


def incremental() -> str:
    """Return the table of what retraining leaves unchanged."""
    lines = [("set", "change", "rows unchanged", "of those in the corpus", "passages unchanged", "median cosine")]
    for row in result("incremental")["rows"]:
        shares = (f"{row[name]:.1%}" for name in ("rows_unchanged", "rows_in_corpus_unchanged", "passages_unchanged"))
        lines.append((row["set"], row["change"], *shares, f"{row['cosine_median']:.3f}"))
    return table(lines)
