"""docsim inside other libraries: retrievers for LangChain and LlamaIndex, and a component for Haystack.

    backend      searches an index, or asks a docsim server: what the others share
    langchain    a retriever for LangChain, extra ``langchain``
    llamaindex   a retriever for LlamaIndex, extra ``llamaindex``
    haystack     a component for Haystack, extra ``haystack``

Each module imports its library, which can take seconds, so nothing here imports another.
"""
