"""Duplicates: groups of documents that say the same in the same words, with the passages that show it.

Documents of equal text are found by hash. For the others, the nearest passages of every passage give candidate pairs of
documents. Each pair is then checked by its wording (``analysis.shingles``), because embeddings alone mistake pages made
from one template, or about one subject, for near-duplicates.

A group is a representative and documents that were each compared with it; documents are never linked through a chain of
others. A document is a member of at most one group: that of its exact copy, or else of a near-duplicate, or else of a
document that contains it. Two kinds of documents appear in two groups: a member with a duplicate that its
representative does not have, and a representative that is contained in another document.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.analysis.neighbours import Nearest, nearest
from docsim.analysis.shingles import Overlaps, Wording, covered
from docsim.engine.base import Snapshot
from docsim.errors import UsageError
from docsim.models import Passage
from docsim.progress import SILENT, Progress

__all__ = [
    "CONTAINED_SIMILARITY",
    "LOWEST",
    "NEAR_SIMILARITY",
    "Duplicates",
    "Group",
    "MatchedPassage",
    "Member",
    "find",
]

LOWEST, HIGHEST = 0.45, 0.8
"""The limits of a calibrated threshold; measured, see docs/research/duplicates-and-topics.md."""

NEAR_SIMILARITY, CONTAINED_SIMILARITY = 0.8, 0.7
"""The least similarity of the best pair of passages, for near-duplicates and for contained documents.

Documents that share a template but not a subject stay below. The second limit is lower because a document and one that
contains it are split into passages at different offsets, which makes the passages less similar.
"""

_BACKGROUND = 0.95  # the quantile of overlaps with near, but not nearest, documents that is the background
_MARGIN = 0.05  # how far a calibrated threshold lies above the background
_SAMPLE = 5_000
_NEIGHBOURS = 16
_LEAST_BACKGROUND = 10 * _NEIGHBOURS  # with fewer passages, there is no background
_LEAST_SHINGLES = 8  # shorter documents are only compared for equal text
_MATCHES = 3
_KINDS = ("exact", "near", "contained")  # most similar first


@dataclass(frozen=True, slots=True)
class MatchedPassage:
    """A passage of a member, and the most similar passage of the representative.

    Attributes:
        start: Offset of the first character of the member's passage.
        end: Offset one past its last character.
        other_start: Offset of the first character of the representative's passage.
        other_end: Offset one past its last character.
        similarity: Inner product of the two embeddings, at most 1.
    """

    start: int
    end: int
    other_start: int
    other_end: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Member:
    """A document of a group, and in what way it duplicates the group's representative.

    Attributes:
        id: The document's id.
        title: The document's title.
        kind: ``exact``: the same text except for white space and case; ``near``: most of each text also occurs in the
            other; ``contained``: most of it also occurs in the representative, which has more text.
        overlap: The number that is compared with the threshold, in [0, 1]: the share of the member's wording that also
            occurs in the representative, with rare wording counting for more. For ``near``, the smaller of that and the
            reverse.
        covered: The share of the member's words that also occur in the representative, in runs of three or more.
        covers: The share of the representative's words that also occur in the member, likewise.
        similarity: Inner product of the best pair of passages; 1.0 for equal texts.
        matches: The best pairs of passages, best first; empty for equal texts.
    """

    id: str
    title: str
    kind: str
    overlap: float
    covered: float
    covers: float
    similarity: float
    matches: tuple[MatchedPassage, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A representative and its duplicates, most similar first."""

    id: str
    title: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The duplicates of an index.

    Attributes:
        documents: How many documents were compared.
        passages: How many passages they have.
        threshold: Documents are near-duplicates if they overlap at least this much in both directions.
        contained: A document is contained in another if it overlaps with it at least this much.
        calibrated: Whether the threshold was derived from the background.
        background: The overlap that 95 % of documents stay below with other documents near them; 0 if there are too few
            passages to measure it.
        groups: The groups, largest first.
    """

    documents: int
    passages: int
    threshold: float
    contained: float
    calibrated: bool
    background: float
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class _Corpus:
    """All documents, ordered by number, and their passages in the same order. Positions count in these orders.

    A document's head is the first document with the same text; only heads are compared.

    Attributes:
        numbers: Document numbers, int64 ``(documents,)``.
        heads: The position of each document's head, int64 ``(documents,)``.
        overlaps: Compares the wording of heads; other documents have no shingles in it.
        owners: The position of the document that each passage belongs to, int64 ``(passages,)``; only passages of heads
            with words are kept.
        rows: The embeddings of these passages, float32 ``(passages, dim)``.
    """

    numbers: NDArray[np.int64]
    heads: NDArray[np.int64]
    overlaps: Overlaps
    owners: NDArray[np.int64]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of documents that have passages near each other.

    Attributes:
        positions: ``int64 (pairs, 2)``.
        similarities: The similarity of the best pair of passages, ``float32 (pairs,)``.
    """

    positions: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Edge:
    """A document, by position, that is a duplicate of another one, and how."""

    position: int
    kind: str
    overlap: float


