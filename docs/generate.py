"""Write what the documentation takes from the code: the command reference, and the numbers from benchmarks/results.

python docs/generate.py           write docs/cli.md, the numbers in README.md and docs/, and docs/benchmarks.svg
python docs/generate.py --check   exit with 1 if they are not up to date
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import encoder_tables
import peer_tables
import scale_tables
import short_query_tables
import training_tables
from command_reference import reference
from tables import RESULTS, ROOT, result, table


def speed() -> str:
    """Return the table of speeds."""
    found = result("speed")
    rows = [("", "docsim", "beside it", "ratio")]
    for label, section, ours, theirs, number, unit in SPEED:
        measured = found[section]["measured"]
        if theirs in measured and ours in measured:
            mine, other = (measured[name][number] for name in (ours, theirs))
            rows.append((label, f"{mine:,.2f} {unit}", f"{other:,.2f} {unit}", f"{mine / other:.2f}"))
    facts = found["machine"]
    return (
        f"{found['corpus']['documents']:,} pages (MDN, 42 MB) on {facts['cores']} cores of {facts['processor']}; "
        "medians:\n\n" + table(rows)
    )


INDEX, ENCODE, RATE = "docsim index", "model2vec encode", "documents_per_s"
# label, section, docsim's name in it, the other's, the number compared, its unit
SPEED = (
    ("index it all, beside model2vec only encoding it", "indexing", INDEX, f"{ENCODE} (float16)", "wall_s", "s"),
    ("the same, model2vec in float32", "indexing", INDEX, f"{ENCODE} (float32)", "wall_s", "s"),
    ("indexing, beside txtai with all-MiniLM-L6-v2", "indexing", INDEX, "txtai, all-MiniLM-L6-v2", RATE, "documents/s"),
    ("indexing, beside txtai with a static model", "indexing", INDEX, "txtai, static model", RATE, "documents/s"),
    ("index again, nothing new, beside the first time", "indexing", f"{INDEX}, nothing new", INDEX, "wall_s", "s"),
    (
        "a query as a process, beside its imports alone",
        "cold_query",
        "docsim query",
        "the imports alone",
        "wall_s",
        "s",
    ),
    *(
        (
            f"a warm {mode} query, beside encoding and FAISS alone, {p}",
            "warm_query",
            name,
            "bare_float16",
            f"{p}_ms",
            "ms",
        )
        for mode, name in (("dense", "docsim_dense"), ("hybrid", "docsim"))
        for p in ("p50", "p99")
    ),
    ("encoding in batches, beside model2vec", "encoding", "docsim", f"{ENCODE} (float32)", RATE, "documents/s"),
    ("encoding one text, beside model2vec", "encoding", "docsim", f"{ENCODE} (float32)", "single_ms", "ms"),
)


def reindexing() -> str:
    """Return the table of what re-indexing costs."""
    found = result("reindexing")
    times, reading, moved = found["times"], found["reading"], found["publishing"]
    first, again = (times["measured"][name]["wall_s"] for name in (INDEX, "docsim reindex"))
    idle, busy = (reading[name]["p50_ms"] for name in ("idle", "during_a_reindex"))
    lines = [
        ("", "measured", "beside it", "ratio"),
        (
            "re-index it all, gate and report included, beside indexing it",
            *(f"{again:.1f} s", f"{first:.1f} s", f"{again / first:.2f}"),
        ),
        (
            "a query during a re-index, beside nothing else going on, p50",
            *(f"{busy:.2f} ms", f"{idle:.2f} ms", f"{busy / idle:.2f}"),
        ),
    ]
    lines += [(name, f"{moved[name]['ms']:.1f} ms", "", "") for name in ("publish", "rollback")]
    pruned = found["pruning"]
    lines.append(("prune", f"{pruned['mb_before']} MB", f"{pruned['mb_after']} MB", ""))
    if scale := found.get("scale"):
        peaks = [scale[name]["peak_mb"] for name in ("docsim reindex", INDEX)]
        what = f"memory at {scale['documents']:,} documents ({scale['vectors_mb']} MB of vectors), beside indexing them"
        lines.append((what, f"{peaks[0]:.0f} MB", f"{peaks[1]:.0f} MB", f"{peaks[0] / peaks[1]:.2f}"))
    return f"{found['documents']:,} pages (MDN) on {found['cores']} cores; medians:\n\n" + table(lines)


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
        parts.append(f"nDCG@10, default encoder, {encoder}{after}:\n\n" + by_set(found["fusion"][encoder]))
    parts.append("nDCG@10 by words alone, asked in other ways:\n\n" + by_set(found["terms"]["untrained"]))
    rows = [("set", "encoder", "question", *next(iter(found["probes"]["trained"].values()))["title"])]
    for encoder, sets in found["probes"].items():
        for name, kinds in sets.items():
            rows += [(name, encoder, kind, *(f"{value:.3f}" for value in row.values())) for kind, row in kinds.items()]
    heading = "Mean reciprocal rank at which a document's second half is found, by the share of words:"
    return "\n\n".join([*parts, f"{heading}\n\n{table(rows)}"])


def smoothing() -> str:
    """Return the tables of what smoothing brings, after training, to queries of one passage and to longer ones."""
    found = result("hybrid")["smoothing"]["trained"]
    parts = []
    for kind, title in (("short", "Queries of one passage"), ("long", "Longer queries")):
        sets = {f"{name} ({row[kind]['queries']})": row[kind] for name, row in found.items() if row[kind]}
        values = {name: {key: value for key, value in row.items() if key != "queries"} for name, row in sets.items()}
        parts.append(
            f"{title}, nDCG@10 after training on each set, the number of queries in brackets:\n\n{by_set(values)}"
        )
    return "\n\n".join(parts)


def hybrid_beside() -> str:
    """Return what `docsim query` finds by default, beside BM25 fused with a large encoder."""
    found, others, teacher = result("hybrid")["fusion"], result("hybrid_beside"), "all-MiniLM-L6-v2"
    rows = {
        "docsim, hybrid": {name: row["docsim, hybrid"] for name, row in found["untrained"].items()},
        "the same, trained": {name: row["docsim, hybrid"] for name, row in found["trained"].items()},
        f"the same, trained with {teacher}": {name: row["docsim, hybrid"] for name, row in found["taught"].items()},
        f"BM25 and {teacher}": {name: row["sum"] for name, row in others.items()},
        "the same, smoothed as docsim does": {name: row["smoothed"] for name, row in others.items()},
    }
    sets = {name: {label: values[name] for label, values in rows.items()} for name in others}
    return "nDCG@10:\n\n" + by_set(sets)


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
    text = f"Of {corpus['planted']} near-duplicates planted in the sample corpus {corpus['found']} are found, and "
    text += f"{corpus['others']} other pairs."
    for one in found["sets"].values():
        if "marked" in one:
            text += (
                f" Of {one['marked']['pairs']} pairs of bug reports that people marked as duplicates, told in other "
            )
            text += f"words, {one['marked']['in one group']} are in one group."
    return f"{table(rows)}\n\n{text}"


def topics() -> str:
    """Return the table of what topics are made from."""
    rows = [("set", "topics", "made from", "agreement with folders", "nearest dots of one colour")]
    for row in result("topics")["rows"]:
        measured = (f"{row['folders']:.2f}", f"{row['nearest dots']:.2f}")
        rows.append((row["set"], str(row["topics"]), row["from"], *measured))
    return table(rows)


def short(name: str) -> str:
    """Return a table of what short queries find."""
    rows: list[tuple[str, ...]] = getattr(short_query_tables, name)(result("short_queries")[name])
    return table(rows)


AFTER = {"untrained": "", "trained": " on each set without labels"}


def by_set(sets: dict[str, dict[str, float]]) -> str:
    """Return a table with a column for each set and a row for each name, and the mean."""
    names = list(next(iter(sets.values())))
    rows = [("", *sets, "mean")]
    for name in names:
        values = [row[name] for row in sets.values()]
        rows.append((name, *(f"{value:.3f}" for value in values), f"{sum(values) / len(values):.3f}"))
    return table(rows)


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
        f"nDCG@10 of a full re-index, and the shares of it without one. Maps are learnt from {found['sampled']:,} "
        f"passages, docsim's within {learning:.1f} s; then it maps at least {rate:,.0f} passages a second:\n\n"
        + table(lines)
    )


def incremental() -> str:
    """Return the table of what retraining leaves unchanged."""
    lines = [("set", "change", "rows unchanged", "of those in the corpus", "passages unchanged", "median cosine")]
    for row in result("incremental")["rows"]:
        shares = (f"{row[name]:.1%}" for name in ("rows_unchanged", "rows_in_corpus_unchanged", "passages_unchanged"))
        lines.append((row["set"], row["change"], *shares, f"{row['cosine_median']:.3f}"))
    return table(lines)


def peers(corpus: str) -> str:
    """Return the table of docsim and its peers on one corpus."""
    found = result("peers")
    if corpus not in found["corpora"]:
        return "Not measured yet."
    return peer_tables.circumstances(found, corpus) + "\n\n" + table(peer_tables.corpus(found, corpus))


def quality() -> str:
    """Return how good the answers of docsim and its peers are."""
    return table(peer_tables.quality(result("peers")))


def versions() -> str:
    """Return which versions of the peers were measured."""
    peers: dict[str, dict[str, str]] = result("peers")["machine"]["peers"]
    rows = [
        (name, ", ".join(f"{package} {version}" for package, version in each.items())) for name, each in peers.items()
    ]
    return table([("environment", "packages"), *rows])


def results() -> str:
    """Return what else there is in benchmarks/results."""
    rows = [("result", "made by")]
    for path in sorted(RESULTS.glob("*.json")):
        rows.append((f"[{path.name}](../benchmarks/results/{path.name})", f"`benchmarks/{path.stem}.py`"))
    return table(rows)


# name of the marker: the result it needs, and what makes it
SECTIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "speed": ("speed", speed),
    "passages": ("passages", passages),
    "hybrid": ("hybrid", hybrid),
    "smoothing": ("hybrid", smoothing),
    "hybrid-beside": ("hybrid", hybrid_beside),
    "reindexing": ("reindexing", reindexing),
    "adapter": ("adapter", adapter),
    "duplicates": ("duplicates", duplicates),
    "topics": ("topics", topics),
    "incremental": ("incremental", incremental),
    "self_supervision": ("self_supervision", training_tables.self_supervision),
    "teaching": ("teaching", training_tables.teaching),
    "sweep": ("sweep", training_tables.sweep),
    "sts": ("sts", training_tables.sts),
    "imported": ("imported", training_tables.imported),
    "training_tried": ("training_tried", partial(training_tables.tried, "settings")),
    "training_tried_weights": ("training_tried", partial(training_tables.tried, "token_weights")),
    "training_tried_damping": ("training_tried", partial(training_tables.tried, "damping")),
    "training_tried_questions": ("training_tried", partial(training_tables.tried, "questions_dense")),
    "training_tried_questions_fused": ("training_tried", partial(training_tables.tried, "questions_fused")),
    "encoder-quality": ("quality", lambda: table(encoder_tables.off_the_shelf(result("quality")))),
    "encoder-trained": ("quality", lambda: table(encoder_tables.trained(result("quality")))),
    "encoder-tried": ("default_encoder", lambda: table(encoder_tables.tried(result("default_encoder")["tried"]))),
    "peers-small": ("peers", lambda: peers("businesscentral")),
    "peers-large": ("peers", lambda: peers("win32")),
    "peers-quality": ("peers", quality),
    "peers-versions": ("peers", versions),
    "scale": ("scale", lambda: table(scale_tables.scale(result("scale")))),
    "opening": ("opening", lambda: table(scale_tables.opening(result("opening")))),
    "filters": ("filters", lambda: table(scale_tables.filters(result("filters")))),
    "percentiles": ("short_queries", lambda: short("percentiles")),
    "identifiers": ("short_queries", lambda: short("identifiers")),
    "results": ("speed", results),
}


def filled(text: str) -> str:
    """Return a document with each ``<!-- begin NAME -->`` ... ``<!-- end NAME -->`` filled from its results."""
    for name, (needed, section) in SECTIONS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin in text and (RESULTS / f"{needed}.json").is_file():
            before, rest = text.split(begin)
            text = f"{before}{begin}\n{section()}\n{end}{rest.split(end)[1]}"
    return text


def outputs() -> dict[Path, str]:
    """Return what each generated file should hold."""
    documents = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md")]
    found = {path: filled(path.read_text(encoding="utf-8")) for path in documents}
    return {ROOT / "docs" / "cli.md": reference(), **found}


def main() -> None:
    """Write the files, or check them."""
    stale = [path for path, text in outputs().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date; write it with: make docs")
        sys.exit(1 if stale else 0)
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")
    peer_tables.draw(result("peers"), "businesscentral", ROOT / "docs" / "benchmarks.svg")
    scale_tables.draw_filters(result("filters"), ROOT / "docs" / "filters.svg")


if __name__ == "__main__":
    main()
