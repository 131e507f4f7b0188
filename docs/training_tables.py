"""The tables of docs/research/training.md and of imported encoders, from benchmarks/results."""

from __future__ import annotations

from tables import result, table

SELF_SUPERVISED = ("documents", "queries", "untrained", "trained", "trained_least", "runs")
SWEPT = ("megabytes", "steps", "seconds")


def self_supervision() -> str:
    """Return the table of what label-free training gives on each knowledge base."""
    found = result("self_supervision")["sets"]
    teacher = next(name for name in next(iter(found.values())) if name not in SELF_SUPERVISED)
    rows = [("", "documents", "untrained", "trained", "lowest seed", teacher, "seconds", "peak MB")]
    for name, row in found.items():
        values = (row["untrained"], row["trained"], row["trained_least"], row[teacher])
        seconds, memory = (max(run[fact] for run in row["runs"]) for fact in ("seconds", "peak_mb"))
        measured = tuple(f"{value:.3f}" for value in values)
        rows.append((name, f"{row['documents']:,}", *measured, f"{seconds:.0f}", f"{memory:,.0f}"))
    seeds = len(next(iter(found.values()))["runs"])
    return f"nDCG@10, mean of {seeds} seeds; seconds and memory of the slowest and the largest run:\n\n" + table(rows)


def gate() -> str:
    """Return what the gate said of trainings, beside the change of judged nDCG@10."""
    lines = [("set", "training", "seed", "steps kept", "spans", "questions", "judged", "95 %", "published")]
    for one in result("gate_calibration")["trainings"]:
        if "judged" in one:
            changes = (f"{one[name]:+.3f}" if name in one else "" for name in ("spans", "questions", "judged"))
            interval = f"{one['low']:+.3f} to {one['high']:+.3f}"
            head = (one["set"], one["strength"], str(one["seed"]), str(one["steps"]))
            lines.append((*head, *changes, interval, "yes" if one["published"] else "no"))
    return "Change of nDCG@10:\n\n" + table(lines)


def teaching() -> str:
    """Return the table of what a teacher brings."""
    found = result("teaching")
    rows = [("", "tokens, median", "without", "with", "gain", "probe without", "probe with", "seconds asking")]
    for name, row in sorted(found["sets"].items(), key=lambda one: float(one[1]["median_tokens"])):
        without, taught = row["ndcg"]["without"], row["ndcg"]["with"]
        scores = (f"{without:.3f}", f"{taught:.3f}", f"{taught - without:+.3f}")
        probes = tuple(f"{row['probe'][arm]:.3f}" for arm in ("without", "with"))
        rows.append((name, f"{row['median_tokens']:.0f}", *scores, *probes, f"{row['seconds_asking']:.0f}"))
    return f"nDCG@10 with the teacher {found['teacher']} and without it, one seed:\n\n" + table(rows)


def sweep() -> str:
    """Return the tables of what a sweep tried, and of what its best encoder answers."""
    found = result("sweep")
    rows = [("tower", "started from", found["metric"], "95 %", "texts a second", "MB", "steps kept", "seconds")]
    for one in found["trials"]:
        measured = (f"{one['metric']:.3f}", f"{one['low']:.2f} to {one['high']:.2f}", f"{one['texts_per_second']:,.0f}")
        rows.append((one["tower"], one["start"], *measured, *(f"{one[name]:.0f}" for name in SWEPT)))
    judged = [("nDCG@10, dense", "questions", "pages")]
    judged += [(name, *(f"{value:.3f}" for value in row.values())) for name, row in found["judged"].items()]
    return f"{found['documents']} documents, {found['budget']:.0f} s:\n\n{table(rows)}\n\n{table(judged)}"


def sts() -> str:
    """Return the table of what towers learn from scored pairs."""
    found = result("sts")
    glove = found["starts"]["glove"]
    names = {"glove": f"GloVe, {glove['words']:,} words of {glove['dim']}", "default": "the default encoder"}
    rows = [("tower", "started from", "Spearman, dev", "steps", "processor seconds")]
    rows += [
        ("none, untrained", names[start], f"{100 * value:.1f}", "", "") for start, value in found["untrained"].items()
    ]
    for row in found["towers"].values():
        steps, seconds = (
            sum(run[fact] for run in row["runs"]) / len(row["runs"]) for fact in ("steps", "processor_seconds")
        )
        measured = (f"{100 * row['spearman']:.1f}", f"{steps:.0f}", f"{seconds:.0f}")
        rows.append((row["tower"], names[row["start"]], *measured))
    return table(rows)


def imported() -> str:
    """Return the table of an imported sentence encoder, as float32 and as int8, beside its original."""
    found = result("imported")
    speeds = [found[texts]["speed"] for texts in ("documents", "paragraphs")]
    rows = [("", "documents a second", "paragraphs a second", "cosine with the original, mean", "lowest", "nDCG@10")]
    for name in speeds[0]:
        cosine = found["cosine_with_original"].get(name, {"mean": 1.0, "least": 1.0})
        agreed = (f"{cosine['mean']:.4f}", f"{cosine['least']:.4f}", f"{found['ndcg_at_10'][name]:.3f}")
        rows.append((name, *(f"{speed[name]['texts_per_second']:.1f}" for speed in speeds), *agreed))
    return f"nDCG@10 of {found['ndcg_at_10']['set']}, texts cut at {found['max_tokens']} tokens:\n\n" + table(rows)


def tried(part: str) -> str:
    """Return a table of what was tried, a set a column."""
    found = result("training_tried")[part]
    sets = [name for name, value in found[0].items() if isinstance(value, float)]
    rows = [("", *sets, "mean")]
    for row in found:
        label = f"**{row['what']}**" if row.get("kept") else row["what"]
        values = [row.get(name) for name in sets]
        mean = "" if None in values else f"{sum(filter(None, values)) / len(values):.3f}"
        rows.append((label, *("" if value is None else f"{value:.3f}" for value in values), mean))
    return table(rows)


def tried_on_tldr() -> str:
    """Return what else was tried on one set alone."""
    found = result("training_tried")["tldr_alone"]
    rows: list[tuple[str, ...]] = [("change", "nDCG@10 of tldr")]
    rows += [(what, _measured(value)) for what, value in found.items() if what != "how"]
    return table(rows)


def tried_probes() -> str:
    """Return how far the weights that each probe chose were below the best ones."""
    found = result("training_tried")["probe"]
    rows: list[tuple[str, ...]] = [("shared tokens struck out", "below the best, mean", "at worst")]
    rows += [
        (f"{float(share):.0%}", f"{row[0]:.4f}", f"{row[1]:.3f}") for share, row in found.items() if share != "how"
    ]
    return table(rows)


def _measured(value: float | list[float] | dict[str, float]) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.3f}"
    return " to ".join(f"{one:.3f}" for one in value) if isinstance(value, list) else f"{value:.3f}"
