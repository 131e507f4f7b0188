"""A retriever for LangChain: ``DocsimRetriever``.

LangChain sends traces to LangSmith only where the environment asks it to (``LANGSMITH_TRACING=true``); see
``docs/privacy.md``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from docsim import extras

extras.require("langchain", "the retriever for LangChain")

from langchain_core.callbacks import (  # noqa: E402
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from pydantic import PrivateAttr, SecretStr  # noqa: E402

from docsim.integrations.backend import Asked, Backend, opened  # noqa: E402
from docsim.models import DEFAULT_MODE, Mode  # noqa: E402

__all__ = ["DocsimRetriever"]


class DocsimRetriever(BaseRetriever):  # type: ignore[misc]  # mypy does not read LangChain's own types
    """Finds passages in an index, or asks a docsim server for them.

    A document of LangChain is one passage. Its ``metadata`` are those of the document that it belongs to, with a
    mapping under ``docsim``: the document's ``id`` and ``title``, the passage's ``start``, ``end`` and ``heading``, and
    ``rank``, ``score`` and ``similarity``.

    Attributes:
        address: A directory, or the address of a server, ``http://...`` or ``https://...``.
        token: What the server knows the caller by; by default that of ``$DOCSIM_TOKEN``. It is not shown or saved.
        k: The number of documents; ``invoke(question, k=3)`` asks for others.
        passages: How many passages of each document, 1 to 3.
        mode: ``hybrid``, ``dense`` or ``lexical``.
        where: What the documents' metadata have to be like; see ``Index.search``.
        within: Only documents whose id is this path or lies below it.
        min_similarity: Leave out documents that are less similar, in [-1, 1].
    """

    address: str
    token: SecretStr | None = None
    k: int = 10
    passages: int = 1
    mode: Mode = DEFAULT_MODE
    where: str | dict[str, Any] | None = None
    within: str = ""
    min_similarity: float | None = None
    _backend: Backend = PrivateAttr()

    def model_post_init(self, context: object) -> None:
        """Open the address.

        Raises:
            StoreError: There is no index at an address that is not a server's.
        """
        super().model_post_init(context)
        self._backend = opened(self.address, self.token.get_secret_value() if self.token else None)

    def close(self) -> None:
        """Close the index, or the connections; safe to call twice."""
        self._backend.close()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._found(query, k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return await asyncio.to_thread(self._found, query, k)

    def _found(self, query: str, k: int | None) -> list[Document]:
        asked = Asked(
            self.k if k is None else k, self.passages, self.mode, self.where, self.within, self.min_similarity
        )
        return [
            Document(id=one.name, page_content=one.text, metadata=one.described())
            for one in self._backend.search(query, asked)
        ]
