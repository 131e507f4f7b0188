"""Labelled examples read from a table: scored pairs, positive pairs or triplets.

    scored pairs     text_a, text_b, score       (or sentence1, sentence2, score)
    positive pairs   anchor, positive            (or text_a, text_b, or sentence1, sentence2, without a score)
    triplets         anchor, positive, negative

A table is a ``.csv``, ``.tsv`` or ``.jsonl`` file in UTF-8 with one example per row or JSON object. Other columns are
ignored. In ``.tsv`` files quotation marks have no special meaning.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.text.storing import storable
from docsim.training.data.batch_layout import Batch, BatchOptions, Ids, epoch_order

__all__ = ["MIN_EXAMPLES", "ExampleBatches", "ExampleSplit", "Examples", "read_examples", "split_examples"]

Kind = Literal["scored", "positive", "triplet"]

MIN_EXAMPLES = 16
"""With fewer examples, the tenth that is held out would be too small to measure anything."""

_HELD_OUT_SHARE = 0.1
_MAX_HELD_OUT = 500
_COLUMNS = {
    "scored": (("text_a", "text_b"), ("sentence1", "sentence2")),
    "triplet": (("anchor", "positive", "negative"),),
    "positive": (("anchor", "positive"), ("text_a", "text_b"), ("sentence1", "sentence2")),
}
_EXPECTED_COLUMNS = "text_a, text_b and score; anchor and positive; or anchor, positive and negative"


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled examples.

    Attributes:
        kind: ``scored``, ``positive`` or ``triplet``.
        texts: The two texts of each example, or three for triplets.
        scores: Scores of scored pairs, float32 ``(examples,)`` in [0, 1]; None for other kinds.
    """

    kind: Kind
    texts: tuple[tuple[str, ...], ...]
    scores: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Examples:
        """Return the examples with the given numbers."""
        scores = None if self.scores is None else self.scores[list(rows)]
        return Examples(self.kind, tuple(self.texts[row] for row in rows), scores)

    def is_asked(self, side: int) -> bool:
        """Return whether the texts of a side stand for what users ask: anchors do, texts of scored pairs do not."""
        return side == 0 and self.kind != "scored"

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of all texts and scores, in order."""
        scores = [] if self.scores is None else self.scores.tolist()
        return hashlib.sha256(json.dumps([self.kind, self.texts, scores]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ExampleSplit:
    """Examples to train on, and examples held out to measure the training."""

    train: Examples
    held_out: Examples


def read_examples(path: Path, *, score_range: tuple[float, float] = (0.0, 1.0)) -> Examples:
    """Return the examples of a table.

    Args:
        path: The table. Its suffix tells the format, its columns the kind of examples.
        score_range: Lowest and highest possible score; they are mapped to 0 and 1.

    Raises:
        TrainingError: The file cannot be read, lacks columns, has an empty text, or a score that is not a number or out
            of range (the message names file and line); it has fewer than 16 examples, or all scores are equal.
    """
    low, high = score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TrainingError(f"expected a score range from a lower to a higher number; got {low:g} to {high:g}")
    rows = list(_rows(path))
    if len(rows) < MIN_EXAMPLES:
        raise TrainingError(f"expected at least {MIN_EXAMPLES} examples in {path} to train on; found {len(rows)}")
    kind, columns = _columns(rows[0])
    texts = tuple(_texts(row, columns) for row in rows)
    if kind != "scored":
        return Examples(kind, texts)
    scores = np.array([_score(row, low, high) for row in rows], dtype=np.float32)
    if float(scores.min()) == float(scores.max()):
        raise TrainingError(f"expected scores that differ in {path}; all {len(rows)} are equal, which teaches nothing")
    return Examples(kind, texts, (scores - low) / (high - low))


def split_examples(examples: Examples, *, seed: int) -> ExampleSplit:
    """Hold out a tenth of the examples, at most 500; examples with the same texts stay on the same side of the split.

    The held-out examples have at least two different scores, if there are any, so that their order can be measured.

    Raises:
        TrainingError: All examples have the same texts.
    """
    order = epoch_order(len(examples), seed=seed, epoch=0).tolist()
    wanted = min(_MAX_HELD_OUT, max(2, int(len(examples) * _HELD_OUT_SHARE)))
    chosen = {frozenset(examples.texts[row]) for row in order[:wanted]}
    if examples.scores is not None:
        other = np.flatnonzero(examples.scores[order] != examples.scores[order[0]])[:1]
        chosen |= {frozenset(examples.texts[order[place]]) for place in other.tolist()}
    held_out = [row for row in order if frozenset(examples.texts[row]) in chosen]
    train = [row for row in order if frozenset(examples.texts[row]) not in chosen]
    if len(train) < 2 or len(held_out) < 2:
        raise TrainingError("expected examples of different texts; found the same ones repeatedly")
    return ExampleSplit(examples.take(sorted(train)), examples.take(sorted(held_out)))


class ExampleBatches:
    """Batches of labelled examples."""

    def __init__(self, examples: Examples, ids: Sequence[Sequence[Ids]], options: BatchOptions) -> None:
        """Use examples and the token ids of their texts, one list per side: anchors, positives, perhaps negatives."""
        self._examples, self._ids, self._options = examples, ids, options
        self._size = min(options.size, len(examples))
        self.per_epoch = len(examples) // self._size

    def batch(self, step: int) -> Batch:
        """Return batch ``step``, from 0. An epoch leaves out the examples that do not fill a batch."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order(len(self._examples), seed=self._options.seed, epoch=epoch)
        rows = order[place * self._size : (place + 1) * self._size].tolist()
        sides = tuple(
            self._options.input_format.block([side[row] for row in rows], questions=self._examples.is_asked(number))
            for number, side in enumerate(self._ids)
        )
        if self._examples.scores is not None:
            return Batch(sides, {"scores": self._examples.scores[rows]})
        if self._examples.kind == "triplet":
            return Batch(sides)
        return Batch(sides, {"excluded": self._repeated(rows)})

    def _repeated(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Return where two examples share a text, bool ``(rows, rows)``: they must not be negatives of each other."""
        excluded = np.zeros((len(rows), len(rows)), dtype=bool)
        for side in range(2):
            texts = np.array([self._examples.texts[row][side] for row in rows], dtype=object)
            excluded |= texts[:, None] == texts[None, :]
        np.fill_diagonal(excluded, val=False)
        return excluded


@dataclass(frozen=True, slots=True)
class _ExampleRow:
    position: str
    fields: Mapping[str, object]


def _rows(path: Path) -> Iterator[_ExampleRow]:
    """Yield the rows of a table, each with its file and line."""
    readers = {".jsonl": _json_rows, ".ndjson": _json_rows, ".csv": _csv_rows, ".tsv": _tsv_rows}
    if path.suffix.lower() not in readers:
        raise TrainingError(f"expected a .csv, .tsv, .jsonl or .ndjson file of examples; got {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            yield from readers[path.suffix.lower()](lines, path)
    except OSError as error:
        raise TrainingError(f"expected a file of examples at {path}; it could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"expected UTF-8 text in {path}; got byte {error.object[error.start]:#04x}") from error


def _csv_rows(lines: TextIO, path: Path) -> Iterator[_ExampleRow]:
    return _table_rows(csv.DictReader(lines, strict=True), path)


def _tsv_rows(lines: TextIO, path: Path) -> Iterator[_ExampleRow]:
    return _table_rows(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), path)


def _table_rows(reader: csv.DictReader[str], path: Path) -> Iterator[_ExampleRow]:
    try:
        for fields in reader:
            yield _ExampleRow(f"{path}:{reader.line_num}", {str(name).strip(): value for name, value in fields.items()})
    except csv.Error as error:
        raise TrainingError(
            f"expected a row of a table at {path}:{reader.line_num}; it cannot be read: {error}"
        ) from error


def _json_rows(lines: TextIO, path: Path) -> Iterator[_ExampleRow]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise TrainingError(f"expected one JSON object per line; got something else at {path}:{number}")
        yield _ExampleRow(f"{path}:{number}", fields)


def _columns(row: _ExampleRow) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of the examples and the columns of their texts, judging by the first row."""
    kinds: tuple[Kind, ...] = ("scored", "triplet", "positive")
    for kind in kinds:
        for columns in _COLUMNS[kind]:
            needed = (*columns, "score") if kind == "scored" else columns
            if all(name in row.fields for name in needed):
                return kind, columns
    found = ", ".join(map(str, row.fields)) or "none"
    raise TrainingError(f"expected the columns {_EXPECTED_COLUMNS}; found {found[:200]} at {row.position}")


def _texts(row: _ExampleRow, columns: Sequence[str]) -> tuple[str, ...]:
    texts = []
    for name in columns:
        text = row.fields.get(name)
        if not isinstance(text, str) or not text.strip():
            got = "an empty text" if isinstance(text, str) else "nothing" if text is None else type(text).__name__
            raise TrainingError(f"expected text in the column {name} at {row.position}; got {got}")
        texts.append(storable(text))
    return tuple(texts)


def _score(row: _ExampleRow, low: float, high: float) -> float:
    given = row.fields.get("score")
    score = _number(given)
    if not math.isfinite(score):
        raise TrainingError(f"expected a finite number as score at {row.position}; got {str(given)[:50]!r}")
    if not low <= score <= high:
        raise TrainingError(
            f"expected a score from {low:g} to {high:g} at {row.position}; got {score:g}. If the scores are on another "
            "scale, give its lowest and highest score as the score range"
        )
    return score


def _number(given: object) -> float:
    """Return a number, or the number that a string spells; NaN if it is neither."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return math.nan
    try:
        return float(given)
    except (ValueError, OverflowError):
        return math.nan
