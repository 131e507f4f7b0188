"""A retriever for LlamaIndex: ``DocsimRetriever``. It needs ``llama-index-core``, and no other package of theirs."""

from __future__ import annotations

import asyncio

from docsim import extras

extras.require("llamaindex", "the retriever for LlamaIndex")

from llama_index.core.base.base_retriever import BaseRetriever  # noqa: E402
from llama_index.core.schema import (  # noqa: E402
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from docsim.integrations.backend import Asked, Filter, FoundPassage, opened  # noqa: E402
from docsim.models import DEFAULT_MODE, Mode  # noqa: E402

__all__ = ["DocsimRetriever"]


class DocsimRetriever(BaseRetriever):  # type: ignore[misc]  # mypy does not read LlamaIndex' own types
    """Finds passages in an index, or asks a docsim server for them.

    A node is one passage, with the offsets of its first character and one past its last. Its source is the document
    that it belongs to, whose metadata it has. Under ``docsim`` the metadata say where the passage is and why it was
    found; a language model is not shown that.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        k: int = 10,
        passages: int = 1,
        mode: Mode = DEFAULT_MODE,
        where: Filter = None,
        within: str = "",
        min_similarity: float | None = None,
    ) -> None:
        """Open an address.

        Args:
            address: A directory, or the address of a server, ``http://...`` or ``https://...``.
            token: What the server knows the caller by; by default that of ``$DOCSIM_TOKEN``.
            k: The number of documents.
            passages: How many passages of each document, 1 to 3.
            mode: ``hybrid``, ``dense`` or ``lexical``.
            where: What the documents' metadata have to be like; see ``Index.search``.
            within: Only documents whose id is this path or lies below it.
            min_similarity: Leave out documents that are less similar, in [-1, 1].

        Raises:
            UsageError: ``k`` or ``passages`` is out of range.
            StoreError: There is no index at an address that is not a server's.
        """
        super().__init__()
        self._asked = Asked(k, passages, mode, where, within, min_similarity)
        self._backend = opened(address, token)

    def close(self) -> None:
        """Close the index, or the connections; safe to call twice."""
        self._backend.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [_node(one) for one in self._backend.search(query_bundle.query_str, self._asked)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


def _node(one: FoundPassage) -> NodeWithScore:
    node = TextNode(
        id_=one.name,
        text=one.text,
        metadata=one.described(),
        excluded_embed_metadata_keys=["docsim"],
        excluded_llm_metadata_keys=["docsim"],
        start_char_idx=one.start,
        end_char_idx=one.end,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=one.document)},
    )
    return NodeWithScore(node=node, score=one.score)
