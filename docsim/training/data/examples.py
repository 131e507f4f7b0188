"""Labelled texts: scored pairs, positive pairs and triplets, from a table.

    scored pairs     text_a, text_b, score       (or sentence1, sentence2, score)
    positive pairs   anchor, positive            (or text_a, text_b, or sentence1, sentence2, without a score)
    triplets         anchor, positive, negative

A table is a ``.csv``, ``.tsv`` or ``.jsonl`` file in UTF-8 with a row or an object per example; other columns are
ignored. In a ``.tsv`` file a quotation mark is a character like any other.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.models import storable
from docsim.training.data.batches import Batch, Framing, Ids, epoch_order

__all__ = ["LEAST_EXAMPLES", "Examples", "PairBatches", "Split", "read_examples", "split_examples"]

Kind = Literal["scored", "positive", "triplet"]

LEAST_EXAMPLES = 16
"""Fewer examples are refused: a tenth of them could tell nothing about the rest."""

_HELD_OUT_SHARE = 0.1
_MOST_HELD_OUT = 500
_ROLES = {
    "scored": (("text_a", "text_b"), ("sentence1", "sentence2")),
    "triplet": (("anchor", "positive", "negative"),),
    "positive": (("anchor", "positive"), ("text_a", "text_b"), ("sentence1", "sentence2")),
}
_EXPECTED = "text_a, text_b and score; anchor and positive; or anchor, positive and negative"


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled texts.

    Attributes:
        kind: What they are.
        texts: Two texts of each example, or three for triplets.
        scores: float32 ``(examples,)`` in [0, 1] for scored pairs, else None.
    """

    kind: Kind
    texts: tuple[tuple[str, ...], ...]
    scores: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Examples:
        """Return some of the examples."""
        scores = None if self.scores is None else self.scores[list(rows)]
        return Examples(self.kind, tuple(self.texts[row] for row in rows), scores)

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of all texts and scores, in order."""
        scores = [] if self.scores is None else self.scores.tolist()
        return hashlib.sha256(json.dumps([self.kind, self.texts, scores]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """Examples to train on, and examples held out to see how training goes."""

    train: Examples
    held_out: Examples


def read_examples(path: Path, *, score_range: tuple[float, float] = (0.0, 1.0)) -> Examples:
    """Return the examples of a table.

    Args:
        path: The table; its suffix says what it is, its columns what the examples are.
        score_range: The scores that mean "nothing in common" and "the same"; they become 0 and 1.

    Raises:
        TrainingError: The file cannot be read, lacks columns, holds an empty text or a score that is no number or out
            of range (all with file and line), has fewer than 16 examples, or all scores are equal.
    """
    low, high = score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TrainingError(f"expected a score range from a lower to a higher number; got {low:g} to {high:g}")
    rows = list(_rows(path))
    if len(rows) < LEAST_EXAMPLES:
        raise TrainingError(f"expected at least {LEAST_EXAMPLES} examples in {path} to train on; found {len(rows)}")
    kind, columns = _roles(rows[0])
    texts = tuple(_texts(row, columns) for row in rows)
    if kind != "scored":
        return Examples(kind, texts)
    scores = np.array([_score(row, low, high) for row in rows], dtype=np.float32)
    if float(scores.min()) == float(scores.max()):
        raise TrainingError(f"expected scores that differ in {path}; all {len(rows)} are equal, which teaches nothing")
    return Examples(kind, texts, (scores - low) / (high - low))


def split_examples(examples: Examples, *, seed: int) -> Split:
    """Hold out a tenth of the examples, at most 500; rows that hold the same texts stay on one side.

    Those held out have at least two different scores, if any have: of equal ones no order could be told.

    Raises:
        TrainingError: All examples are the same texts.
    """
    order = epoch_order(len(examples), seed=seed, epoch=0).tolist()
    wanted = min(_MOST_HELD_OUT, max(2, int(len(examples) * _HELD_OUT_SHARE)))
    chosen = {frozenset(examples.texts[row]) for row in order[:wanted]}
    if examples.scores is not None:
        other = np.flatnonzero(examples.scores[order] != examples.scores[order[0]])[:1]
        chosen |= {frozenset(examples.texts[order[place]]) for place in other.tolist()}
    held_out = [row for row in order if frozenset(examples.texts[row]) in chosen]
    train = [row for row in order if frozenset(examples.texts[row]) not in chosen]
    if len(train) < 2 or len(held_out) < 2:
        raise TrainingError("expected examples of different texts; found the same ones over and over")
    return Split(examples.take(sorted(train)), examples.take(sorted(held_out)))


class PairBatches:
    """Batches of labelled examples."""

    def __init__(self, examples: Examples, ids: Sequence[Sequence[Ids]], *, framing: Framing, size: int, seed: int):
        """Take the examples and the ids of their texts: one list of ids per side, two or three sides."""
        self._examples, self._ids, self._framing, self._seed = examples, ids, framing, seed
        self._size = min(size, len(examples))
        self.per_epoch = len(examples) // self._size

    def batch(self, step: int) -> Batch:
        """Return batch number ``step``, from 0; an epoch leaves out what does not fill a batch."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order(len(self._examples), seed=self._seed, epoch=epoch)
        rows = order[place * self._size : (place + 1) * self._size].tolist()
        sides = tuple(self._framing.block([side[row] for row in rows]) for side in self._ids)
        if self._examples.scores is not None:
            return Batch(sides, {"scores": self._examples.scores[rows]})
        if self._examples.kind == "triplet":
            return Batch(sides)
        return Batch(sides, {"excluded": self._repeated(rows)})

    def _repeated(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Return where two rows share a text, ``(rows, rows)``: they are no negatives of each other."""
        excluded = np.zeros((len(rows), len(rows)), dtype=bool)
        for side in range(2):
            texts = np.array([self._examples.texts[row][side] for row in rows], dtype=object)
            excluded |= texts[:, None] == texts[None, :]
        np.fill_diagonal(excluded, val=False)
        return excluded


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    fields: Mapping[str, Any]


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the records of a table, each with its file and line."""
    readers = {".jsonl": _json_rows, ".ndjson": _json_rows, ".csv": _csv_rows, ".tsv": _tsv_rows}
    if path.suffix.lower() not in readers:
        raise TrainingError(f"expected a .csv, .tsv or .jsonl file of examples; got {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            yield from readers[path.suffix.lower()](lines, path)
    except OSError as error:
        raise TrainingError(f"expected a file of examples at {path}; it could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"expected UTF-8 text in {path}; got byte {error.object[error.start]:#04x}") from error


def _csv_rows(lines: TextIO, path: Path) -> Iterator[_Row]:
    return _table_rows(csv.DictReader(lines, strict=True), path)


def _tsv_rows(lines: TextIO, path: Path) -> Iterator[_Row]:
    return _table_rows(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), path)


def _table_rows(reader: csv.DictReader[str], path: Path) -> Iterator[_Row]:
    try:
        for fields in reader:
            yield _Row(f"{path}:{reader.line_num}", {str(name).strip(): value for name, value in fields.items()})
    except csv.Error as error:
        raise TrainingError(f"expected a table; got something else at {path}:{reader.line_num}: {error}") from error


def _json_rows(lines: TextIO, path: Path) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise TrainingError(f"expected a JSON object on each line; got something else at {path}:{number}")
        yield _Row(f"{path}:{number}", fields)


def _roles(row: _Row) -> tuple[Kind, tuple[str, ...]]:
    """Return what the examples are and which columns hold their texts, as the first row tells."""
    kinds: tuple[Kind, ...] = ("scored", "triplet", "positive")
    for kind in kinds:
        for columns in _ROLES[kind]:
            needed = (*columns, "score") if kind == "scored" else columns
            if all(name in row.fields for name in needed):
                return kind, columns
    found = ", ".join(map(str, row.fields)) or "none"
    raise TrainingError(f"expected the columns {_EXPECTED}; found {found[:200]} at {row.place}")


def _texts(row: _Row, columns: Sequence[str]) -> tuple[str, ...]:
    texts = []
    for name in columns:
        text = row.fields.get(name)
        if not isinstance(text, str) or not text.strip():
            got = "an empty one" if isinstance(text, str) else "nothing" if text is None else type(text).__name__
            raise TrainingError(f"expected a text as {name} at {row.place}; got {got}")
        texts.append(storable(text))
    return tuple(texts)


def _score(row: _Row, low: float, high: float) -> float:
    given = row.fields.get("score")
    try:
        score = math.nan if isinstance(given, bool) or given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise TrainingError(f"expected a finite number as score at {row.place}; got {str(given)[:50]!r}")
    if not low <= score <= high:
        raise TrainingError(
            f"expected a score from {low:g} to {high:g} at {row.place}; got {score:g}. Name the scale of the scores "
            "with: --score-range LOW HIGH"
        )
    return score
