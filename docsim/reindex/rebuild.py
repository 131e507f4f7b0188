"""Re-indexing: a new encoder for an index that goes on answering, and the way back.

    begin -> build -> snapshot -> gate -> catch up -> publish

Everything before the last two steps goes on beside the live generation, from the stored texts, and can be killed and
run again. Catching up with what was written meanwhile, and publishing, hold the lock of the one writer, so that both
generations hold the same documents then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, publishing, snapshots, upgrades
from docsim.engine.local.alignment import Adapter
from docsim.engine.local.locks import rebuilder, writer
from docsim.engine.local.store import Generation, Store
from docsim.errors import IndexLocked, UsageError
from docsim.indexing.build import Build
from docsim.reindex.examination import Gate, examined
from docsim.reindex.gate_report import Upgrade

__all__ = [
    "SILENT",
    "Aborted",
    "Gate",
    "Outcome",
    "Pruned",
    "Watch",
    "abort",
    "prune",
    "reindex",
    "rollback",
    "upgraded",
]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is called while a generation is built.

    Attributes:
        say: With a sentence for people, once a step.
        begin: With the documents that are embedded already, and those that there are.
        advance: With the documents embedded since the last call.
    """

    say: Callable[[str], object]
    begin: Callable[[int, int], object]
    advance: Callable[[int], object]


SILENT = Watch(lambda text: None, lambda done, total: None, lambda count: None)


DEFAULT_GATE = Gate()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a re-index, or the way back, ended.

    Attributes:
        generation: The generation it was about.
        previous: The one that was live before.
        published: Whether ``generation`` is live now.
        embedded: Documents that were embedded.
        seconds: How long it took.
        upgrade: What the gate found; None where nothing had to pass it.
        report: The directory of the gate's report.
    """

    generation: int
    previous: int
    published: bool
    embedded: int
    seconds: float
    upgrade: Upgrade | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """The generation that is built no longer, and whether it is kept, as one that was live before."""

    generation: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning removed: numbers of generations, and bytes that were given back."""

    generations: tuple[int, ...]
    bytes: int


def reindex(
    path: Path,
    encoder: Encoder | None = None,
    *,
    base: Encoder | None = None,
    wanted: Gate = DEFAULT_GATE,
    wait: bool = False,
    watch: Watch = SILENT,
) -> Outcome:
    """Build a generation with another encoder beside the live one, and publish it if it passes the gate.

    Killed and called again with the same encoder, it continues. What does not pass stays as it is, unpublished.

    Args:
        path: The index's directory.
        encoder: What to encode with; when not given, that of the re-index that is unfinished.
        base: What ``encoder`` was adapted from, to be kept beside it.
        wanted: What the new generation has to pass.
        wait: Wait for another process that is re-indexing.
        watch: What to call meanwhile.

    Raises:
        UsageError: There is no encoder, and no re-index that is unfinished; or no judged query can be asked.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder gives something else than unit vectors.
        StoreError: The index cannot be written to; what was committed before stays.
    """
    started = time.perf_counter()
    with _rebuilding(path, wait=wait) as store:
        live = _live(store, path)
        if encoder is not None and encoder.fingerprint == live.fingerprint:
            watch.say(f"Generation {live.number} answers with this encoder already.")
            encoders.restore(path, live, encoder)
            _finish(store, path)
            return Outcome(live.number, live.number, True, 0, time.perf_counter() - started)
        generation = _begun(store, path, encoder, base=base, watch=watch)
        build = Build(store, path, generation)
        total = int(store.value("SELECT count(*) FROM documents"))
        watch.begin(total - build.missing(), total)
        embedded = build.run(watch.advance)
        snapshots.snapshot(store, path, number=generation.number)
        watch.say("Comparing it with the live generation.")
        found, report = examined(store, path, (live, generation), wanted)
        published = found.verdict.passed or (found.verdict.sound and wanted.publish_anyway)
        if published:
            embedded += _published(store, path, generation, build)
        elif publishing.withdraw(store, generation.number):
            watch.say("The live generation's own encoder answers again.")
        seconds = time.perf_counter() - started
        return Outcome(generation.number, live.number, published, embedded, seconds, found, report)


def upgraded(
    path: Path, encoder: Encoder | None = None, *, wait: bool = False, watch: Watch = SILENT
) -> Adapter | None:
    """Begin a re-index whose encoder answers at once, the live embeddings mapped into its space; ``reindex`` goes on.

    Until the new generation is published, aborted or refused, ``Index.search`` answers so, in other processes too.

    Args:
        path: The index's directory.
        encoder: The new encoder; when not given, that of the re-index that is unfinished.
        wait: Wait for another process that is re-indexing.
        watch: What to call meanwhile.

    Returns:
        The adapter; None where none is used: the index answers with this encoder already, or better without.

    Raises:
        UsageError: There is no encoder, and no re-index that is unfinished.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder gives something else than unit vectors.
        StoreError: The index cannot be written to.
    """
    with _rebuilding(path, wait=wait) as store:
        live = _live(store, path)
        if encoder is not None and encoder.fingerprint == live.fingerprint:
            return None
        generation = _begun(store, path, encoder, base=None, watch=watch)
        adapter = upgrades.begin(store, path, live, generation)
    if adapter is None:
        watch.say("No adapter finds as much of what the new encoder finds; the old one goes on answering.")
    else:
        watch.say(
            f"{generation.encoder} answers from now on through an adapter: of a passage's nearest it finds "
            f"{adapter.agreement:.0%}, the old encoder {adapter.before:.0%}."
        )
    return adapter


