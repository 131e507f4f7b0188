"""The tables of speeds, from benchmarks/results/speed.json."""

from __future__ import annotations

from dataclasses import dataclass

from tables import result, table

__all__ = ["in_brief", "speed"]

INDEX, ENCODE, RATE = "docsim index", "model2vec encode", "documents_per_s"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: what is done, where it was measured, docsim's and the other's name there, the number, its unit."""

    label: str
    section: str
    ours: str
    theirs: str
    number: str
    unit: str
    brief: bool = False


FULL = "Index everything; model2vec only encodes it"
ROWS = (
    Row(f"{FULL} (float16)", "indexing", INDEX, f"{ENCODE} (float16)", "wall_s", "s"),
    Row(f"{FULL} (float32)", "indexing", INDEX, f"{ENCODE} (float32)", "wall_s", "s", brief=True),
    Row("Index; txtai with all-MiniLM-L6-v2", "indexing", INDEX, "txtai, all-MiniLM-L6-v2", RATE, "documents/s", brief=True),
    Row("Index; txtai with a static model", "indexing", INDEX, "txtai, static model", RATE, "documents/s", brief=True),
    Row("Index again, nothing changed; the first run", "indexing", f"{INDEX}, nothing new", INDEX, "wall_s", "s", brief=True),
    Row("`docsim query` as a process; a process that only imports its libraries", "cold_query", "docsim query", "the imports alone", "wall_s", "s", brief=True),
    *(
        Row(f"{mode.capitalize()} query, index open, {p}; encoding and FAISS alone", "warm_query", name, "bare_float16", f"{p}_ms", "ms", brief=(mode, p) == ("hybrid", "p50"))
        for mode, name in (("dense", "docsim_dense"), ("hybrid", "docsim"))
        for p in ("p50", "p99")
    ),
    Row("Encode in batches; model2vec", "encoding", "docsim", f"{ENCODE} (float32)", RATE, "documents/s"),
    Row("Encode one text; model2vec", "encoding", "docsim", f"{ENCODE} (float32)", "single_ms", "ms"),
)


def speed() -> str:
    """Return the table of all comparisons."""
    return _table(ROWS)


def in_brief() -> str:
    """Return the table of those that the README shows."""
    return _table(tuple(row for row in ROWS if row.brief))


def _table(wanted: tuple[Row, ...]) -> str:
    found = result("speed")
    rows = [("docsim; what it is compared with", "docsim", "the other", "ratio")]
    for row in wanted:
        measured = found[row.section]["measured"]
        if row.theirs in measured and row.ours in measured:
            mine, other = (measured[name][row.number] for name in (row.ours, row.theirs))
            rows.append((row.label, f"{mine:,.2f} {row.unit}", f"{other:,.2f} {row.unit}", f"{mine / other:.2f}"))
    facts = found["machine"]
    about = f"{found['corpus']['documents']:,} pages (MDN, 42 MB) on {facts['cores']} cores of {facts['processor']}; medians:"
    return f"{about}\n\n{table(rows)}"
