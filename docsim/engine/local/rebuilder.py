"""The rebuilder of the local engine: fills, publishes and removes generations; each change is one transaction.

Files follow the rows that make them count: a generation's directory without a row is a leftover of a run that was
killed, and the next change removes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from docsim import allocation
from docsim.engine.local import encoders, generations, locks, mappings
from docsim.engine.local.database import unfinished
from docsim.engine.local.store import LocalGeneration, Store, now
from docsim.engine.records import Embeddings, Generation, Unembedded
from docsim.errors import IndexLocked, StoreError

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment
    from docsim.encoding.encoder import Encoder

__all__ = ["LocalRebuilder", "opened"]


@contextmanager
def opened(path: Path, *, wait: bool) -> Iterator[LocalRebuilder]:
    """Be the one process that changes the generations of the index at ``path``.

    Raises:
        StoreError: There is no index.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
    """
    Store(path, writable=False).close()  # or an index would be made
    with locks.rebuilding(path, wait=wait):
        rebuilder = LocalRebuilder(path)
        try:
            yield rebuilder
        finally:
            rebuilder.close()
            allocation.give_back()


class LocalRebuilder(Store):
    """A ``docsim.engine.base.Rebuilder``. Whoever has one holds the rebuilder's lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, writable=True)
        self._path = path

    def live(self) -> LocalGeneration:
        """Return the live generation.

        Raises:
            StoreError: The index was never finished.
        """
        live = self.generation()
        if live is None:
            raise unfinished(self._path)
        return live

    # Encoders

    def encoder(self, generation: Generation) -> Encoder:
        """Return the encoder of a generation.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """
        return encoders.load(self._path, generation)

    def check_encoder(self, generation: Generation) -> None:
        """Check the files of a generation's encoder without loading it.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """
        encoders.check(self._path, generation)

    def restore_encoder(self, generation: Generation, encoder: Encoder) -> None:
        """Put an encoder with the right fingerprint in the place of a damaged one."""
        encoders.restore(self._path, generation, encoder)

    # Building

    def begin(self, encoder: Encoder, *, base: Encoder | None = None) -> Generation:
        """Add a generation without embeddings, and keep its encoder, and what that was trained from.

        Raises:
            StoreError: Their files cannot be written.
        """
        self._tidy()
        number = generations.begin(self, self._path, encoder, state="building", base=base)
        begun = self.generation(number)
        assert begun is not None
        return begun

    def resume(self, number: int) -> None:
        """Let a retired generation be built again, from what it has."""
        self._set_state(number, "building")

    def missing(self, number: int) -> int:
        """Return how many documents have no embeddings in a generation."""
        return len(self.lacking(number))

    @contextmanager
    def unembedded(self, number: int, *, after: int = 0) -> Iterator[Iterator[Unembedded]]:
        """Read the documents above number ``after`` that a generation lacks, in order, from one committed state."""
        with self.reading(), closing(self.stream_lacking(number, after=after)) as found:
            yield (
                Unembedded(document, content, tuple(self.passages(document)), first)
                for document, first, content in found
            )

    def embed(self, number: int, embedded: Sequence[tuple[Unembedded, Embeddings]]) -> None:
        """Add embeddings to a generation in one transaction, but for documents that have changed since."""
        with self.writing(visible=False):
            for one, vectors in embedded:
                self.add_embeddings(one.number, one.version, vectors, generation=number)

    def optimize(self, number: int) -> None:
        """Write the FAISS file of a generation when it is stale."""
        generations.write_faiss_file(self, self._path, number=number)

    def settle(self) -> None:
        """Write the live FAISS file if a run that was killed after publishing did not; a writer would do it too."""
        with suppress(IndexLocked), locks.writing(self._path, wait=False):
            generations.write_faiss_file(self, self._path)

    # Publishing

    def publish(self, number: int, catch_up: Callable[[], int]) -> int:
        """Make a generation the live one in one transaction; the one that was live is kept as ``retired``.

        Args:
            number: The generation.
            catch_up: Embeds what was written meanwhile, while no writer can write; returns how many documents that was.

        Returns:
            What ``catch_up`` returned, 0 where nothing was missing.

        Raises:
            StoreError: The generation lacks a document, so that it cannot answer.
        """
        with locks.writing(self._path, wait=True):
            embedded = 0 if self.is_complete(number) else catch_up()
            with self.writing():
                if missing := self.lacking(number, limit=1):
                    raise StoreError(
                        f"expected every document in generation {number}, found none of document number {missing[0]}",
                        hint=f"docsim rollback --to {number} brings it up to date first",
                    )
                self.execute("UPDATE generations SET state = 'retired' WHERE state = 'live'")
                moment = now("microseconds")  # so that their order tells which was live before
                self.execute("UPDATE generations SET state = 'live', published = ? WHERE number = ?", moment, number)
                self.execute("DELETE FROM adapters WHERE generation = ?", number)
            if embedded:
                generations.write_faiss_file(self, self._path)
            with self.writing(visible=False):
                self.forget_deletions()
        return embedded

    def drop(self, number: int) -> bool:
        """Give up building a generation; return whether it is kept, because it was live before."""
        self.unmap(number)
        generation = self.generation(number)
        if generation is not None and generation.published is not None:
            self._set_state(number, "retired")
            return True
        self._remove_rows([number])
        self._tidy()
        return False

    def remove(self, numbers: Iterable[int], *, wait: bool = False) -> int:
        """Remove generations that are not live, and give their room back; return how many bytes were freed.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
        """
        with locks.writing(self._path, wait=wait):
            before = _bytes(self._path)
            self._remove_rows(numbers)
            self._tidy()
            with self.writing(visible=False):
                self.forget_deletions()
            self.shrink()
            return max(0, before - _bytes(self._path))

    def _remove_rows(self, numbers: Iterable[int]) -> None:
        with self.writing(visible=False):
            for number in numbers:
                self.execute("DELETE FROM embeddings WHERE generation = ?", number)
                self.execute("DELETE FROM verdicts WHERE generation = ?", number)
                self.execute("DELETE FROM generations WHERE number = ? AND state <> 'live'", number)

    def _set_state(self, number: int, state: str) -> None:
        with self.writing(visible=False):
            self.execute("UPDATE generations SET state = ? WHERE number = ?", state, number)

    def _tidy(self) -> None:
        """Remove the files of generations, and of mappings, that are no more.

        Those of a mapping are not removed as soon as it ends: a reader that saw the state before may be about to read
        them.
        """
        kept = {encoders.directory(self._path, one.number).name for one in self.generations()}
        for folder in self._path.glob("generations/*"):
            if folder.name not in kept and folder.name.isdecimal():
                shutil.rmtree(folder, ignore_errors=True)
        mapped = {number for (number,) in self.rows("SELECT generation FROM adapters")}
        for one in self.generations():
            if one.number not in mapped:
                shutil.rmtree(generations.mapped_path(self._path, one.number).parent, ignore_errors=True)

    # Mapping the live embeddings

    def map_live(self, number: int, alignment: Alignment) -> None:
        """Let the encoder of a generation that is being built answer at once, over the live embeddings, mapped."""
        mappings.commit(self, self._path, alignment, live=self.live(), new=number)

    def alignment(self, number: int) -> Alignment | None:
        """Return what maps the live embeddings for a generation; None when nothing does, or it cannot be read."""
        return mappings.committed(self, self._path, number)

    def unmap(self, number: int) -> bool:
        """Let the live generation's own encoder answer again; return whether it did not."""
        if not self.value("SELECT 1 FROM adapters WHERE generation = ?", number):
            return False
        with self.writing():
            self.execute("DELETE FROM adapters WHERE generation = ?", number)
        return True


def _bytes(path: Path) -> int:
    """Return how much room all files of an index take; a file that is removed meanwhile takes none."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total
