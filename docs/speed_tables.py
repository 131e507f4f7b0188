"""The tables of speeds, from benchmarks/results/speed.json."""

from __future__ import annotations

from dataclasses import dataclass

from tables import result, table

__all__ = ["in_brief", "speed"]

INDEX, ENCODE, RATE = "docsim index", "model2vec encode", "documents_per_s"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        label: What is done.
        other: What docsim is compared with.
        section: Where it was measured.
        ours: docsim's name there.
        theirs: The other's name there.
        number: The number that is compared.
        unit: Its unit.
        brief: Whether the README shows it.
    """

    label: str
    other: str
    section: str
    ours: str
    theirs: str
    number: str
    unit: str
    brief: bool = False


def _indexing(other: str, theirs: str, *, brief: bool = True) -> Row:
    """Return how fast another tool indexes."""
    return Row("index", other, "indexing", INDEX, theirs, RATE, "documents/s", brief)


def _whole(other: str, theirs: str, *, brief: bool = True) -> Row:
    """Return how long another tool takes for the whole corpus."""
    return Row("index all pages", other, "indexing", INDEX, theirs, "wall_s", "s", brief)


def _warm(mode: str, ours: str, percentile: str) -> Row:
    """Return how long a query of an open index takes."""
    label, brief = f"{mode} query, index open, {percentile}", (mode, percentile) == ("hybrid", "p50")
    return Row(label, "encoding and FAISS alone", "warm_query", ours, "bare_float16", f"{percentile}_ms", "ms", brief)


ROWS = (
    _whole("model2vec, only encoding (float16)", f"{ENCODE} (float16)", brief=False),
    _whole("model2vec, only encoding (float32)", f"{ENCODE} (float32)"),
    _indexing("txtai with all-MiniLM-L6-v2", "txtai, all-MiniLM-L6-v2"),
    _indexing("txtai with a static model", "txtai, static model"),
    Row(
        "index again, nothing changed",
        "the first time",
        "indexing",
        f"{INDEX}, nothing new",
        INDEX,
        "wall_s",
        "s",
        True,
    ),
    Row(
        "`docsim query`, whole process",
        "only importing its libraries",
        "cold_query",
        "docsim query",
        "the imports alone",
        "wall_s",
        "s",
        True,
    ),
    *(_warm(mode, name, p) for mode, name in (("dense", "docsim_dense"), ("hybrid", "docsim")) for p in ("p50", "p99")),
    Row("encode in batches", "model2vec", "encoding", "docsim", f"{ENCODE} (float32)", RATE, "documents/s"),
    Row("encode one text", "model2vec", "encoding", "docsim", f"{ENCODE} (float32)", "single_ms", "ms"),
)


def speed() -> str:
    """Return the table of all comparisons."""
    return _table(ROWS)


def in_brief() -> str:
    """Return the table of those that the README shows."""
    return _table(tuple(row for row in ROWS if row.brief))


def _table(wanted: tuple[Row, ...]) -> str:
    found = result("speed")
    rows = [("", "docsim", "compared with", "ratio")]
    for row in wanted:
        measured = found[row.section]["measured"]
        if row.theirs in measured and row.ours in measured:
            mine, other = (measured[name][row.number] for name in (row.ours, row.theirs))
            shown = (f"{_number(mine)} {row.unit}", f"{row.other}: {_number(other)} {row.unit}")
            rows.append((row.label, *shown, f"{mine / other:.2f}"))
    facts = found["machine"]
    corpus = f"{found['corpus']['documents']:,} pages (MDN, 42 MB)"
    return f"{corpus} on {facts['cores']} cores of {facts['processor']}; medians:\n\n{table(rows)}"


def _number(value: float) -> str:
    """Return a number with as many digits as are worth reading."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
