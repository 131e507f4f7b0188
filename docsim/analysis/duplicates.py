"""Duplicates: documents of an index that say the same in the same words, in groups, with the evidence.

Equal texts are found by hash. For the others, the nearest passages of every passage give candidate pairs of documents,
and each pair is then checked by its wording (``analysis.shingles``), because embeddings alone mistake pages made from
one template, or about one subject, for near-duplicates. A group is a representative and the documents that were each
compared with it; nothing is linked through a chain of others. A document is a member of at most one group: that of its
copy, else of the document it is near to, else of the one that contains it. Two kinds of documents appear in two groups:
a member that has a duplicate its representative does not have, and a representative that is contained in another.
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
from docsim.progress import SILENT, Progress

__all__ = ["CONTAINED_SIMILARITY", "LOWEST", "NEAR_SIMILARITY", "Duplicates", "Group", "Match", "Member", "find"]

LOWEST, HIGHEST = 0.45, 0.8
"""Between these a calibrated threshold lies; measured, see docs/research/duplicates-and-topics.md."""

NEAR_SIMILARITY, CONTAINED_SIMILARITY = 0.8, 0.7
"""What the best passages of two documents have at least; those that share a template but not a subject have less.

Passages of a document and of one that contains it are cut at other places, so they are less similar.
"""

_BACKGROUND = 0.95  # quantile of what documents share with others that are near, but not nearest
_MARGIN = 0.05  # above the background
_SAMPLE = 5_000
_NEIGHBOURS = 16
_LEAST_BACKGROUND = 10 * _NEIGHBOURS  # passages
_LEAST_SHINGLES = 8  # of a document that may be near another or contained in it
_MATCHES = 3
_KINDS = ("exact", "near", "contained")  # the most like first


@dataclass(frozen=True, slots=True)
class Match:
    """A passage of a member, and the passage of the representative that is most like it."""

    start: int
    end: int
    other_start: int
    other_end: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Member:
    """A document of a group, and how it is a duplicate of the group's representative.

    Attributes:
        id: The document's id.
        title: The document's title.
        kind: ``exact``: the same text, but for white space and case; ``near``: most of either stands in the other;
            ``contained``: most of it stands in the representative, which has more.
        overlap: What the threshold is compared with, in [0, 1]: how much of the member's wording stands in the
            representative, rare wording counting for more; for ``near``, the smaller of that and the reverse.
        covered: Share of the member's words that stand in the representative in runs of three or more.
        covers: Share of the representative's words that stand in the member.
        similarity: Inner product of the best pair of passages; 1.0 for equal texts.
        matches: The best pairs of passages, best first; none for equal texts.
    """

    id: str
    title: str
    kind: str
    overlap: float
    covered: float
    covers: float
    similarity: float
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A representative and its duplicates, the most like it first."""

    id: str
    title: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found in an index.

    Attributes:
        documents: How many were looked at.
        passages: How many of their passages.
        threshold: Overlap in both directions that makes near-duplicates.
        contained: Overlap in one direction that makes one document contained in another.
        calibrated: Whether the threshold was chosen by the background.
        background: The overlap that nineteen of twenty documents stay below with others near them; 0 if there are too
            few to tell.
        groups: The largest first.
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
    """The documents, by their places in order of their numbers, and their passages, by places likewise.

    Attributes:
        numbers: Document numbers, int64 ``(documents,)``.
        heads: For each document the place of the first with the same text, int64 ``(documents,)``.
        overlaps: Compares the wording of documents that are their own heads; others have none.
        owners: For each passage of a document that is its own head and has words, the place of the document, int64
            ``(passages,)``.
        rows: Their embeddings, float32 ``(passages, dim)``.
    """

    numbers: NDArray[np.int64]
    heads: NDArray[np.int64]
    overlaps: Overlaps
    owners: NDArray[np.int64]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Documents that have passages near each other: places ``int64 (pairs, 2)``, and the best pair's similarity."""

    places: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Edge:
    """The place of a document that is a duplicate of another one."""

    place: int
    kind: str
    overlap: float


