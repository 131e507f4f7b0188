"""Files of judgements by people: which documents are relevant to a query, and how similar two texts are.

    qrels      lines in TREC format: ``query 0 document grade``. The second field is ignored. Fields are separated by
               white space, or by tabs, so that ids may contain spaces.
    queries    lines of JSON: ``{"id": ..., "text": ...}``
    pairs      a table (``.tsv``, ``.csv`` or ``.jsonl``) with the columns ``text_a``, ``text_b`` and ``score``, or
               ``sentence1``, ``sentence2`` and ``score``

All files are UTF-8. A grade of 1 or more means relevant, and a higher grade more relevant; 0 or less means not
relevant. Every error names the file and, if possible, the line.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from docsim.errors import UsageError

__all__ = ["Qrels", "ScoredPair", "digest", "read_pairs", "read_qrels", "read_queries", "relevant", "without_self"]

Qrels = Mapping[str, Mapping[str, int]]
"""For each query id, the grade of each judged document by its id."""

HIGHEST_GRADE = 1000
"""Grades above this, or below its negative, are refused: the memory that trec_eval needs grows with the grade."""

_COLUMNS = (("text_a", "text_b", "score"), ("sentence1", "sentence2", "score"))


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and how similar people found them.

    Attributes:
        text_a: One text.
        text_b: The other text.
        score: Any finite number, on any scale; higher is more similar.
    """

    text_a: str
    text_b: str
    score: float


@dataclass(frozen=True, slots=True)
class _TableRow:
    """One row of a table: its place, ``<file>:<line>``, and its values by column."""

    place: str
    fields: Mapping[str, Any]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return the judgements in a qrels file.

    Raises:
        UsageError: The file cannot be read or has no judgements; a line is not ``query 0 document grade``, with a whole
            number from -1000 to 1000 as grade; or a document is judged twice for a query, with different grades.
    """
    qrels: dict[str, dict[str, int]] = {}
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                query, document, grade = _judgement(line, f"{path}:{number}")
                if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
                    raise UsageError(f"expected one grade for {document}, got a second one at {path}:{number}")
    if not qrels:
        raise UsageError(f"expected lines 'query 0 document grade' in {path}, found none")
    return qrels


def _judgement(line: str, place: str) -> tuple[str, str, int]:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 4 or not all(fields):
        fields = line.split()
    if len(fields) != 4:
        raise UsageError(
            f"expected 'query 0 document grade' at {place}, got {len(fields)} fields; "
            "separate the fields by tabs if an id contains spaces"
        )
    query, _, document, grade = fields
    try:
        value = int(grade)
    except ValueError:
        value = HIGHEST_GRADE + 1
    if abs(value) > HIGHEST_GRADE:
        raise UsageError(f"expected a whole number from -1000 to 1000 as grade at {place}, got {grade[:50]!r}")
    return query, document, value


def relevant(qrels: Qrels) -> dict[str, Mapping[str, int]]:
    """Return the judgements of the queries that have a relevant document, one with a grade of 1 or more."""
    return {query: grades for query, grades in qrels.items() if any(grade >= 1 for grade in grades.values())}


def without_self(qrels: Qrels) -> dict[str, dict[str, int]]:
    """Return the judgements without those of a query's own document, where queries are documents."""
    return {
        query: {document: grade for document, grade in grades.items() if document != query}
        for query, grades in qrels.items()
    }


def digest(qrels: Qrels) -> str:
    """Return the SHA-256 (64 hex digits) of judgements. Their order does not matter."""
    content = json.dumps({query: dict(grades) for query, grades in qrels.items()}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def read_queries(path: Path) -> dict[str, str]:
    """Return the texts of queries by their ids. Fields other than ``id`` and ``text`` are ignored.

    Raises:
        UsageError: The file cannot be read or has no queries; a line is not an object with an id (a string or a whole
            number) and a text that is not blank; or an id occurs twice.
    """
    queries: dict[str, str] = {}
    with _open(path) as lines:
        for row in _json_rows(lines, path):
            id, text = row.fields.get("id"), row.fields.get("text")
            if isinstance(id, bool) or not isinstance(id, str | int) or not isinstance(text, str) or not text.strip():
                raise UsageError(f'expected an "id" and a "text" that is not blank at {row.place}')
            if str(id) in queries:
                raise UsageError(f"expected each query once, got the id {id} a second time at {row.place}")
            queries[str(id)] = text
    if not queries:
        raise UsageError(f'expected lines with "id" and "text" in {path}, found none')
    return queries


def read_pairs(path: Path, *, score_range: tuple[float, float] | None = None) -> list[ScoredPair]:
    """Return the scored pairs in a table.

    Cells may be quoted in a ``.csv`` file. In a ``.tsv`` file, quotation marks have no special meaning.

    Args:
        path: The table; its suffix decides how it is read.
        score_range: The lowest and the highest score of the scale. Scores outside are refused.

    Raises:
        UsageError: The file cannot be read, has another suffix or lacks a column; a score is not a finite number or
            outside ``score_range``; or there are fewer than two pairs.
    """
    with _open(path) as lines:
        pairs = [_pair(row, score_range or (-math.inf, math.inf)) for row in _rows(lines, path)]
    if len(pairs) < 2:
        raise UsageError(f"expected at least two pairs in {path}, found {len(pairs)}")
    return pairs


def _rows(lines: TextIO, path: Path) -> Iterator[_TableRow]:
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _json_rows(lines, path)
        case ".csv":
            return _table_rows(csv.DictReader(lines, strict=True), path)
        case ".tsv":
            return _table_rows(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), path)
    raise UsageError(f"expected a .tsv, .csv or .jsonl file of pairs, got {path}")


def _table_rows(reader: csv.DictReader[str], path: Path) -> Iterator[_TableRow]:
    try:
        for fields in reader:
            yield _TableRow(f"{path}:{reader.line_num}", fields)
    except csv.Error as error:
        raise UsageError(
            f"expected a table, found something else at {path}:{reader.reader.line_num}: {error}"
        ) from error


def _json_rows(lines: TextIO, path: Path) -> Iterator[_TableRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}:{number}"
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            if not isinstance(fields, dict):
                raise UsageError(f"expected a JSON object on each line, found something else at {place}")
            yield _TableRow(place, fields)


def _pair(row: _TableRow, score_range: tuple[float, float]) -> ScoredPair:
    low, high = score_range
    for columns in _COLUMNS:
        first, second, score = (row.fields.get(name) for name in columns)
        if not isinstance(first, str) or not isinstance(second, str):
            continue
        try:
            value = math.nan if isinstance(score, bool) or score is None else float(score)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"expected a finite number as score at {row.place}, got {str(score)[:50]!r}")
        if not low <= value <= high:
            raise UsageError(f"expected a score from {low:g} to {high:g} at {row.place}, got {value:g}")
        return ScoredPair(first, second, value)
    raise UsageError(f"expected text_a, text_b and score, or sentence1, sentence2 and score, at {row.place}")


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        # Only \n ends a line, because JSON strings may contain other separators and CSV cells keep their \r\n.
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            yield lines
    except OSError as error:
        raise UsageError(f"could not read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"expected UTF-8 text in {path}, got byte {error.object[error.start]:#04x}") from error
