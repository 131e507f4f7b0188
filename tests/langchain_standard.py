"""LangChain's own tests of retrievers, for docsim's; ``test_extras.py`` runs them where they are installed."""

from __future__ import annotations

import os
from typing import Any

from langchain_tests.integration_tests import RetrieversIntegrationTests

from docsim.integrations.langchain import DocsimRetriever


class _Standard(RetrieversIntegrationTests):  # type: ignore[misc]  # mypy does not read LangChain's own types
    address = ""

    @property
    def retriever_constructor(self) -> type[DocsimRetriever]:
        return DocsimRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"address": os.environ[self.address]}

    @property
    def retriever_query_example(self) -> str:
        return "rotate the signing keys"


class TestOverAnIndex(_Standard):
    address = "DOCSIM_TEST_INDEX"


class TestOverAServer(_Standard):
    address = "DOCSIM_TEST_SERVER"
