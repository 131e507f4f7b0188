"""What the documentation shows of questions.json, languages.json and encoder_speed.json."""

from __future__ import annotations

from typing import Any

__all__ = ["languages", "questions", "speed"]

Found = dict[str, Any]
Row = tuple[str, ...]

_COLUMNS = (
    ("words", "fast", "lexical"),
    ("`fast`", "fast", "hybrid"),
    ("`accurate`", "accurate", "hybrid"),
    ("MiniLM", "teacher", "hybrid"),
    ("`fast`, embeddings only", "fast", "dense"),
    ("`accurate`, embeddings only", "accurate", "dense"),
    ("MiniLM, embeddings only", "teacher", "dense"),
)


def questions(found: Found) -> list[Row]:
    """Return nDCG@10 on each set of questions, and the means, head first."""
    complete = {name: row for name, row in found.items() if all(one in row for one in ("fast", "accurate", "teacher"))}
    rows: list[Row] = [("", *(title for title, *_ in _COLUMNS))]
    rows += [(name, *(f"{row[who][mode]:.3f}" for _, who, mode in _COLUMNS)) for name, row in complete.items()]
    means = (sum(row[who][mode] for row in complete.values()) / len(complete) for _, who, mode in _COLUMNS)
    return [*rows, ("**mean**", *(f"{mean:.3f}" for mean in means))]


def languages(found: Found) -> list[Row]:
    """Return nDCG@10 of hybrid search and of embeddings only, by language and start of training, head first."""
    ways = ("fast", "trained from fast", "trained from corpus")
    rows: list[Row] = [("", "words", *ways, "`docsim adapt` takes")]
    for name, row in found.items():
        both = (f"{row[way]['hybrid']:.3f} / {row[way]['dense']:.3f}" for way in ways)
        rows.append((name, f"{row['fast']['lexical']:.3f}", *both, row["chosen"]))
    return rows


def speed(found: Found) -> list[Row]:
    """Return how fast each encoder is, head first."""
    rows: list[Row] = [("", "texts a second", "ms a question", "times as fast as sentence-transformers")]
    for name, row in found["encoders"].items():
        rate = f"{row['texts_per_s']:,.0f}"
        rows.append((name, rate, f"{row['ms_per_question']:.2f}", f"{row.get('times_as_fast', 0):.1f}"))
    return rows