def find(snapshot: Snapshot, *, threshold: float | None = None, progress: Progress = SILENT) -> Duplicates:
    """Find the duplicates among all documents of an index.

    Args:
        snapshot: The index.
        threshold: The overlap, in (0, 1], from which documents are near-duplicates; calibrated by default.
        progress: Told what is being done.

    Raises:
        UsageError: ``threshold`` is out of range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"expected a threshold above 0 and up to 1, or none to calibrate it; got {threshold:g}")
    corpus = _read(snapshot, progress)
    progress.begin("comparing passages", len(corpus.rows))
    found = nearest(corpus.rows, _NEIGHBOURS, advance=progress.advance)
    background = _background(corpus, found)
    near = float(np.clip(background + _MARGIN, LOWEST, HIGHEST)) if threshold is None else threshold
    contained = (1 + near) / 2
    stars = _stars(corpus, _edges(corpus, _pairs(corpus, found), near=near, contained=contained))
    groups = [_group(snapshot, corpus, position, edges) for position, edges in stars.items()]
    groups.sort(key=lambda group: (-len(group.members), -group.members[0].overlap, group.id))
    counts = len(corpus.numbers), snapshot.counts().passages
    return Duplicates(*counts, near, contained, threshold is None, background, tuple(groups))


def _read(snapshot: Snapshot, progress: Progress) -> _Corpus:
    """Read every document once, as a stream, and the embeddings of heads."""
    numbers: list[int] = []
    heads: list[int] = []
    seen: dict[bytes, int] = {}
    progress.begin("reading documents", snapshot.counts().documents)

    def texts() -> Iterator[str]:
        for stored in snapshot.scan():
            position = len(numbers)
            numbers.append(stored.number)
            heads.append(seen.setdefault(_digest(stored.document.text), position))
            yield stored.document.text if heads[-1] == position else ""
            progress.advance()

    overlaps = Overlaps(texts())
    kept = np.flatnonzero(overlaps.counts > 0)
    rows = snapshot.embeddings(np.array(numbers, np.int64)[kept])
    owners = np.repeat(kept, [len(one) for one in rows])
    stacked = np.concatenate([np.zeros((0, snapshot.dim), np.float16), *rows]).astype(np.float32)
    return _Corpus(np.array(numbers, np.int64), np.array(heads, np.int64), overlaps, owners, stacked)


def _digest(text: str) -> bytes:
    """Return a hash that is equal for texts that differ only in white space and case."""
    return hashlib.blake2b(" ".join(text.split()).casefold().encode(), digest_size=16).digest()


def _background(corpus: _Corpus, found: Nearest) -> float:
    """Return the overlap that 95 % of documents stay below with a document that is near, but not nearest.

    Few documents have as many duplicates as there are nearer neighbours, so this measures what is usual for documents
    on one subject or made from one template. Returns 0 if there are too few passages to tell.
    """
    if len(found.places) < _LEAST_BACKGROUND:
        return 0.0
    sample = np.sort(np.random.default_rng(0).permutation(len(found.places))[:_SAMPLE])
    last = found.places[sample, -1]
    pairs = np.stack([corpus.owners[sample], corpus.owners[last]], axis=1)[last >= 0]
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return float(np.quantile(corpus.overlaps.of(pairs).min(axis=1), _BACKGROUND)) if len(pairs) else 0.0


def _pairs(corpus: _Corpus, found: Nearest) -> _Pairs:
    """Return the pairs of documents that have passages near each other, each pair once."""
    passages, columns = np.nonzero((found.similarities >= CONTAINED_SIMILARITY) & (found.places >= 0))
    pairs = np.stack([corpus.owners[passages], corpus.owners[found.places[passages, columns]]], axis=1)
    other = pairs[:, 0] != pairs[:, 1]
    pairs, similarities = np.sort(pairs[other], axis=1), found.similarities[passages, columns][other]
    keys = pairs[:, 0] * len(corpus.numbers) + pairs[:, 1]
    order = np.lexsort((-similarities, keys))
    _, firsts = np.unique(keys[order], return_index=True)
    return _Pairs(pairs[order[firsts]], similarities[order[firsts]])


def _edges(corpus: _Corpus, found: _Pairs, *, near: float, contained: float) -> dict[int, list[_Edge]]:
    """Return for each document, by position, those that could be members of its group."""
    edges: defaultdict[int, list[_Edge]] = defaultdict(list)
    likely = corpus.overlaps.at_most(found.positions).max(axis=1) >= min(
        near, contained
    )  # few are, and these take time
    pairs, similarities = found.positions[likely], found.similarities[likely]
    shares = corpus.overlaps.of(pairs)
    enough = corpus.overlaps.counts[pairs] >= _LEAST_SHINGLES
    both = (shares.min(axis=1) >= near) & enough.all(axis=1) & (similarities >= NEAR_SIMILARITY)
    for (one, other), overlap in zip(pairs[both].tolist(), shares[both].min(axis=1).tolist(), strict=True):
        edges[one].append(_Edge(other, "near", overlap))
        edges[other].append(_Edge(one, "near", overlap))
    for side in (0, 1):
        inside = (shares[:, side] >= contained) & enough[:, side] & ~both
        for pair, overlap in zip(pairs[inside].tolist(), shares[inside, side].tolist(), strict=True):
            edges[pair[1 - side]].append(_Edge(pair[side], "contained", overlap))
    return edges


def _stars(corpus: _Corpus, edges: dict[int, list[_Edge]]) -> dict[int, list[_Edge]]:
    """Return the members of each representative, by position; a document is a member of one group at most.

    Exact copies are grouped first, then near-duplicates, then contained documents.
    """
    stars: defaultdict[int, list[_Edge]] = defaultdict(list)
    for position, head in enumerate(corpus.heads.tolist()):
        if position != head and corpus.overlaps.counts[head]:
            stars[head].append(_Edge(position, "exact", 1.0))
    copies = Counter(corpus.heads.tolist())
    members: set[int] = set()
    for kind in ("near", "contained"):
        alike = {position: [edge for edge in each if edge.kind == kind] for position, each in edges.items()}
        strength = {position: sum(edge.overlap for edge in each) for position, each in alike.items()}
        if kind == "near":  # prefer representatives that have exact copies
            strength = {position: strength[position] + copies[position] for position in strength}
        order = sorted(alike, key=lambda position: (-strength[position], -corpus.overlaps.counts[position], position))
        for position, edge in _gathered({position: alike[position] for position in order}, members):
            stars[position].append(edge)
            members.add(edge.position)
    return stars


def _gathered(edges: dict[int, list[_Edge]], members: set[int]) -> list[tuple[int, _Edge]]:
    """Return pairs of representative and member. Documents are tried as representatives in the given order.

    Args:
        edges: The possible members of each document, the best representative first.
        members: Documents that are members already, and cannot become one again.
    """
    found: list[tuple[int, _Edge]] = []
    taken = set(members)
    for position, each in edges.items():
        free = [edge for edge in each if edge.position not in taken]
        if position not in taken and free:
            taken.update((position, *(edge.position for edge in free)))
            found += [(position, edge) for edge in free]
    return found + _left_over(edges, taken)


def _left_over(edges: dict[int, list[_Edge]], taken: set[int]) -> list[tuple[int, _Edge]]:
    """Return pairs of representative and member for documents whose only duplicates are members of other groups.

    Each gets the most similar of these as the representative of a group of its own.
    """
    best: dict[int, tuple[int, _Edge]] = {}
    for position in sorted(edges):
        for edge in edges[position]:
            known = best.get(edge.position)
            if edge.position not in taken and (known is None or edge.overlap > known[1].overlap):
                best[edge.position] = position, edge
    return list(best.values())


def _group(snapshot: Snapshot, corpus: _Corpus, position: int, edges: list[_Edge]) -> Group:
    stored = snapshot.documents(corpus.numbers[[position, *(edge.position for edge in edges)]].tolist())
    representative = stored[int(corpus.numbers[position])].document
    wording = Wording(representative.text)
    passages = snapshot.passages(list(stored)) if any(edge.kind != "exact" for edge in edges) else {}
    members = []
    for edge in sorted(edges, key=lambda edge: (_KINDS.index(edge.kind), -edge.overlap, edge.position)):
        one = stored[int(corpus.numbers[edge.position])].document
        shares = (1.0, 1.0)
        matches: tuple[MatchedPassage, ...] = ()
        if edge.kind != "exact":
            ours = Wording(one.text)
            shares = covered(ours, wording), covered(wording, ours)
            matches = _matches(corpus, passages, edge.position, position)
        similarity = matches[0].similarity if matches else 1.0
        members.append(Member(one.id, one.title, edge.kind, edge.overlap, *shares, similarity, matches))
    return Group(representative.id, representative.title, tuple(members))


def _matches(
    corpus: _Corpus, passages: dict[int, list[Passage]], member: int, representative: int
) -> tuple[MatchedPassage, ...]:
    """Return the passages of a member that are most similar to one of its representative, best first."""
    ours, theirs = (_places(corpus, position) for position in (member, representative))
    similarities = corpus.rows[ours] @ corpus.rows[theirs].T
    best = np.argsort(-similarities.max(axis=1), kind="stable")[:_MATCHES]
    one, other = (int(corpus.numbers[position]) for position in (member, representative))
    matches = []
    for i in best.tolist():
        here, there = passages[one][i], passages[other][int(similarities[i].argmax())]
        similarity = min(1.0, float(similarities[i].max()))
        matches.append(MatchedPassage(here.start, here.end, there.start, there.end, similarity))
    return tuple(matches)


def _places(corpus: _Corpus, position: int) -> slice:
    """Return where the passages of a document are."""
    start, end = np.searchsorted(corpus.owners, (position, position + 1)).tolist()
    return slice(start, end)