def find(snapshot: Snapshot, *, threshold: float | None = None, progress: Progress = SILENT) -> Duplicates:
    """Find the duplicates among all documents of an index.

    Args:
        snapshot: The index.
        threshold: Overlap, in (0, 1], that makes near-duplicates; calibrated when not given.
        progress: Told what is being done.

    Raises:
        UsageError: ``threshold`` is out of range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"expected a threshold above 0 and up to 1, or auto; got {threshold:g}")
    corpus = _read(snapshot, progress)
    progress.begin("comparing passages", len(corpus.rows))
    found = nearest(corpus.rows, _NEIGHBOURS, advance=progress.advance)
    background = _background(corpus, found)
    near = float(np.clip(background + _MARGIN, LOWEST, HIGHEST)) if threshold is None else threshold
    contained = (1 + near) / 2
    stars = _stars(corpus, _edges(corpus, _pairs(corpus, found), near=near, contained=contained))
    groups = [_group(snapshot, corpus, place, edges) for place, edges in stars.items()]
    groups.sort(key=lambda group: (-len(group.members), -group.members[0].overlap, group.id))
    counts = len(corpus.numbers), snapshot.counts().passages
    return Duplicates(*counts, near, contained, threshold is None, background, tuple(groups))


def _read(snapshot: Snapshot, progress: Progress) -> _Corpus:
    """Read every document once, as a stream, and the embeddings of those that are the first with their text."""
    numbers: list[int] = []
    heads: list[int] = []
    seen: dict[bytes, int] = {}
    progress.begin("reading documents", snapshot.counts().documents)

    def texts() -> Iterator[str]:
        for stored in snapshot.scan():
            place = len(numbers)
            numbers.append(stored.number)
            heads.append(seen.setdefault(_digest(stored.document.text), place))
            yield stored.document.text if heads[-1] == place else ""
            progress.advance()

    overlaps = Overlaps(texts())
    kept = np.flatnonzero(overlaps.counts > 0)
    rows = snapshot.embeddings(np.array(numbers, np.int64)[kept])
    owners = np.repeat(kept, [len(one) for one in rows])
    stacked = np.concatenate([np.zeros((0, snapshot.dim), np.float16), *rows]).astype(np.float32)
    return _Corpus(np.array(numbers, np.int64), np.array(heads, np.int64), overlaps, owners, stacked)


def _digest(text: str) -> bytes:
    """Return what texts that differ in white space and case only have in common."""
    return hashlib.blake2b(" ".join(text.split()).casefold().encode(), digest_size=16).digest()


def _background(corpus: _Corpus, found: Nearest) -> float:
    """Return the overlap that nineteen of twenty documents stay below with another that is near, but not nearest.

    Few documents have as many duplicates as there are nearer ones, so this tells what is common among documents that
    are about the same, or made from one template. Too few passages tell nothing.
    """
    if len(found.places) < _LEAST_BACKGROUND:
        return 0.0
    sample = np.sort(np.random.default_rng(0).permutation(len(found.places))[:_SAMPLE])
    last = found.places[sample, -1]
    pairs = np.stack([corpus.owners[sample], corpus.owners[last]], axis=1)[last >= 0]
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return float(np.quantile(corpus.overlaps.of(pairs).min(axis=1), _BACKGROUND)) if len(pairs) else 0.0


def _pairs(corpus: _Corpus, found: Nearest) -> _Pairs:
    """Return the documents that have passages near each other, each pair once."""
    passages, columns = np.nonzero((found.similarities >= CONTAINED_SIMILARITY) & (found.places >= 0))
    pairs = np.stack([corpus.owners[passages], corpus.owners[found.places[passages, columns]]], axis=1)
    other = pairs[:, 0] != pairs[:, 1]
    pairs, similarities = np.sort(pairs[other], axis=1), found.similarities[passages, columns][other]
    keys = pairs[:, 0] * len(corpus.numbers) + pairs[:, 1]
    order = np.lexsort((-similarities, keys))
    _, firsts = np.unique(keys[order], return_index=True)
    return _Pairs(pairs[order[firsts]], similarities[order[firsts]])


def _edges(corpus: _Corpus, found: _Pairs, *, near: float, contained: float) -> dict[int, list[_Edge]]:
    """Return for each document those that could be members of its group."""
    edges: defaultdict[int, list[_Edge]] = defaultdict(list)
    pairs, shares = found.places, corpus.overlaps.of(found.places)
    enough = corpus.overlaps.counts[pairs] >= _LEAST_SHINGLES
    both = (shares.min(axis=1) >= near) & enough.all(axis=1) & (found.similarities >= NEAR_SIMILARITY)
    for (one, other), overlap in zip(pairs[both].tolist(), shares[both].min(axis=1).tolist(), strict=True):
        edges[one].append(_Edge(other, "near", overlap))
        edges[other].append(_Edge(one, "near", overlap))
    for side in (0, 1):
        inside = (shares[:, side] >= contained) & enough[:, side] & ~both
        for pair, overlap in zip(pairs[inside].tolist(), shares[inside, side].tolist(), strict=True):
            edges[pair[1 - side]].append(_Edge(pair[side], "contained", overlap))
    return edges


def _stars(corpus: _Corpus, edges: dict[int, list[_Edge]]) -> dict[int, list[_Edge]]:
    """Return representatives and their members, every document a member once at most, of its copy before all."""
    stars: defaultdict[int, list[_Edge]] = defaultdict(list)
    for place, head in enumerate(corpus.heads.tolist()):
        if place != head and corpus.overlaps.counts[head]:
            stars[head].append(_Edge(place, "exact", 1.0))
    copies = Counter(corpus.heads.tolist())
    members: set[int] = set()
    for kind in ("near", "contained"):
        alike = {place: [edge for edge in each if edge.kind == kind] for place, each in edges.items()}
        strength = {place: sum(edge.overlap for edge in each) for place, each in alike.items()}
        if kind == "near":  # what there are copies of represents them, and with them what is near to it
            strength = {place: strength[place] + copies[place] for place in strength}
        order = sorted(alike, key=lambda place: (-strength[place], -corpus.overlaps.counts[place], place))
        for place, edge in _gathered({place: alike[place] for place in order}, members):
            stars[place].append(edge)
            members.add(edge.place)
    return stars


def _gathered(edges: dict[int, list[_Edge]], members: set[int]) -> list[tuple[int, _Edge]]:
    """Return which documents are members of whose group: of who comes first, none of those that are members already."""
    found: list[tuple[int, _Edge]] = []
    taken = set(members)
    for place, each in edges.items():
        free = [edge for edge in each if edge.place not in taken]
        if place not in taken and free:
            taken.update((place, *(edge.place for edge in free)))
            found += [(place, edge) for edge in free]
    return found + _left_over(edges, taken)


def _left_over(edges: dict[int, list[_Edge]], taken: set[int]) -> list[tuple[int, _Edge]]:
    """Return duplicates of members only, each with the one it is most like, which gets a group of its own."""
    best: dict[int, tuple[int, _Edge]] = {}
    for place in sorted(edges):
        for edge in edges[place]:
            known = best.get(edge.place)
            if edge.place not in taken and (known is None or edge.overlap > known[1].overlap):
                best[edge.place] = place, edge
    return list(best.values())


def _group(snapshot: Snapshot, corpus: _Corpus, place: int, edges: list[_Edge]) -> Group:
    stored = snapshot.documents(corpus.numbers[[place, *(edge.place for edge in edges)]].tolist())
    representative = stored[int(corpus.numbers[place])].document
    wording = Wording(representative.text)
    members = []
    for edge in sorted(edges, key=lambda edge: (_KINDS.index(edge.kind), -edge.overlap, edge.place)):
        one = stored[int(corpus.numbers[edge.place])].document
        shares = (1.0, 1.0)
        matches: tuple[Match, ...] = ()
        if edge.kind != "exact":
            ours = Wording(one.text)
            shares = covered(ours, wording), covered(wording, ours)
            matches = _matches(snapshot, corpus, edge.place, place)
        similarity = matches[0].similarity if matches else 1.0
        members.append(Member(one.id, one.title, edge.kind, edge.overlap, *shares, similarity, matches))
    return Group(representative.id, representative.title, tuple(members))


def _matches(snapshot: Snapshot, corpus: _Corpus, member: int, representative: int) -> tuple[Match, ...]:
    """Return the passages of one document that are most like one of another."""
    ours, theirs = (np.flatnonzero(corpus.owners == place) for place in (member, representative))
    similarities = corpus.rows[ours] @ corpus.rows[theirs].T
    best = np.argsort(-similarities.max(axis=1), kind="stable")[:_MATCHES]
    one, other = (int(corpus.numbers[place]) for place in (member, representative))
    passages = snapshot.passages([one, other])
    matches = []
    for i in best.tolist():
        here, there = passages[one][i], passages[other][int(similarities[i].argmax())]
        likeness = min(1.0, float(similarities[i].max()))
        matches.append(Match(here.start, here.end, there.start, there.end, likeness))
    return tuple(matches)
