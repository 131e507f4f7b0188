"""Verification: find everything that is wrong with an index, and mend what can be mended from what it stores."""

from __future__ import annotations

from collections.abc import Iterator

from docsim.engine.base import Engine
from docsim.engine.retrying import retried
from docsim.errors import DocsimError, IndexChanged, StoreError
from docsim.index import Index

__all__ = ["problems", "repair", "warnings"]


@retried
def problems(index: Index) -> list[str]:
    """Return what is wrong with an index, a sentence each; nothing when it is sound."""
    try:
        index.generation()
        return [*index.engine.problems(), *_encoders(index.engine)]
    except IndexChanged:
        raise
    except StoreError as error:
        return [str(error)]


@retried
def warnings(index: Index) -> list[str]:
    """Return what does not make answers wrong but should be looked at, a sentence each."""
    return index.engine.search_facts().warnings


def repair(
    index: Index, *, wait: bool = False, index_type: str | None = None, recall: float | None = None
) -> list[str]:
    """Rebuild what can be rebuilt from what an index stores: passages, embeddings, text search, and the
    files that make searching fast.

    A document that is not what its source held cannot be rebuilt. ``problems`` goes on naming it until its source is
    indexed again, which then reads it even if it has not changed there.

    Args:
        index: What to mend.
        wait: Wait for another process that is writing.
        index_type: Search with this index type from now on, see ``Index.create``.
        recall: Tune it to this recall.

    Returns:
        The ids of the documents that have to come from their source again.

    Raises:
        UsageError: There is no such index type or recall.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    return index.engine.repair(index_type=index_type, recall=recall, wait=wait)


def _encoders(engine: Engine) -> Iterator[str]:
    """Load the encoder of every generation."""
    for facts in engine.generations():
        with_generation = engine.at(facts.generation.number)
        try:
            _ = with_generation.encoder
        except DocsimError as error:
            if facts.generation.number in {one.generation.number for one in engine.generations()}:
                yield str(error)  # else it was removed meanwhile
        finally:
            with_generation.close()