def rollback(path: Path, *, to: int | None = None, wait: bool = False, watch: Watch = SILENT) -> Outcome:
    """Make an earlier generation the live one again; what it lacks of the documents is embedded first.

    Args:
        path: The index's directory.
        to: Its number; when not given, the one that was live before: called twice, it goes forward again.
        wait: Wait for another process that is re-indexing.
        watch: What to call meanwhile.

    Raises:
        UsageError: There is no such generation to go back to.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder kept in it is missing or damaged.
    """
    started = time.perf_counter()
    with _rebuilding(path, wait=wait) as store:
        live = _live(store, path)
        if to == live.number:
            watch.say(f"Generation {to} is live already.")
            _finish(store, path)
            return Outcome(to, to, True, 0, time.perf_counter() - started)
        target = _target(store, live, to)
        encoders.check(path, target)
        build, embedded = None, 0
        if not store.is_complete(target.number):
            missing = len(store.missing(target.number))
            build = Build(store, path, target)
            watch.say(f"Generation {target.number} lacks {missing} documents that came later; embedding them first.")
            watch.begin(0, missing)
            embedded = build.run(watch.advance)
        embedded += _published(store, path, target, build)
        return Outcome(target.number, live.number, True, embedded, time.perf_counter() - started)


def abort(path: Path, *, wait: bool = False) -> Aborted | None:
    """Forget the re-index that is unfinished; return what became of its generation, or None when there is none.

    Raises:
        IndexLocked: Another process is re-indexing and ``wait`` is off.
    """
    with _rebuilding(path, wait=wait) as store:
        building = store.generations("building")
        for one in building:
            publishing.drop(store, path, one)
        return Aborted(building[-1].number, building[-1].published is not None) if building else None


def prune(path: Path, *, keep: int, wait: bool = False) -> Pruned:
    """Remove old generations, and give their room on the disk back.

    The live generation is never removed, nor is one that is being built.

    Args:
        path: The index's directory.
        keep: Generations to keep, the live one among them, at least 1: the others are those published last.
        wait: Wait for another process that is writing.

    Raises:
        UsageError: ``keep`` is below 1.
        IndexLocked: Another process is writing or re-indexing and ``wait`` is off.
        EncoderError: The live generation's encoder is damaged, so that those before it may still be needed.
    """
    if keep < 1:
        raise UsageError(f"expected to keep 1 generation or more, got {keep}; the live one always stays")
    with _rebuilding(path, wait=wait), writer(path, wait=wait) as store:
        encoders.check(path, _live(store, path))  # else those that are removed may be the only way back
        before = _bytes(path)
        retired = publishing.retired(store)
        old = retired[: max(0, len(retired) - (keep - 1))]
        publishing.remove(store, path, [one.number for one in old])
        with store.writing(visible=False):
            store.forget_deletions()
        store.shrink()
        return Pruned(tuple(sorted(one.number for one in old)), max(0, before - _bytes(path)))


@contextmanager
def _rebuilding(path: Path, *, wait: bool) -> Iterator[Store]:
    """Be the one that changes generations, with a writable store of an index that is there already."""
    Store(path, writable=False).close()  # or it would be made
    with rebuilder(path, wait=wait):
        store = Store(path, writable=True)
        try:
            yield store
        finally:
            store.close()


def _live(store: Store, path: Path) -> Generation:
    generation = store.generation()
    if generation is None:
        raise UsageError(f"expected a finished index at {path}; finish it with: docsim index SOURCE --index {path}")
    return generation


def _begun(store: Store, path: Path, encoder: Encoder | None, *, base: Encoder | None, watch: Watch) -> Generation:
    """Return the generation to build: the one that was begun before, or one that had this encoder, or a new one."""
    building = store.generations("building")
    if encoder is None:
        if not building:
            raise UsageError("expected --encoder DIR, as no re-index is unfinished")
        return building[0]
    for one in building:
        if one.fingerprint == encoder.fingerprint:
            watch.say(f"Continuing generation {one.number}.")
            return one
        watch.say(f"Starting anew: the unfinished generation {one.number} was for another encoder, {one.encoder}.")
        publishing.drop(store, path, one)
    for one in store.generations("retired"):
        if one.fingerprint == encoder.fingerprint:
            watch.say(f"Generation {one.number} was made with this encoder; bringing it up to date.")
            with store.writing(visible=False):
                store.execute("UPDATE generations SET state = 'building' WHERE number = ?", one.number)
            return one
    publishing.tidy(store, path)
    number = snapshots.begin(store, path, encoder, state="building", base=base)
    begun = store.generation(number)
    assert begun is not None
    return begun


def _published(store: Store, path: Path, generation: Generation, build: Build | None) -> int:
    """Embed what was written meanwhile, and publish, as the one writer; return how many documents that were."""
    embedded = 0
    with writer(path, wait=True):
        if not store.is_complete(generation.number):
            build = build or Build(store, path, generation)  # it lacked nothing when it was looked at
            embedded = build.run()
        publishing.publish(store, generation.number)
        if build:
            snapshots.snapshot(store, path)
            with store.writing(visible=False):
                store.forget_deletions()
    return embedded


def _finish(store: Store, path: Path) -> None:
    """Write the snapshot that a run that was killed after publishing did not; a writer would do it too."""
    with suppress(IndexLocked), writer(path, wait=False):
        snapshots.snapshot(store, path)


def _target(store: Store, live: Generation, to: int | None) -> Generation:
    """Return the generation to go back to."""
    retired = publishing.retired(store)
    wanted = [one for one in retired if to in (None, one.number)]
    if wanted:
        return wanted[-1]
    numbers = ", ".join(str(one.number) for one in retired) or "none"
    what = f"generation {to} to go back to" if to else f"a generation that was live before {live.number}, which is live"
    raise UsageError(f"expected {what}; found {numbers}. See them all with: docsim generations")


def _bytes(path: Path) -> int:
    """Return how much room all files of an index take; one that is removed meanwhile takes none."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total
