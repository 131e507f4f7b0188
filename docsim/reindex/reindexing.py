"""Re-indexing: changes the encoder of an index while it answers queries. The way back is in ``generations``.

    begin -> build -> optimize -> gate -> catch up -> publish

Everything before the last two steps goes on beside the live generation, from the stored texts. It can be killed and run
again. To catch up with what was written meanwhile, and to publish, no other process may write, so that both generations
hold the same documents at that moment: ``Rebuilder.publish`` waits for the writer as long as it takes, and
``Build.run`` embeds what is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Rebuilder
from docsim.engine.records import Generation
from docsim.errors import UsageError
from docsim.index import Index
from docsim.progress import SILENT, Progress
from docsim.reindex.building import Build, Prepare
from docsim.reindex.examination import DEFAULT_GATE, GateOptions, examine
from docsim.reindex.gate_report import GateReport

__all__ = ["Aborted", "Reindexed", "abort", "begun", "reindex", "replace"]


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How a re-index, or the way back, ended.

    Attributes:
        generation: The generation it was about.
        previous: The one that was live before.
        published: Whether ``generation`` is live now.
        embedded: Documents that were embedded.
        seconds: How long it took.
        gate: What the gate found; None where nothing had to pass it.
        report: The directory of the gate's report.
        unchanged: Why there was nothing to publish, a sentence, where training learned nothing.
    """

    generation: int
    previous: int
    published: bool
    embedded: int
    seconds: float
    gate: GateReport | None = None
    report: Path | None = None
    unchanged: str | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """The generation whose building was given up, and whether it is kept because it was live before."""

    generation: int
    kept: bool


def reindex(
    index: Index,
    encoder: Encoder | None = None,
    *,
    base: Encoder | None = None,
    gate: GateOptions = DEFAULT_GATE,
    wait: bool = False,
    prepare: Prepare | None = None,
    progress: Progress = SILENT,
) -> Reindexed:
    """Build a generation with another encoder beside the live one, and publish it if it passes the gate.

    Killed and called again with the same encoder, it continues. A generation that does not pass stays unpublished.

    Args:
        index: The index.
        encoder: The encoder to change to; by default that of the unfinished re-index.
        base: The encoder that ``encoder`` was trained from, to be kept beside it.
        gate: What the new generation has to pass.
        wait: Wait for another process that is re-indexing.
        prepare: Gives an encoder that knows embeddings already, see ``docsim.bulk.prepared``.
        progress: Told what is being done.

    Raises:
        UsageError: There is neither an encoder nor an unfinished re-index, or no judged query can be asked.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder gives something other than unit vectors.
        StoreError: The index cannot be written to; what was committed before stays.
    """
    started = time.perf_counter()
    with index.engine.rebuilder(wait=wait) as rebuilder:
        live = rebuilder.live()
        if encoder is not None and encoder.fingerprint == live.fingerprint:
            progress.say(f"Generation {live.number} answers with this encoder already.")
            rebuilder.restore_encoder(live, encoder)
            rebuilder.settle()
            return Reindexed(live.number, live.number, True, 0, time.perf_counter() - started)
        new = begun(rebuilder, encoder, base=base, progress=progress)
        build = Build(rebuilder, new, batch=index.batch, prepare=prepare)
        embedded = _built(rebuilder, build, new, index.counts().documents, progress)
        progress.say("Comparing it with the live generation.")
        found, report = examine(index, rebuilder, new, gate)
        published = found.verdict.passed or (found.verdict.sound and gate.publish_anyway)
        if published:
            embedded += rebuilder.publish(new.number, build.run)
        elif rebuilder.unmap(new.number):
            progress.say("The live generation's own encoder answers again.")
        seconds = time.perf_counter() - started
        return Reindexed(new.number, live.number, published, embedded, seconds, found, report)


def _built(rebuilder: Rebuilder, build: Build, new: Generation, total: int, progress: Progress) -> int:
    """Embed what a generation lacks, and make searching it fast; return how many documents were embedded."""
    progress.begin("documents", total, total - rebuilder.missing(new.number))
    embedded = build.run(progress.advance)
    rebuilder.optimize(new.number)
    return embedded


def begun(rebuilder: Rebuilder, encoder: Encoder | None, *, base: Encoder | None, progress: Progress) -> Generation:
    """Return the generation to build: the unfinished one, a retired one that had this encoder, or a new one.

    Raises:
        UsageError: There is neither an encoder nor an unfinished generation.
    """
    building = rebuilder.generations("building")
    if encoder is None:
        if not building:
            raise UsageError("expected an encoder, as no re-index is unfinished", hint="docsim reindex --encoder DIR")
        return building[0]
    for one in building:
        if one.fingerprint == encoder.fingerprint:
            progress.say(f"Continuing generation {one.number}.")
            return one
        progress.say(f"Starting over: the unfinished generation {one.number} was for another encoder, {one.encoder}.")
        rebuilder.drop(one.number)
    for one in rebuilder.generations("retired"):
        if one.fingerprint == encoder.fingerprint:
            progress.say(f"Generation {one.number} was made with this encoder; bringing it up to date.")
            rebuilder.resume(one.number)
            return one
    return rebuilder.begin(encoder, base=base)


def replace(index: Index, encoder: Encoder, *, wait: bool = False) -> None:
    """Change the encoder of an index that holds nothing yet, and leave no generation to go back to.

    Documents that come meanwhile are embedded anew, so it can't lose any.

    Args:
        index: The index.
        encoder: The encoder to change to.
        wait: Wait for another process that is writing or re-indexing.

    Raises:
        IndexLocked: Another process is writing or re-indexing and ``wait`` is off.
        StoreError: The index cannot be written to.
    """
    with index.engine.rebuilder(wait=wait) as rebuilder:
        live = rebuilder.live()
        new = begun(rebuilder, encoder, base=None, progress=SILENT)
        build = Build(rebuilder, new, batch=index.batch)
        build.run()
        rebuilder.optimize(new.number)
        rebuilder.publish(new.number, build.run)
        rebuilder.remove([live.number], wait=wait)


def abort(index: Index, *, wait: bool = False) -> Aborted | None:
    """Give up the unfinished re-index; return what became of its generation, or None when there is none.

    Raises:
        IndexLocked: Another process is re-indexing and ``wait`` is off.
    """
    with index.engine.rebuilder(wait=wait) as rebuilder:
        dropped = [Aborted(one.number, rebuilder.drop(one.number)) for one in rebuilder.generations("building")]
    return dropped[-1] if dropped else None
