"""A component for Haystack: ``DocsimRetriever``.

Haystack reports what pipelines are made of to its makers, and writes an id into the home folder, unless the environment
says otherwise when it is imported. This module says otherwise before it imports Haystack, if nobody has chosen.
"""

from __future__ import annotations

import asyncio
from typing import Any

from docsim import extras, offline

extras.require("haystack", "the component for Haystack")
offline.before_haystack()

from haystack import Document, component, default_from_dict, default_to_dict  # noqa: E402
from haystack.utils import Secret, deserialize_secrets_inplace  # noqa: E402

from docsim.integrations.backend import TOKEN_VARIABLE, Asked, Backend, Filter, opened  # noqa: E402
from docsim.models import DEFAULT_MODE, Mode  # noqa: E402

__all__ = ["DocsimRetriever"]


@component
class DocsimRetriever:
    """Finds passages in an index, or asks a docsim server for them.

    A document of Haystack is one passage. Its ``meta`` are those of the document that it belongs to, with a mapping
    under ``docsim``: the document's ``id`` and ``title``, the passage's ``start``, ``end`` and ``heading``, and
    ``rank``, ``score`` and ``similarity``. Filters are docsim's own, not Haystack's.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Secret | None = None,
        top_k: int = 10,
        passages: int = 1,
        mode: Mode = DEFAULT_MODE,
        where: str | dict[str, Any] | None = None,
        within: str = "",
        min_similarity: float | None = None,
    ) -> None:
        """Make a component; the address is opened when it is warmed up, or first used.

        Args:
            address: A directory, or the address of a server, ``http://...`` or ``https://...``.
            token: What the server knows the caller by; by default that of ``$DOCSIM_TOKEN``, if there is one.
            top_k: The number of documents.
            passages: How many passages of each document, 1 to 3.
            mode: ``hybrid``, ``dense`` or ``lexical``.
            where: What the documents' metadata have to be like; see ``Index.search``.
            within: Only documents whose id is this path or lies below it.
            min_similarity: Leave out documents that are less similar, in [-1, 1].

        Raises:
            UsageError: ``top_k`` or ``passages`` is out of range.
        """
        self.address, self.top_k, self.passages, self.mode = address, top_k, passages, mode
        self.token = token or Secret.from_env_var(TOKEN_VARIABLE, strict=False)
        self.where, self.within, self.min_similarity = where, within, min_similarity
        self._backend: Backend | None = None
        self._asked(None, None)

    def warm_up(self) -> None:
        """Open the address, unless it is open.

        Raises:
            StoreError: There is no index at an address that is not a server's.
        """
        self._opened()

    def close(self) -> None:
        """Close the index, or the connections; safe to call twice."""
        if self._backend is not None:
            self._backend.close()
        self._backend = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a saved pipeline keeps: of a token only the variable that holds it."""
        saved: dict[str, Any] = default_to_dict(
            self,
            address=self.address,
            token=self.token.to_dict(),
            top_k=self.top_k,
            passages=self.passages,
            mode=self.mode,
            where=self.where,
            within=self.within,
            min_similarity=self.min_similarity,
        )
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DocsimRetriever:
        """Return what ``to_dict`` was made of."""
        deserialize_secrets_inplace(data["init_parameters"], keys=["token"])
        made: DocsimRetriever = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(
        self, query: str, top_k: int | None = None, where: str | dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Return the passages that answer a question best, under ``documents``.

        Args:
            query: The question.
            top_k: Another number of documents.
            where: Another filter.
        """
        found = self._opened().search(query, self._asked(top_k, where))
        return {
            "documents": [
                Document(id=one.name, content=one.text, meta=one.described(), score=one.score) for one in found
            ]
        }

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    async def run_async(
        self, query: str, top_k: int | None = None, where: str | dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Do what ``run`` does, without making others wait."""
        return await asyncio.to_thread(self.run, query, top_k, where)

    def _opened(self) -> Backend:
        if self._backend is None:
            self._backend = opened(self.address, self.token.resolve_value())
        return self._backend

    def _asked(self, top_k: int | None, where: Filter) -> Asked:
        k = self.top_k if top_k is None else top_k
        where = self.where if where is None else where
        return Asked(k, self.passages, self.mode, where, self.within, self.min_similarity)
